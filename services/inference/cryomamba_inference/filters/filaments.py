"""Filaments: from densities on nodes to centre points with scores, and the scores between which to cut."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from cryomamba.records import Shape
from cryomamba_inference.filters.blobs import Borders, borders_of
from cryomamba_inference.filters.calibration import bead_limit
from cryomamba_inference.filters.centre_lines import centre_points, strongest_across, votes
from cryomamba_inference.filters.false_picks import otsu
from cryomamba_inference.filters.grid import CoarseGrid
from cryomamba_inference.filters.lines import LineBank
from cryomamba_inference.filters.samples import Sample, samples

Field = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]

NODES_PER_DIAMETER = 5.0
SCORE_OCTAVE = 24.0
"""Scores are `SCORE_OCTAVE` · log2(1 + votes), at most 255."""
_FLOOR = 3.0
_RING = 0.8
_BESIDE = 0.8
_SPREAD = 1.2
_VOTE_REACH = 2.5
_FRINGE = 2.0
_FRINGE_RATIO = 1.3
_FALSE_SHARE = 0.02
_GAP = 8
_LEAST = 90
_LOW = 18
_APART = 0.7


@dataclass(frozen=True, slots=True)
class FilamentModel:
    """What was learned of a volume; the same for every tile.

    Attributes
    ----------
    diameter : float
        In nodes.
    sign : float
        1 where filaments are brighter than their surroundings, −1 where darker.
    level, limit : float
        Median density, and how far from it densities count, so that gold does not outshine all.
    bank : LineBank
    """

    diameter: float
    sign: float
    level: float
    limit: float
    bank: LineBank

    @property
    def margin(self) -> int:
        """Nodes around a box that decide which points are in it and what their scores are."""
        return self.bank.reach + math.ceil((_RING + _BESIDE + _VOTE_REACH) * self.diameter) + 3

    def density(self, nodes: Field) -> Field:
        """Return densities with filaments positive, about 0, and without what is beyond the limit."""
        field = (nodes - np.float32(self.level)) * np.float32(self.sign)
        return np.asarray(np.clip(field, -self.limit, self.limit), np.float32)

    def points(self, density: Field, borders: Borders) -> Points:
        """Return the centre points of a field (n, 7): z, y, x in its nodes, direction, score."""
        response, direction = self.bank.strongest(density, borders)
        edge = self.bank.reach + math.ceil(_RING * self.diameter) + 1
        box = [(0 if a else edge, n if b else n - edge) for n, (a, b) in zip(density.shape, borders, strict=True)]
        found = centre_points(
            response,
            direction,
            self.bank.directions,
            floor=_FLOOR,
            ring=_RING * self.diameter,
            box=np.asarray(box, np.int64),
        )
        found = found[strongest_across(found, _BESIDE * self.diameter)]
        total = votes(found, spread=_SPREAD * self.diameter, reach=_VOTE_REACH * self.diameter)
        scores = np.minimum(SCORE_OCTAVE * np.log2(1 + total), 255)
        return np.column_stack([found[:, :6], scores]).astype(np.float64)


def calibrate(
    nodes: Field, grid: CoarseGrid, *, diameter_A: float, contrast: Literal["dark", "bright", "auto"]
) -> tuple[FilamentModel, int, int]:
    """Learn contrast and noise from samples of the nodes; return also the scores between which hysteresis cuts."""
    boxes = samples(nodes)
    values = np.concatenate([box.field.reshape(-1) for box in boxes])
    level = float(np.median(values))
    limit = bead_limit(values, level)
    diameter = diameter_A / grid.step_A
    model = FilamentModel(diameter, 1.0, level, limit if limit > 0 else math.inf, LineBank(diameter))
    model = replace(model, bank=model.bank.calibrated([model.density(box.field) for box in boxes]))
    found = {sign: _found(_turned(model, sign), boxes) for sign in (1.0, -1.0)}
    sign = _stronger(found) if contrast == "auto" else {"dark": -1.0, "bright": 1.0}[contrast]
    return _turned(model, sign), *find_cut(found[sign], found[-sign], diameter)


def find_cut(points: list[Points], decoys: list[Points], diameter: float) -> tuple[int, int]:
    """Return the scores from which on a point belongs to a filament, and from which on a filament is believed.

    What has the other contrast is no filament, and tells how high noise reaches; fringes of filaments are left out.

    Parameters
    ----------
    points, decoys : lists of arrays of shape (n, 7)
        Of the same samples, with the filaments' contrast and with the other.
    diameter : float
        In the unit of the places.
    """
    scores = np.concatenate([one[:, 6] for one in points])
    false = np.concatenate([_no_fringes(own, near, diameter) for own, near in zip(decoys, points, strict=True)])
    tried = np.arange(_LEAST, 256)
    above = np.array([np.count_nonzero(scores >= at) for at in tried])
    wrong = np.array([np.count_nonzero(false >= at) for at in tried])
    good = tried[wrong <= _FALSE_SHARE * above]
    high = int(good[0]) if good.size else 255
    strong = np.sort(scores[scores >= high])
    if strong.size > 1:
        gap, apart = otsu(strong)
        high = int(gap) if apart > _APART else high
    # Few decoys by chance are no proof of none: without any filament, nothing should come near.
    if not np.count_nonzero(scores >= high + _GAP):
        high = 255
    return max(high - _LOW, 1), high


def find_filaments(model: FilamentModel, grid: CoarseGrid, nodes: Field, start: Shape, shape: Shape) -> Points:
    """Find the centre points in and around a box of voxels, as far as tubes around them reach into it.

    Returns
    -------
    array of shape (n, 7), float64
        z, y, x in Å from the first voxel, the direction (z, y, x), and the score.
    """
    stop = (start[0] + shape[0], start[1] + shape[1], start[2] + shape[2])
    tube = math.ceil(model.diameter / 2) + 2
    first, last = grid.nodes(start, stop, margin=tube + model.margin)
    around = nodes[first[0] : last[0], first[1] : last[1], first[2] : last[2]]
    points = model.points(model.density(around), borders_of(first, last, grid.node_shape))
    points[:, :3] = (points[:, :3] + first) * grid.step_A
    reach = tube * grid.step_A
    size = np.array(grid.voxel_size_A)
    near = (points[:, :3] >= start * size - reach) & (points[:, :3] <= (np.array(stop) - 1) * size + reach)
    return points[near.all(axis=1)]


def _turned(model: FilamentModel, sign: float) -> FilamentModel:
    """Return the model for filaments of that sign; the bank's medians turn with it."""
    bank = replace(model.bank, middles=np.float32(sign * model.sign) * model.bank.middles)
    return replace(model, sign=sign, bank=bank)


def _found(model: FilamentModel, boxes: list[Sample]) -> list[Points]:
    return [model.points(model.density(box.field), box.borders) for box in boxes]


def _stronger(found: dict[float, list[Points]]) -> float:
    """Return the contrast with the higher scores."""
    return max(found, key=lambda sign: float((np.concatenate([one[:, 6] for one in found[sign]]) ** 4).sum()))


def _no_fringes(decoys: Points, points: Points, diameter: float) -> npt.NDArray[np.float64]:
    """Return the scores of decoys that have no much stronger point of the other sign beside them."""
    if not len(decoys) or not len(points):
        return decoys[:, 6]
    tree = cKDTree(points[:, :3])
    fringe = np.zeros(len(decoys), np.bool_)
    strong = 2 ** (decoys[:, 6] / SCORE_OCTAVE) * _FRINGE_RATIO
    for number, near in enumerate(tree.query_ball_point(decoys[:, :3], _FRINGE * diameter)):
        fringe[number] = bool(near) and 2 ** (points[near, 6].max() / SCORE_OCTAVE) > strong[number]
    return decoys[~fringe, 6]
