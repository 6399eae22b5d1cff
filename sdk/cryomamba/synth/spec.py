"""The specification of a phantom."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

LABELS: dict[int, str] = {
    0: "background",
    1: "membrane",
    2: "particle",
    3: "filament",
    4: "fiducial",
    5: "membrane_in_wedge",
}
"""Labels of a phantom's ground truth.

`membrane_in_wedge` is membrane whose normal lies inside the missing wedge, where the tilt series does not see it. It is
part of the membranes, and counts in scores.
"""

MEMBRANE, PARTICLE, FILAMENT, FIDUCIAL, MEMBRANE_IN_WEDGE = 1, 2, 3, 4, 5


def _as_triple(value: object) -> object:
    return (value, value, value) if isinstance(value, int | float) else value


Count = Annotated[int | None, Field(ge=0, le=100_000)]
Angstrom = Annotated[float, Field(gt=0, le=10_000)]


class PhantomSpec(BaseModel):
    """The specification of a synthetic tomogram; the same specification gives the same arrays.

    Counts of ``None`` are chosen by the physical size of the volume.

    Attributes
    ----------
    shape : tuple of int
        Voxels along z, y, x.
    voxel_size_A : tuple of float
        Voxel size in Å along z, y, x, or one number for all three.
    seed : int
        Seed of all random choices.
    noise : float
        Standard deviation of the noise in a voxel of 10 Å relative to a leaflet's density, so the signal-to-noise
        ratio of a leaflet is 1 / `noise`. It scales with the inverse square root of the voxel volume, so the same
        number means the same dose at any voxel size.
    missing_wedge_deg : float or None
        Maximum tilt angle (±°) about the y axis: 60 keeps what a ±60° tilt series measures. None: no missing wedge.
    contrast : {"dark", "bright"}
        Whether objects are darker than the background, as in raw tomograms, or brighter.
    thickness_A : tuple of float
        Range of membrane thickness in Å, between the outer sides of the head groups.
    vesicles, sheets : int or None
        Numbers of closed membranes (deformed ellipsoids, every third touches its predecessor) and wavy open sheets.
    vesicle_radius_A : tuple of float
        Range of the mean vesicle radius in Å.
    stacked : int
        Number of parallel membranes per sheet, as in thylakoids or cristae.
    stack_spacing_A : float
        Distance in Å between the centres of stacked membranes.
    lamella : float
        Fraction of the depth that is filled; above and below is vacuum. 1: no lamella surfaces.
    fiducials : int or None
        Number of gold fiducials, much denser than all else.
    fiducial_diameter_A : float
        Diameter of a gold fiducial in Å.
    crowding : float
        Volume fraction of macromolecule-like background particles of 50 to 160 Å.
    particles : int or None
        Number of spherical particles to pick; default 0.
    particle_diameter_A : float
        Diameter of a particle in Å.
    filaments : int or None
        Number of long, slightly bent filaments; default 0.
    filament_diameter_A : float
        Diameter of a filament in Å; from 150 Å on, filaments are hollow, like microtubules.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[
        Annotated[int, Field(ge=8, le=8192)], Annotated[int, Field(ge=8, le=8192)], Annotated[int, Field(ge=8, le=8192)]
    ] = (128, 256, 256)
    voxel_size_A: Annotated[tuple[Angstrom, Angstrom, Angstrom], BeforeValidator(_as_triple)] = (10.0, 10.0, 10.0)
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    noise: Annotated[float, Field(ge=0, le=100)] = 2.0
    missing_wedge_deg: Annotated[float, Field(gt=0, lt=90)] | None = 60.0
    contrast: Literal["dark", "bright"] = "dark"
    thickness_A: tuple[Angstrom, Angstrom] = (42.0, 48.0)
    vesicles: Count = None
    vesicle_radius_A: tuple[Angstrom, Angstrom] = (200.0, 650.0)
    sheets: Count = None
    stacked: Annotated[int, Field(ge=1, le=100)] = 1
    stack_spacing_A: Angstrom = 160.0
    lamella: Annotated[float, Field(gt=0, le=1)] = 0.85
    fiducials: Count = None
    fiducial_diameter_A: Angstrom = 100.0
    crowding: Annotated[float, Field(ge=0, le=0.5)] = 0.08
    particles: Count = 0
    particle_diameter_A: Angstrom = 150.0
    filaments: Count = 0
    filament_diameter_A: Angstrom = 250.0

    @model_validator(mode="after")
    def _ranges_in_order(self) -> Self:
        for name in ("thickness_A", "vesicle_radius_A"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: the smallest value ({low:g}) is above the largest ({high:g})")
        return self

    @property
    def extent_A(self) -> tuple[float, float, float]:
        """Physical size of the volume in Å along z, y, x."""
        z, y, x = (n * v for n, v in zip(self.shape, self.voxel_size_A, strict=True))
        return z, y, x
