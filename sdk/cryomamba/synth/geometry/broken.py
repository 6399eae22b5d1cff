"""Broken membranes: sheets and vesicles with holes and free edges."""

from dataclasses import replace

import numpy as np

from cryomamba.synth.geometry.vesicles import vesicles
from cryomamba.synth.lattice import Lattice, per_angstrom
from cryomamba.synth.objects import Membrane
from cryomamba.synth.spec import PhantomSpec

_BOUNDS = 3


def rims(spec: PhantomSpec, rng: np.random.Generator) -> list[Membrane]:
    """Sheets and vesicles, each cut off where one of three random fields is high: 55 to 85 % of it remains."""
    lattice = Lattice(spec.extent_A)
    bounds = []
    for _ in range(_BOUNDS):
        field = lattice.noise(rng.uniform(600, 1500), rng)
        share = np.quantile(field[::2, ::2, ::2], rng.uniform(0.55, 0.85))
        bounds.append(lattice.surface(per_angstrom(field - np.float32(share))))
    whole = vesicles(spec, rng)
    return [replace(membrane, bound=bounds[rng.integers(_BOUNDS)]) for membrane in whole]
