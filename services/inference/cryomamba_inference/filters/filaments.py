"""Filaments: from densities on nodes to centre points with scores, and the scores between which to cut."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from cryomamba.records import Shape
from cryomamba_inference.filters.blobs import Borders, borders_of
from cryomamba_inference.filters.calibration import bead_limit
from cryomamba_inference.filters.centre_lines import centre_points, strongest_across, votes
from cryomamba_inference.filters.grid import CoarseGrid
from cryomamba_inference.filters.lines import LineBank
from cryomamba_inference.filters.samples import Sample, samples
from cryomamba_inference.filters.tracing import trace

Field = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]

NODES_PER_DIAMETER = 5.0
LENGTH_DIAMETERS = 2.5
"""A line that goes on for so many diameters is taken for a filament."""
SCORE_OCTAVE = 24.0
"""Scores are `SCORE_OCTAVE` · log2(1 + votes), at most 255."""
_FLOOR = 3.0
_RING = 0.8
_BESIDE = 0.8
_SPREAD = 1.2
_VOTE_REACH = 2.5
_OF_SUREST = 0.88
_LEAST = 112
_LOW = 6
_GOLD_NODES = 2
_MOST = 0.5
_ROUNDING = 1e-5
_OUTER = 0.3


@dataclass(frozen=True, slots=True)
class FilamentModel:
    """What was learned of a volume; the same for every tile.

    Attributes
    ----------
    diameter : float
        In nodes.
    sign : float
        1 where filaments are brighter than their surroundings, −1 where darker.
    level, limit, most : float
        Median density; how far from it the density of anything but gold may be; and how far it counts, so that a few
        dense places do not outshine a long weak line.
    bank : LineBank
    """

    diameter: float
    sign: float
    level: float
    limit: float
    most: float
    bank: LineBank

    @property
    def margin(self) -> int:
        """Nodes around a box that decide which points are in it and what their scores are."""
        return self.bank.reach + math.ceil((_RING + _BESIDE + _VOTE_REACH) * self.diameter) + 3 + _GOLD_NODES

    def density(self, nodes: Field) -> Field:
        """Return densities with filaments positive, about 0, and without gold and what is next to it."""
        field = (nodes - np.float32(self.level)) * np.float32(self.sign)
        gold = ndimage.binary_dilation(np.abs(field) > self.limit, iterations=_GOLD_NODES)
        field[gold] = 0
        return np.asarray(np.clip(field, -self.most, self.most), np.float32)

    def points(self, density: Field, borders: Borders) -> Points:
        """Return the centre points of a field (n, 7): z, y, x in its nodes, direction, score."""
        response, direction = self.bank.strongest(density, borders)
        edge = self.bank.reach + math.ceil(_RING * self.diameter) + 1
        # A line that runs along a border, half outside, cannot be told from what reflection makes of anything there.
        side = math.ceil(_OUTER * self.diameter)
        box = [
            (side if a else edge, n - side if b else n - edge) for n, (a, b) in zip(density.shape, borders, strict=True)
        ]
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
    # What rounding leaves of a constant volume is no noise to compare with.
    nothing = float(np.ptp(values)) <= _ROUNDING * abs(level)
    bounds = (limit, _MOST * limit) if limit > 0 else (math.inf, math.inf)
    bounds = (math.inf, 0.0) if nothing else bounds
    model = FilamentModel(diameter, 1.0, level, *bounds, LineBank(diameter))
    model = replace(model, bank=model.bank.calibrated([model.density(box.field) for box in boxes]))
    signs = (-1.0, 1.0) if contrast == "auto" else ({"dark": -1.0, "bright": 1.0}[contrast],)
    found = {sign: _found(_turned(model, sign), boxes) for sign in signs}
    lines = {sign: _lines(points, diameter) for sign, points in found.items()}
    sign = max(signs, key=lambda one: _evidence(lines[one]))
    return _turned(model, sign), *find_cut(lines[sign] or [points[:, 6] for points in found[sign]])


def find_cut(scores: list[Points]) -> tuple[int, int]:
    """Return the scores from which on a point belongs to a filament, and from which on a filament is believed.

    Scores are in units of noise, which alone hardly ever reaches the least threshold over a filament's length. Above
    it, what falls far behind the surest filament is clutter.

    Parameters
    ----------
    scores : list of arrays of shape (n,)
        Those along each line that might be a filament.
    """
    surest = max((float(one.max(initial=0)) for one in scores), default=0.0)
    high = min(max(int(_OF_SUREST * surest), _LEAST), 255)
    return high - _LOW, high


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
    low, high = np.array(start) * size - reach, (np.array(stop) - 1) * size + reach
    near = ((points[:, :3] >= low) & (points[:, :3] <= high)).all(axis=1)
    return np.asarray(points[near], np.float64)


def _turned(model: FilamentModel, sign: float) -> FilamentModel:
    """Return the model for filaments of that sign; the bank's medians turn with it."""
    bank = replace(model.bank, middles=np.float32(sign * model.sign) * model.bank.middles)
    return replace(model, sign=sign, bank=bank)


def _found(model: FilamentModel, boxes: list[Sample]) -> list[Points]:
    return [model.points(model.density(box.field), box.borders) for box in boxes]


def _lines(found: list[Points], diameter: float) -> list[Points]:
    """Return the scores along each line that goes on for long enough.

    In a thin volume, what stands upright may have scores above all filaments, but ends soon.
    """
    least = LENGTH_DIAMETERS * diameter
    lines: list[Points] = []
    for points in found:
        strong = points[points[:, 6] >= _LEAST - _LOW]
        traced = trace(strong, diameter_A=diameter, high=_LEAST, min_length_A=least, spacing_A=1.0)
        lines += [line.scores for line in traced]
    return lines


def _evidence(lines: list[Points]) -> float:
    """Return how much speaks for lines: a filament has longer fringes of the other contrast beside it, but weaker."""
    return float(sum(((2 ** (scores / SCORE_OCTAVE) - 1) ** 2).sum() for scores in lines))
