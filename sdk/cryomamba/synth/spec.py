"""What a phantom is made of."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

LABELS: dict[int, str] = {
    0: "background",
    1: "membrane",
    2: "particle",
    3: "filament",
    4: "gold",
    5: "membrane_unseen",
}
"""Label values of a phantom's truth.

`membrane_unseen` is membrane whose normal lies inside the missing wedge: the tilt series holds no
information on it, so scores leave it out (neither asked for nor held against a mask).
"""

MEMBRANE, PARTICLE, FILAMENT, GOLD, MEMBRANE_UNSEEN = 1, 2, 3, 4, 5


def _three(value: object) -> object:
    return (value, value, value) if isinstance(value, int | float) else value


Count = Annotated[int | None, Field(ge=0, le=100_000)]
Angstrom = Annotated[float, Field(gt=0, le=10_000)]


class PhantomSpec(BaseModel):
    """The recipe of a synthetic tomogram; the same recipe gives the same arrays.

    Counts left at ``None`` are chosen from the physical size of the volume.

    Attributes
    ----------
    shape : tuple of int
        Voxels along z, y, x.
    voxel_size_A : tuple of float
        Voxel size in Å along z, y, x; one number stands for all three.
    seed : int
        Seed of every random choice.
    noise : float
        Standard deviation of the noise in a voxel of 10 Å, in units of a leaflet's density. It scales with
        one over the square root of the voxel's volume, so that the same number means the same dose at any
        voxel size. 1 is a very clean tomogram, 4 a poor one; 0 gives none.
    missing_wedge_deg : float or None
        Largest tilt in degrees about the y axis: 60 keeps what a ±60° tilt series measures. None keeps all.
    contrast : {"dark", "bright"}
        Whether matter is darker than its surroundings, as in a raw tomogram, or brighter.
    thickness_A : tuple of float
        Smallest and largest thickness of a membrane in Å, head group to head group outer faces.
    vesicles, sheets : int or None
        Closed membranes (deformed ellipsoids, every third one touching its predecessor) and wavy open sheets.
    vesicle_radius_A : tuple of float
        Smallest and largest mean radius of a vesicle in Å.
    stacked : int
        Parallel membranes per sheet (1 for a single one), as in thylakoids or cristae.
    stack_spacing_A : float
        Distance in Å between the centres of stacked membranes.
    lamella : float
        Share of the depth that is filled; above and below is vacuum. 1 leaves no edge.
    gold : int or None
        Gold beads, `gold_diameter_A` wide and much denser than anything else.
    gold_diameter_A : float
        Diameter of a gold bead in Å.
    crowding : float
        Share of the volume taken by macromolecule-like blobs of 50 to 160 Å.
    particles : int or None
        Spherical particles to be picked, `particle_diameter_A` wide; none by default.
    particle_diameter_A : float
        Diameter of a particle in Å.
    filaments : int or None
        Long, gently bent filaments, `filament_diameter_A` wide; none by default.
    filament_diameter_A : float
        Diameter of a filament in Å; from 150 Å on it is hollow, like a microtubule.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[
        Annotated[int, Field(ge=8, le=8192)],
        Annotated[int, Field(ge=8, le=8192)],
        Annotated[int, Field(ge=8, le=8192)],
    ] = (128, 256, 256)
    voxel_size_A: Annotated[tuple[Angstrom, Angstrom, Angstrom], BeforeValidator(_three)] = (10.0, 10.0, 10.0)
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
    gold: Count = None
    gold_diameter_A: Angstrom = 100.0
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
