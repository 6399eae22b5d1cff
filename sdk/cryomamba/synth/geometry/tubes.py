"""A branching network of tubules, as smooth endoplasmic reticulum."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from cryomamba.synth.lattice import SPACING_A, Lattice
from cryomamba.synth.objects import Membrane, unit_vectors
from cryomamba.synth.spec import PhantomSpec


def tubes(spec: PhantomSpec, rng: np.random.Generator) -> list[Membrane]:
    """Tubules of 25 to 45 nm that join where they meet: one closed surface around a network of curved lines."""
    lattice = Lattice(spec.extent_A)
    apart = rng.uniform(750, 1000)
    lines = _network(np.asarray(spec.extent_A), apart, rng)
    free = np.ones(lattice.shape, np.bool_)
    first = np.array([axis.flat[0] for axis in lattice.axes])
    cells = np.rint((lines - first) / SPACING_A).astype(int)
    cells = cells[((cells >= 0) & (cells < lattice.shape)).all(axis=1)]
    free[tuple(cells.T)] = False
    away = ndimage.distance_transform_edt(free, SPACING_A).astype(np.float32)
    # The lines are as rough as the lattice; the filter smooths them and rounds the junctions.
    away = ndimage.gaussian_filter(away, 2.0)
    radius = rng.uniform(150, 210) * (1 + 0.12 * lattice.noise(900, rng))
    return [lattice.membrane(np.asarray(away - radius, np.float32), rng.uniform(*spec.thickness_A))]


def _network(extent: NDArray[np.float64], apart: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return points (n, 3) along lines that connect random nodes with the two to four nodes nearest to them."""
    margin = 0.5 * apart
    size = extent + 2 * margin
    nodes = rng.uniform(0, size, (max(4, round(1.5 * float(np.prod(size)) / apart**3)), 3)) - margin
    near = np.asarray(cKDTree(nodes).query(nodes, min(4, len(nodes)))[1])
    pairs = {(min(i, j), max(i, j)) for i, row in enumerate(near) for j in row[1 : rng.integers(3, 5)]}
    lines = []
    for i, j in sorted(pairs):
        start, end = nodes[i], nodes[j]
        length = float(np.linalg.norm(end - start))
        control = 0.5 * (start + end) + unit_vectors(rng, 1)[0] * length * rng.uniform(0, 0.3)
        share = np.linspace(0, 1, int(length / 8) + 2)[:, None]
        lines.append(start * (1 - share) ** 2 + control * 2 * share * (1 - share) + end * share**2)
    return np.concatenate(lines)
