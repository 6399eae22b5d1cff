"""Points spread evenly over surfaces, and which way their normals look.

Points are taken so that no two are nearer than the spacing and nothing of the surface is farther from the next than
that (Poisson-disk sampling; space is cut into cells of 27 colours, and all cells of a colour are served at once).
Normals of neighbours are made to agree as on a common sphere, along the tree of the surest neighbours (Hoppe, DeRose,
Duchamp, McDonald and Stuetzle, 1992). All of it depends on the surface alone, never on how it came.
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
_REACH: Final = 2.5
_SURE: Final = 0.9
# A surface that bulges less than this to one side, compared to its size, is flat.
_FLAT: Final = 0.03
# How far a point's neighbours lie below it, in units of their distance; if less than this, it is flat there.
_STRAIGHT: Final = 0.08
# How much neighbours want to agree, compared to how much a point wants to look where its surroundings bulge.
_TIE: Final = 0.3
_UNIT: Final = 1000

Floats = npt.NDArray[np.floating[Any]]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SurfacePoints:
    """Points on surfaces, in z, y, x.

    Attributes
    ----------
    positions_A : ndarray, (n, 3)
        Å from the centre of the first voxel.
    normals : ndarray, (n, 3)
        Unit vectors.
    pieces : ndarray of int64, (n,)
        Number of the connected piece that each lies on.
    """

    positions_A: Floats
    normals: Floats
    pieces: Numbers

    def __len__(self) -> int:
        return len(self.pieces)

    def chosen(self, which: npt.NDArray[Any]) -> SurfacePoints:
        """Return some of them, by a mask or by indices."""
        return SurfacePoints(self.positions_A[which], self.normals[which], self.pieces[which])


class SurfaceSampler:
    """Takes in a middle surface part by part, and keeps no more of it than the points need.

    Parameters
    ----------
    spacing_A : float
        Least distance of two points of a piece.
    voxel_size_A : tuple of float
    """

    def __init__(self, spacing_A: float, voxel_size_A: Spacing) -> None:
        self._spacing_A = spacing_A
        self._size = np.array(voxel_size_A)
        self._held: list[SurfacePoints] = []

    def add(self, part: MedialSurfacePart, pieces: npt.NDArray[Any]) -> None:
        """Take in a part and the piece that each of its voxels belongs to."""
        # At a mask's rim its middle is not sure, nor is what is across.
        sure = part.depths >= _SURE
        positions, normals = part.points[sure] * self._size, part.normals[sure].astype(np.float64)
        points = SurfacePoints(positions, normals, pieces[sure].astype(np.int64))
        self._held.append(_one_per_cell(points, self._spacing_A / _CELLS_PER_SPACING))

    def points(self) -> SurfacePoints:
        """Return points at about equal distances, piece by piece and along z, y, x; normals look where they should."""
        if not self._held:
            return SurfacePoints(np.empty((0, 3)), np.empty((0, 3)), np.empty(0, np.int64))
        every = SurfacePoints(
            np.concatenate([held.positions_A for held in self._held]),
            np.concatenate([held.normals for held in self._held]),
            np.concatenate([held.pieces for held in self._held]),
        )
        spread = _spread(_one_per_cell(every, self._spacing_A / _CELLS_PER_SPACING), self._spacing_A)
        return replace(spread, normals=_oriented(spread, self._spacing_A))


def nearest_signs(
    points: SurfacePoints, positions_A: Floats, normals: Floats, pieces: npt.NDArray[Any]
) -> npt.NDArray[np.float32]:
    """Return 1, or −1 for normals that look the other way than at the nearest point of their piece."""
    signs = np.ones(len(pieces), np.float32)
    if not (len(points) and len(pieces)):
        return signs
    scale = 10 * float(np.ptp(np.concatenate([points.positions_A, positions_A]), axis=0).max() + 1)
    tree = import_optional("scipy.spatial").cKDTree(np.column_stack([points.positions_A, points.pieces * scale]))
    _, near = tree.query(np.column_stack([positions_A, pieces * scale]))
    way = positions_A - points.positions_A[near]
    way = way / np.maximum(np.linalg.norm(way, axis=1), 1e-9)[:, None]
    there = points.normals[near]
    agrees = (normals * there).sum(axis=1) - 2 * (normals * way).sum(axis=1) * (there * way).sum(axis=1)
    signs[agrees < 0] = -1
    return signs


def _one_per_cell(points: SurfacePoints, cell_A: float) -> SurfacePoints:
    """Return of the points of a piece in a cell the one nearest to its middle, in a fixed order."""
    cells = np.floor(points.positions_A / cell_A).astype(np.int64)
    off = (((points.positions_A / cell_A - cells) - 0.5) ** 2).sum(axis=1)
    order = np.lexsort((*points.positions_A.T[::-1], off, *cells.T[::-1], points.pieces))
    key = np.column_stack([points.pieces, cells])[order]
    first = np.ones(len(order), np.bool_)
    first[1:] = (key[1:] != key[:-1]).any(axis=1)
    return points.chosen(order[first])


def _apart(points: SurfacePoints, spacing_A: float) -> Floats:
    """Return the places with the piece as a fourth axis, along which all pieces are out of each other's reach."""
    return np.column_stack([points.positions_A, points.pieces * (10 * spacing_A)])


def _spread(points: SurfacePoints, spacing_A: float) -> SurfacePoints:
    places = _apart(points, spacing_A)
    cells = np.floor(points.positions_A / spacing_A).astype(np.int64)
    colours = (cells % 3) @ np.array([9, 3, 1])
    _, cell = np.unique(np.column_stack([points.pieces, cells]), axis=0, return_inverse=True)
    taken = np.empty(0, np.int64)
    for colour in range(27):
        left = np.flatnonzero(colours == colour)
        if taken.size:
            tree = import_optional("scipy.spatial").cKDTree(places[taken])
            left = left[~np.isfinite(tree.query(places[left], distance_upper_bound=spacing_A)[0])]
        while left.size:
            _, first, back = np.unique(cell[left], return_index=True, return_inverse=True)
            chosen = left[first]
            taken = np.concatenate([taken, chosen])
            left = left[np.linalg.norm(places[left] - places[chosen[back]], axis=1) >= spacing_A]
    return points.chosen(np.sort(taken))


def _oriented(points: SurfacePoints, spacing_A: float) -> Floats:
    """Return the normals with signs that agree within a surface, outward where it is closed or bulges."""
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
    # A root over all groups makes one tree of them, which is walked once.
    roots = np.unique(group, return_index=True)[1]
    ends = tree.tocoo()
    rows, columns = np.concatenate([ends.row, np.full(groups, count)]), np.concatenate([ends.col, roots])
    whole = sparse.coo_array((np.ones(rows.size), (rows, columns)), shape=(count + 1, count + 1)).tocsr()
    order, before = graphs.breadth_first_order(whole, count, directed=False)
    turned = _turns(points, before[:count])
    for place in order[1:].tolist():
        parent = before[place]
        signs[place] = 1.0 if parent == count else signs[parent] * turned[place]
    normals: Floats = points.normals * signs[:, None]
    normals *= _outward(points.positions_A, normals, group, groups)[group][:, None]
    inward = _inward_parts(replace(points, normals=normals), one, other, spacing_A)
    normals[inward] *= -1
    return normals


def _neighbours(points: SurfacePoints, spacing_A: float) -> tuple[Numbers, Numbers]:
    places = _apart(points, spacing_A)
    tree = import_optional("scipy.spatial").cKDTree(places)
    distance, near = tree.query(places, k=min(_NEIGHBOURS + 1, len(places)), distance_upper_bound=_REACH * spacing_A)
    near, distance = near.reshape(len(places), -1), distance.reshape(len(places), -1)
    one = np.repeat(np.arange(len(places)), near.shape[1])
    pairs = np.column_stack([one, near.reshape(-1)])[np.isfinite(distance).reshape(-1)]
    pairs = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)
    return pairs[:, 0], pairs[:, 1]


def _agreement(points: SurfacePoints, one: Numbers, other: Numbers) -> tuple[Floats, Floats]:
    """Return how well normals agree on a common sphere (−1 to 1), and how doubtful it is that two are neighbours."""
    way = points.positions_A[other] - points.positions_A[one]
    way = way / np.maximum(np.linalg.norm(way, axis=1), 1e-9)[:, None]
    here, there = points.normals[one], points.normals[other]
    rise, fall = (here * way).sum(axis=1), (there * way).sum(axis=1)
    agrees = (here * there).sum(axis=1) - 2 * rise * fall
    return agrees, 1 - np.abs(agrees) + rise**2 + fall**2


def _turns(points: SurfacePoints, before: npt.NDArray[Any]) -> Floats:
    """Return for each point −1 where its normal has to be turned to agree with that of the point before it."""
    parents = np.minimum(np.maximum(before, 0), len(points) - 1).astype(np.int64)
    agrees, _ = _agreement(points, parents, np.arange(len(points)))
    return np.where(agrees < 0, -1.0, 1.0)


def _outward(positions_A: Floats, normals: Floats, group: npt.NDArray[Any], groups: int) -> Floats:
    """Return for each surface 1, or −1 where its normals look inward; flat ones look along +z, else +y, else +x."""
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
    """Return which points are to be turned after all, because they lie on another thing that only touches.

    Where two vesicles touch, one goes over into the other as the two bows of an S, so normals that agree all along look
    outward on one and inward on the other. Points want to look to the side to which the surface bulges, neighbours want
    to agree, and the cheapest cut between both wishes says who turns (Greig, Porteous and Seheult, 1989).
    """
    count = len(points)
    bulge = np.zeros(count)
    for here, there in ((one, other), (other, one)):
        way = points.positions_A[there] - points.positions_A[here]
        rise = (points.normals[here] * way).sum(axis=1) / np.maximum((way**2).sum(axis=1), 1e-9)
        bulge -= np.bincount(here, rise, count)
    bulge *= spacing_A / np.maximum(np.bincount(one, minlength=count) + np.bincount(other, minlength=count), 1)
    wish = np.round(_UNIT * np.sign(bulge) * np.maximum(np.abs(bulge) - _STRAIGHT, 0)).astype(np.int32)
    if not (wish < 0).any():
        return np.zeros(count, np.bool_)
    agrees, doubt = _agreement(points, one, other)
    ties = np.round(_UNIT * _TIE * np.maximum(agrees, 0) * np.maximum(1 - doubt, 0)).astype(np.int32)
    source, sink, every = count, count + 1, np.arange(count)
    rows = np.concatenate([one, other, np.full(count, source), every])
    columns = np.concatenate([other, one, every, np.full(count, sink)])
    capacity = np.concatenate([ties, ties, np.maximum(-wish, 0), np.maximum(wish, 0)]).astype(np.int32)
    some = capacity > 0
    sparse, graphs = import_optional("scipy.sparse"), import_optional("scipy.sparse.csgraph")
    graph = sparse.csr_array((capacity[some], (rows[some], columns[some])), shape=(count + 2, count + 2))
    left = graph - graphs.maximum_flow(graph, source, sink).flow
    left.eliminate_zeros()
    turned = np.zeros(count + 2, np.bool_)
    turned[graphs.breadth_first_order(left, source, return_predecessors=False)] = True
    return turned[:count]
