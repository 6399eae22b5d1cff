"""The specification of a phantom."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from cryomamba.synth.families import DEFAULT_FAMILY, FAMILIES
from cryomamba.synth.imaging.spec import ImagingSpec
from cryomamba.synth.profiles import ProfileName

LABELS: dict[int, str] = {0: "background", 1: "membrane", 2: "particle", 3: "filament", 4: "fiducial"}
"""Labels of a phantom's ground truth."""

MEMBRANE, PARTICLE, FILAMENT, FIDUCIAL = 1, 2, 3, 4

Geometry = Literal[
    "none",
    "vesicles",
    "random_field",
    "gyroid",
    "stacks",
    "folds",
    "tubes",
    "cristae",
    "envelope",
    "rims",
    "organelles",
]
ParticleKind = Literal["sphere", "ribosome", "proteasome"]
FilamentKind = Literal["tube", "microtubule", "actin"]


def _as_triple(value: object) -> object:
    return (value, value, value) if isinstance(value, int | float) else value


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _known_family(name: str) -> str:
    if name not in FAMILIES:
        raise ValueError(f"there is no family '{name}'; the families are {', '.join(FAMILIES)}")
    return name


Count = Annotated[int | None, Field(ge=0, le=100_000)]
Angstrom = Annotated[float, Field(gt=0, le=10_000)]
Side = Annotated[int, Field(ge=8, le=8192)]


class PhantomSpec(ImagingSpec):
    """The specification of a synthetic tomogram; the same specification gives the same arrays.

    It has all fields of `ImagingSpec`, which say how the phantom is imaged, and those below. Counts of ``None`` are
    chosen by the physical size of the volume. The defaults of all other fields are those of the family.

    Attributes
    ----------
    family : str
        A name of `FAMILIES`; it sets what is not given beside it.
    shape : tuple of int
        Voxels along z, y, x.
    voxel_size_A : tuple of float
        Voxel size in Å along z, y, x, or one number for all three.
    seed : int
        Seed of all random choices.
    geometry : str
        Shape of the membranes, "none" for no membranes.
    profile : str
        Density across a membrane: two leaflets ("bilayer"), one Gaussian ("line"), an unresolved band ("broad"), one
        leaflet stronger ("asymmetric"), or two leaflets with protein densities beside them ("studded").
    thickness_A : tuple of float
        Range of membrane thickness in Å, between the outer sides of the head groups.
    vesicles, sheets : int or None
        Numbers of closed membranes (deformed ellipsoids, every third touches its predecessor) and wavy open sheets;
        of the geometries "vesicles" and "rims".
    vesicle_radius_A : tuple of float
        Range of the mean vesicle radius in Å.
    stacked : int
        Number of parallel membranes per sheet.
    stack_spacing_A : float
        Distance in Å between the centres of stacked membranes.
    lamella : float
        Fraction of the depth that is filled; above and below is vacuum. 1: no lamella surfaces.
    lamella_tilt_deg : float
        Largest slope of the lamella along y and x.
    damage_A : float
        Depth in Å over which the structure recovers below the lamella surfaces; 0: no damaged layer.
    fiducials : int or None
        Number of gold fiducials, much denser than all else.
    fiducial_diameter_A : float
        Diameter of a gold fiducial in Å.
    crowding : float
        Volume fraction of macromolecule-like background particles of 50 to 160 Å.
    crowding_shape : {"round", "lobed"}
        Shape of the background particles.
    crowding_noise : float
        Standard deviation of a correlated background, relative to a leaflet's density.
    particles : int or None
        Number of particles to pick; default 0.
    particle_kinds : tuple of str
        Kinds of particles, in turn: "sphere", "ribosome" (250 Å) or "proteasome" (120 × 150 Å).
    particle_diameter_A : float
        Diameter of a sphere in Å.
    bound_particles : float
        Share of the particles that sit on membranes.
    filaments : int or None
        Number of long, slightly bent filaments; default 0.
    filament_kinds : tuple of str
        Kinds of filaments, in turn: "tube", "microtubule" (250 Å, 13 protofilaments) or "actin" (70 Å).
    filament_diameter_A : float
        Diameter of a tube in Å; from 150 Å on, tubes are hollow.
    crystals : int
        Number of ice crystals on the lamella surfaces.
    carbon : float
        Fraction of the area that a carbon film covers.
    """

    family: Annotated[str, AfterValidator(_known_family)] = DEFAULT_FAMILY
    shape: tuple[Side, Side, Side] = (128, 256, 256)
    voxel_size_A: Annotated[tuple[Angstrom, Angstrom, Angstrom], BeforeValidator(_as_triple)] = (10.0, 10.0, 10.0)
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    geometry: Geometry = "vesicles"
    profile: ProfileName = "bilayer"
    thickness_A: tuple[Angstrom, Angstrom] = (42.0, 48.0)
    vesicles: Count = None
    vesicle_radius_A: tuple[Angstrom, Angstrom] = (200.0, 650.0)
    sheets: Count = None
    stacked: Annotated[int, Field(ge=1, le=100)] = 1
    stack_spacing_A: Angstrom = 160.0
    lamella: Annotated[float, Field(gt=0, le=1)] = 0.85
    lamella_tilt_deg: Annotated[float, Field(ge=0, le=30)] = 0.0
    damage_A: Annotated[float, Field(ge=0, le=2000)] = 0.0
    fiducials: Count = None
    fiducial_diameter_A: Angstrom = 100.0
    crowding: Annotated[float, Field(ge=0, le=0.5)] = 0.08
    crowding_shape: Literal["round", "lobed"] = "round"
    crowding_noise: Annotated[float, Field(ge=0, le=5)] = 0.0
    particles: Count = 0
    particle_kinds: Annotated[tuple[ParticleKind, ...], BeforeValidator(_as_tuple), Field(min_length=1)] = ("sphere",)
    particle_diameter_A: Angstrom = 150.0
    bound_particles: Annotated[float, Field(ge=0, le=1)] = 0.0
    filaments: Count = 0
    filament_kinds: Annotated[tuple[FilamentKind, ...], BeforeValidator(_as_tuple), Field(min_length=1)] = ("tube",)
    filament_diameter_A: Angstrom = 250.0
    crystals: Annotated[int, Field(ge=0, le=1000)] = 0
    carbon: Annotated[float, Field(ge=0, le=0.9)] = 0.0

    @model_validator(mode="before")
    @classmethod
    def _settings_of_the_family(cls, given: Any) -> Any:  # noqa: ANN401
        name = given.get("family", DEFAULT_FAMILY) if isinstance(given, dict) else None
        family = FAMILIES.get(name) if isinstance(name, str) else None
        return given if family is None else {**family.settings, **given}

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

    @property
    def slab_volume_A3(self) -> float:
        """Volume in Å³ of what is filled with specimen."""
        z, y, x = self.extent_A
        return z * y * x * self.lamella

    @property
    def slab_A(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Lower and upper corner in Å of the region that is filled with specimen, its slope left aside."""
        z, y, x = self.extent_A
        margin = 0.5 * (1 - self.lamella) * z
        return (margin, 0.0, 0.0), (z - margin, y, x)
