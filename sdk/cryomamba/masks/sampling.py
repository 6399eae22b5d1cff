"""Evenly spaced points on surfaces, with consistently oriented normals.

Points are chosen by Poisson-disk sampling: no two are closer than the spacing, and no point of the surface is farther
than that from one of them. Space is divided into cells of 27 colours, and all cells of a colour are processed together.
Normals are oriented along a minimum spanning tree of neighbours, as if each two lay on a common sphere (Hoppe, DeRose,
Duchamp, McDonald and Stuetzle, 1992). The result depends on the surface only, not on the slabs that it came in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cryomamba.geometry import Spacing
from cryomamba.masks.medial_surface import MedialSurfacePart
from cryomamba.optional_imports import import_optional

_CELLS_PER_SPACING: Final = 4
_NEIGHBOURS: Final = 10
# Largest distance of neighbours, in spacings.
_REACH: Final = 2.5
# Least depth (smoothed mask relative to the interior) of a point; at the mask's rim, position and normal are uncertain.
_MIN_DEPTH: Final = 0.9
# A surface whose bulge to one side is below this fraction of its extent is flat.
_FLAT: Final = 0.03
# A point is locally flat if its neighbours lie less than this fraction of their distance below its tangent plane.
_LOCALLY_FLAT: Final = 0.08
# Graph cut: weight of agreement between neighbours relative to the bulge at a point.
_SMOOTHNESS: Final = 0.3
# Capacities of the graph cut are integers; this is 1.
_UNIT: Final = 1000

Floats = npt.NDArray[np.floating[Any]]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SurfacePoints:
    """Points on surfaces; vectors in z, y, x.

    Attributes
    ----------
    positions_A : ndarray, (n, 3)
        Å from the centre of the first voxel.
    normals : ndarray, (n, 3)
        Unit vectors.
    components : ndarray of int64, (n,)
        Number of the component of each point.
    """

    positions_A: Floats
    normals: Floats
    components: Numbers

    def __len__(self) -> int:
        return len(self.components)

    def select(self, which: npt.NDArray[Any]) -> SurfacePoints:
        """Return some of the points, by a boolean mask or by indices."""
        return SurfacePoints(self.positions_A[which], self.normals[which], self.components[which])


class SurfaceSampler:
    """Samples points from a medial surface that is added part by part.

    Parameters
    ----------
    spacing_A : float
        Minimum distance between two points of a component.
    voxel_size_A : tuple of float
    """

    def __init__(self, spacing_A: float, voxel_size_A: Spacing) -> None:
        self._spacing_A = spacing_A
        self._size = np.array(voxel_size_A)
        self._parts: list[SurfacePoints] = []

    def add(self, part: MedialSurfacePart, components: npt.NDArray[Any]) -> None:
        """Add a part of the surface, with the component number of each of its voxels."""
        certain = part.depths >= _MIN_DEPTH
        positions, normals = part.points[certain] * self._size, part.normals[certain].astype(np.float64)
        points = SurfacePoints(positions, normals, components[certain].astype(np.int64))
        self._parts.append(_one_per_cell(points, self._spacing_A / _CELLS_PER_SPACING))

    def points(self) -> SurfacePoints:
        """Return the sampled points, ordered by component and along z, y, x, with oriented normals."""
        if not self._parts:
            return SurfacePoints(np.empty((0, 3)), np.empty((0, 3)), np.empty(0, np.int64))
        columns = zip(*((part.positions_A, part.normals, part.components) for part in self._parts), strict=True)
        every = SurfacePoints(*(np.concatenate(column) for column in columns))
        sampled = _poisson_disk(_one_per_cell(every, self._spacing_A / _CELLS_PER_SPACING), self._spacing_A)
        return replace(sampled, normals=_oriented(sampled, self._spacing_A))


def nearest_signs(
    points: SurfacePoints, positions_A: Floats, normals: Floats, components: npt.NDArray[Any]
) -> npt.NDArray[np.float32]:
    """Return the signs that orient normals like the nearest sampled point of their component."""
    signs = np.ones(len(components), np.float32)
    if not (len(points) and len(components)):
        return signs
    scale = 10 * float(np.ptp(np.concatenate([points.positions_A, positions_A]), axis=0).max() + 1)
    tree = import_optional("scipy.spatial").cKDTree(np.column_stack([points.positions_A, points.components * scale]))
    _, near = tree.query(np.column_stack([positions_A, components * scale]))
    way = positions_A - points.positions_A[near]
    way = way / np.maximum(np.linalg.norm(way, axis=1), 1e-9)[:, None]
    there = points.normals[near]
    agrees = (normals * there).sum(axis=1) - 2 * (normals * way).sum(axis=1) * (there * way).sum(axis=1)
    signs[agrees < 0] = -1
    return signs


def _one_per_cell(points: SurfacePoints, cell_A: float) -> SurfacePoints:
    """Return the point of each component that is nearest to the centre of each cell, in a fixed order."""
    cells = np.floor(points.positions_A / cell_A).astype(np.int64)
    off = (((points.positions_A / cell_A - cells) - 0.5) ** 2).sum(axis=1)
    order = np.lexsort((*points.positions_A.T[::-1], off, *cells.T[::-1], points.components))
    key = np.column_stack([points.components, cells])[order]
    first = np.ones(len(order), np.bool_)
    first[1:] = (key[1:] != key[:-1]).any(axis=1)
    return points.select(order[first])


def _separated(points: SurfacePoints, spacing_A: float) -> Floats:
    """Return positions with a fourth coordinate that keeps different components out of each other's reach."""
    return np.column_stack([points.positions_A, points.components * (10 * spacing_A)])


def _poisson_disk(points: SurfacePoints, spacing_A: float) -> SurfacePoints:
    positions = _separated(points, spacing_A)
    cells = np.floor(points.positions_A / spacing_A).astype(np.int64)
    colours = (cells % 3) @ np.array([9, 3, 1])
    _, cell = np.unique(np.column_stack([points.components, cells]), axis=0, return_inverse=True)
    selected = np.empty(0, np.int64)
    for colour in range(27):
        left = np.flatnonzero(colours == colour)
        if selected.size:
            tree = import_optional("scipy.spatial").cKDTree(positions[selected])
            left = left[~np.isfinite(tree.query(positions[left], distance_upper_bound=spacing_A)[0])]
        while left.size:
            _, first, back = np.unique(cell[left], return_index=True, return_inverse=True)
            chosen = left[first]
            selected = np.concatenate([selected, chosen])
            left = left[np.linalg.norm(positions[left] - positions[chosen[back]], axis=1) >= spacing_A]
    return points.select(np.sort(selected))


def _oriented(points: SurfacePoints, spacing_A: float) -> Floats:
    """Return consistently oriented normals, pointing outward where a surface is closed or bulges."""
    count = len(points)
    if not count:
        return points.normals
    one, other = _neighbours(points, spacing_A)
    _, doubt = _agreement(points, one, other)
    sparse, graphs = import_optional("scipy.sparse"), import_optional("scipy.sparse.csgraph")
    graph = sparse.coo_array((doubt + 1e-6, (one, other)), shape=(count, count)).tocsr()
    tree = graphs.minimum_spanning_tree(graph)
    groups, group = graphs.connected_components(tree, directed=False)
    signs = np.ones(count)
    # One root above all trees, so that they are traversed at once.
    roots = np.unique(group, return_index=True)[1]
    ends = tree.tocoo()
    rows, columns = np.concatenate([ends.row, np.full(groups, count)]), np.concatenate([ends.col, roots])
    rooted = sparse.coo_array((np.ones(rows.size), (rows, columns)), shape=(count + 1, count + 1)).tocsr()
    order, before = graphs.breadth_first_order(rooted, count, directed=False)
    flips = _flips(points, before[:count])
    for row in order[1:].tolist():
        parent = before[row]
        signs[row] = 1.0 if parent == count else signs[parent] * flips[row]
    normals: Floats = points.normals * signs[:, None]
    normals *= _outward(points.positions_A, normals, group, groups)[group][:, None]
    inward = _inward_parts(replace(points, normals=normals), one, other, spacing_A)
    normals[inward] *= -1
    return normals


def _neighbours(points: SurfacePoints, spacing_A: float) -> tuple[Numbers, Numbers]:
    positions = _separated(points, spacing_A)
    tree = import_optional("scipy.spatial").cKDTree(positions)
    distance, near = tree.query(
        positions, k=min(_NEIGHBOURS + 1, len(positions)), distance_upper_bound=_REACH * spacing_A
    )
    near, distance = near.reshape(len(positions), -1), distance.reshape(len(positions), -1)
    one = np.repeat(np.arange(len(positions)), near.shape[1])
    pairs = np.column_stack([one, near.reshape(-1)])[np.isfinite(distance).reshape(-1)]
    pairs = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)
    return pairs[:, 0], pairs[:, 1]


def _agreement(points: SurfacePoints, one: Numbers, other: Numbers) -> tuple[Floats, Floats]:
    """Return how well pairs of normals agree on a common sphere (−1 to 1), and the cost of the edge between them."""
    way = points.positions_A[other] - points.positions_A[one]
    way = way / np.maximum(np.linalg.norm(way, axis=1), 1e-9)[:, None]
    here, there = points.normals[one], points.normals[other]
    rise, fall = (here * way).sum(axis=1), (there * way).sum(axis=1)
    agrees = (here * there).sum(axis=1) - 2 * rise * fall
    return agrees, 1 - np.abs(agrees) + rise**2 + fall**2


def _flips(points: SurfacePoints, before: npt.NDArray[Any]) -> Floats:
    """Return −1 for each point whose normal must be flipped to agree with that of its parent, else 1."""
    parents = np.minimum(np.maximum(before, 0), len(points) - 1).astype(np.int64)
    agrees, _ = _agreement(points, parents, np.arange(len(points)))
    return np.where(agrees < 0, -1.0, 1.0)


def _outward(positions_A: Floats, normals: Floats, group: npt.NDArray[Any], groups: int) -> Floats:
    """Return −1 for each surface whose normals point inward, else 1; flat ones point along +z, else +y, else +x."""
    count = np.bincount(group, minlength=groups)
    sums = [np.bincount(group, positions_A[:, axis], groups) for axis in range(3)]
    away = positions_A - (np.array(sums) / count).T[group]
    bulge = np.bincount(group, (normals * away).sum(axis=1), groups)
    size = np.bincount(group, np.linalg.norm(away, axis=1), groups)
    means = np.array([np.bincount(group, normals[:, axis], groups) for axis in range(3)]) / count
    first = np.abs(means).argmax(axis=0)
    for axis in (2, 1, 0):
        first = np.where(np.abs(means[axis]) > 0.1, axis, first)
    upward = means[first, np.arange(groups)]
    decides = np.where(np.abs(bulge) > _FLAT * size, bulge, upward)
    return np.where(decides < 0, -1.0, 1.0)


def _inward_parts(points: SurfacePoints, one: Numbers, other: Numbers, spacing_A: float) -> npt.NDArray[np.bool_]:
    """Return the points whose normals must be flipped because they lie on another, touching object.

    Where two vesicles touch, their surfaces join in an S shape, so that consistent normals point outward on one and
    inward on the other. A graph cut weighs the bulge of the surface at each point against the agreement of neighbours
    (Greig, Porteous and Seheult, 1989).
    """
    count = len(points)
    bulge = np.zeros(count)
    for here, there in ((one, other), (other, one)):
        way = points.positions_A[there] - points.positions_A[here]
        rise = (points.normals[here] * way).sum(axis=1) / np.maximum((way**2).sum(axis=1), 1e-9)
        bulge -= np.bincount(here, rise, count)
    bulge *= spacing_A / np.maximum(np.bincount(one, minlength=count) + np.bincount(other, minlength=count), 1)
    preference = np.round(_UNIT * np.sign(bulge) * np.maximum(np.abs(bulge) - _LOCALLY_FLAT, 0)).astype(np.int32)
    if not (preference < 0).any():
        return np.zeros(count, np.bool_)
    agrees, doubt = _agreement(points, one, other)
    weights = np.round(_UNIT * _SMOOTHNESS * np.maximum(agrees, 0) * np.maximum(1 - doubt, 0)).astype(np.int32)
    source, sink, every = count, count + 1, np.arange(count)
    rows = np.concatenate([one, other, np.full(count, source), every])
    columns = np.concatenate([other, one, every, np.full(count, sink)])
    ends = np.maximum(-preference, 0), np.maximum(preference, 0)
    capacity = np.concatenate([weights, weights, *ends]).astype(np.int32)
    some = capacity > 0
    sparse, graphs = import_optional("scipy.sparse"), import_optional("scipy.sparse.csgraph")
    graph = sparse.csr_array((capacity[some], (rows[some], columns[some])), shape=(count + 2, count + 2))
    residual = graph - graphs.maximum_flow(graph, source, sink).flow
    residual.eliminate_zeros()
    flipped = np.zeros(count + 2, np.bool_)
    flipped[graphs.breadth_first_order(residual, source, return_predecessors=False)] = True
    return flipped[:count]
