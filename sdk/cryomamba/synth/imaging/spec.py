"""The specification of how a density is imaged."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]


class ImagingSpec(BaseModel):
    """How a density becomes a tomogram; every effect can be left out, and the defaults are those of a plain phantom.

    Attributes
    ----------
    reconstruction : {"fourier", "wbp", "sirt"}
        ``fourier``: frequencies in the missing wedge are set to zero, which is fast. ``wbp``: the density is projected
        at every tilt, and reconstructed by weighted back-projection. ``sirt``: the same projections, reconstructed by
        the simultaneous iterative reconstruction technique. The last two cost much more time.
    max_tilt_deg : float or None
        Maximum tilt angle (±°). None: no missing wedge, for ``fourier`` alone.
    tilt_step_deg : float
        Angle between two images of a tilt series.
    tilt_axis : {"y", "x"}
        Axis about which the specimen is tilted.
    dual_axis : bool
        Whether a second series is tilted about the other axis: a missing pyramid instead of a wedge.
    sirt_iterations : int
        Iterations of ``sirt``.
    defocus_um : float or None
        Underfocus in µm. None: no contrast transfer function.
    phase_flipped : bool
        Whether the sign of the contrast transfer was corrected.
    amplitude_contrast : float
        Fraction of amplitude contrast.
    cs_mm, voltage_kV : float
        Spherical aberration in mm, and acceleration voltage in kV.
    b_factor_A2 : float
        The envelope is exp(-B k² / 4) with k in 1/Å.
    noise : float
        Standard deviation of the noise in a voxel of 10 Å relative to a leaflet's density, before the missing wedge
        takes its share. It scales with the inverse square root of the voxel volume. Contrast transfer is scaled so that
        a membrane keeps its root-mean-square contrast, so that this number means the same with and without it. The
        images of a tilt series have the noise that ends up at this deviation after weighted back-projection.
    noise_spectrum : {"white", "blue", "red"}
        Colour of the noise for ``fourier``, at the same standard deviation: power rises with frequency, as
        back-projection leaves it, or falls, as filters leave it. The reconstructions have their own.
    crop : int
        Fourier cropping: the density is given on a grid finer by this factor, and frequencies are cut down to the
        resulting one.
    denoised : {"wiener", "median", "bilateral"} or None
        Filter that is applied to the tomogram.
    rounded : {"float16", "int8"} or None
        Values that the file could hold.
    slope : tuple of float
        Linear gradient along z, y, x over the whole volume, in standard deviations of the tomogram.
    padding : tuple of float
        Fractions of the length along z, y, x that are constant, half of it on either side.
    corners_deg : float
        The measured region is a box turned about z by this angle; what is outside is constant.
    padding_value : float
        Value of the constant parts, in standard deviations from the tomogram's mean.
    contrast : {"dark", "bright"}
        Whether dense matter is darker than its surroundings, as in raw tomograms, or brighter.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reconstruction: Literal["fourier", "wbp", "sirt"] = "fourier"
    max_tilt_deg: Annotated[float, Field(gt=0, lt=90)] | None = 60.0
    tilt_step_deg: Annotated[float, Field(ge=0.5, le=10)] = 3.0
    tilt_axis: Literal["y", "x"] = "y"
    dual_axis: bool = False
    sirt_iterations: Annotated[int, Field(ge=1, le=200)] = 12
    defocus_um: Annotated[float, Field(gt=0, le=20)] | None = None
    phase_flipped: bool = True
    amplitude_contrast: Fraction = 0.07
    cs_mm: Annotated[float, Field(ge=0, le=10)] = 2.7
    voltage_kV: Annotated[float, Field(ge=50, le=1000)] = 300.0
    b_factor_A2: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    noise: Annotated[float, Field(ge=0, le=100)] = 2.0
    noise_spectrum: Literal["white", "blue", "red"] = "white"
    crop: Annotated[int, Field(ge=1, le=8)] = 1
    denoised: Literal["wiener", "median", "bilateral"] | None = None
    rounded: Literal["float16", "int8"] | None = None
    slope: tuple[float, float, float] = (0.0, 0.0, 0.0)
    padding: tuple[Fraction, Fraction, Fraction] = (0.0, 0.0, 0.0)
    corners_deg: Annotated[float, Field(ge=0, le=45)] = 0.0
    padding_value: float = 0.0
    contrast: Literal["dark", "bright"] = "dark"

    @model_validator(mode="after")
    def _tilted_if_reconstructed(self) -> Self:
        if self.reconstruction != "fourier" and self.max_tilt_deg is None:
            raise ValueError(f"max_tilt_deg: reconstruction={self.reconstruction} needs a tilt series; give an angle")
        return self

    @property
    def tilt_axes(self) -> tuple[Literal["y", "x"], ...]:
        """The axes of all series, the first one first."""
        other: Literal["y", "x"] = "x" if self.tilt_axis == "y" else "y"
        return (self.tilt_axis, other) if self.dual_axis else (self.tilt_axis,)
