"""Shapes of membranes: one module for each kind, all random choices in Å."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from cryomamba.synth.geometry.broken import rims
from cryomamba.synth.geometry.level_sets import folds, gyroid, random_field
from cryomamba.synth.geometry.mitochondria import cristae
from cryomamba.synth.geometry.nuclear_envelope import envelope
from cryomamba.synth.geometry.organelles import organelles
from cryomamba.synth.geometry.stacks import stacks
from cryomamba.synth.geometry.tubes import tubes
from cryomamba.synth.geometry.vesicles import vesicles
from cryomamba.synth.objects import Membrane, Spheres, Structure
from cryomamba.synth.spec import Geometry, PhantomSpec

__all__ = ["place_structure"]


def _none(_spec: PhantomSpec, _rng: np.random.Generator) -> list[Membrane]:
    return []


_GEOMETRIES: Final[Mapping[Geometry, Callable[[PhantomSpec, np.random.Generator], list[Membrane] | Structure]]] = {
    "none": _none,
    "vesicles": vesicles,
    "random_field": random_field,
    "gyroid": gyroid,
    "stacks": stacks,
    "folds": folds,
    "tubes": tubes,
    "cristae": cristae,
    "envelope": envelope,
    "rims": rims,
    "organelles": organelles,
}


def place_structure(spec: PhantomSpec, rng: np.random.Generator) -> Structure:
    """Return the membranes of the geometry of `spec`, and the proteins that belong to it."""
    made = _GEOMETRIES[spec.geometry](spec, rng)
    return made if isinstance(made, Structure) else Structure(made, Spheres.joined([]))
