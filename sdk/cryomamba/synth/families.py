"""Families of phantoms: named settings of a `PhantomSpec`, each made from other assumptions than the others.

A method that is tuned on some families is judged on another. Every setting can still be given beside the family.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

DEFAULT_FAMILY: Final = "vesicles"


@dataclass(frozen=True)
class Family:
    """A family of phantoms.

    Attributes
    ----------
    description : str
        What its phantoms hold, in one line.
    settings : mapping
        Fields of `PhantomSpec` that differ from the defaults.
    """

    description: str
    settings: Mapping[str, Any]


def _family(description: str, **settings: object) -> Family:
    return Family(description, MappingProxyType(settings))


_CELL: Final = {"crowding_shape": "lobed", "particles": None, "particle_kinds": ("ribosome",)}
"""Cytoplasm: proteins that are not round, and ribosomes."""

FAMILIES: Final[Mapping[str, Family]] = MappingProxyType(
    {
        "vesicles": _family("vesicles, some touching, wavy sheets, gold and round background particles"),
        "small_vesicles": _family(
            "many small vesicles of 30 to 60 nm, each membrane one unresolved line, with correlated background",
            **_CELL,
            vesicles=70,
            sheets=0,
            vesicle_radius_A=(150.0, 300.0),
            profile="line",
            thickness_A=(36.0, 46.0),
            crowding=0.03,
            crowding_noise=0.25,
        ),
        "random_field": _family(
            "tight membranes of any topology: level sets of filtered noise, two leaflets, lobed proteins",
            **_CELL,
            geometry="random_field",
            thickness_A=(38.0, 52.0),
            lamella=1.0,
        ),
        "gyroid": _family(
            "cubic membranes: a gyroid out of shape, broad membranes without leaflets, ribosomes",
            **_CELL,
            geometry="gyroid",
            profile="broad",
            thickness_A=(48.0, 60.0),
            crowding_noise=0.2,
        ),
        "stacks": _family(
            "stacks of flat or bowl-shaped cisternae with rims, as thylakoids and Golgi, small vesicles beside them",
            **_CELL,
            geometry="stacks",
            thickness_A=(38.0, 46.0),
            fiducial_diameter_A=60.0,
        ),
        "folds": _family(
            "strongly folded sheets with invaginations and buds, one leaflet stronger, actin beside them",
            **_CELL,
            geometry="folds",
            profile="asymmetric",
            filaments=None,
            filament_kinds=("actin",),
        ),
        "tubes": _family(
            "a branching network of tubules, as smooth reticulum, one line each, and microtubules",
            **_CELL,
            geometry="tubes",
            profile="line",
            thickness_A=(40.0, 50.0),
            filaments=None,
            filament_kinds=("microtubule",),
        ),
        "cristae": _family(
            "mitochondria: two membranes, lamellar folds of the inner one with ATP-synthase-like heads, dense matrix",
            **_CELL,
            geometry="cristae",
            profile="studded",
            crowding=0.12,
        ),
        "envelope": _family(
            "a nuclear envelope: two membranes that join at pores with their complexes, bound ribosomes",
            **_CELL,
            geometry="envelope",
            profile="asymmetric",
            bound_particles=0.5,
            crowding_noise=0.2,
        ),
        "rims": _family(
            "broken membranes: sheets and vesicles with holes and free edges, broad, contaminated with ice crystals",
            geometry="rims",
            profile="broad",
            crowding_shape="lobed",
            thickness_A=(35.0, 55.0),
            crystals=3,
        ),
        "lamella": _family(
            "the edges of a milled lamella: a tilted slab in vacuum, damaged layers, folded and studded membranes",
            **_CELL,
            geometry="folds",
            profile="studded",
            lamella=0.6,
            lamella_tilt_deg=12.0,
            damage_A=150.0,
            crowding=0.1,
        ),
        "organelles": _family(
            "organelles of analytic shape: cristae of random waves, nested vesicles, short tubules, sheets, ribosomes",
            geometry="organelles",
            thickness_A=(40.0, 50.0),
            crowding_shape="lobed",
            crowding=0.09,
            particles=None,
            particle_diameter_A=240.0,
            bound_particles=0.5,
            lamella=0.82,
            lamella_tilt_deg=5.0,
        ),
        "carbon": _family(
            "vesicles beside the edge of a carbon film, proteasomes, ice crystals, large gold",
            vesicles=None,
            sheets=0,
            carbon=0.35,
            crystals=2,
            crowding_shape="lobed",
            particles=None,
            particle_kinds=("proteasome",),
            lamella=0.7,
            fiducial_diameter_A=150.0,
        ),
        "cytosol": _family(
            "no membranes: ribosomes, proteasomes, microtubules, actin, gold, lobed proteins",
            geometry="none",
            crowding_shape="lobed",
            crowding=0.12,
            crowding_noise=0.2,
            particles=None,
            particle_kinds=("ribosome", "proteasome"),
            filaments=6,
            filament_kinds=("microtubule", "actin"),
        ),
        "contamination": _family(
            "no membranes: carbon film, ice crystals, much gold, few proteins, a tilted layer of ice",
            geometry="none",
            carbon=0.4,
            crystals=6,
            crowding=0.02,
            crowding_noise=0.15,
            fiducials=10,
            fiducial_diameter_A=120.0,
            lamella=0.6,
            lamella_tilt_deg=8.0,
        ),
        "empty": _family(
            "no membranes: a layer of ice and nothing in it", geometry="none", crowding=0.0, fiducials=0, lamella=0.7
        ),
    }
)
"""The families by name."""
