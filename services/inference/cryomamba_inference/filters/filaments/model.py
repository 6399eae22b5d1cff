"""Filament scores: from densities to centreline points with scores, and the hysteresis thresholds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from cryomamba.geometry import Shape
from cryomamba_inference.filters.filaments.calibration_boxes import calibration_boxes
from cryomamba_inference.filters.filaments.centrelines import centreline_points, line_votes, suppress_non_maxima
from cryomamba_inference.filters.filaments.fiducials import fiducial_limit
from cryomamba_inference.filters.filaments.lines import LineBank
from cryomamba_inference.filters.filaments.tracing import trace
from cryomamba_inference.volume_preparation.grid import WorkingGrid, spans
from cryomamba_inference.volume_preparation.node_map import NodeMap

Field = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]

NODES_PER_DIAMETER = 5.0
LENGTH_DIAMETERS = 2.5
"""Minimum length of a filament in diameters."""
SCORE_OCTAVE = 24.0
"""Scores are `SCORE_OCTAVE` · log2(1 + votes), at most 255."""
MIN_SCORE = 48
"""Points with a lower score are discarded."""
BOX_NODES = 112  # side of a box that is filtered at a time
_SAMPLE_STRIDE = 3  # every third calibration box is used for the noise
_RESPONSE_FLOOR = 3.0  # minimum response in standard deviations of the noise
# Distances in diameters:
_WALL_DIAMETERS = 0.7  # to the samples of the wall
_SUPPRESSION_DIAMETERS = 0.8  # of the non-maximum suppression
_VOTE_SIGMA_DIAMETERS = 1.2  # standard deviation of the decay of votes
_VOTE_REACH_DIAMETERS = 2.5  # of votes
_BORDER_DIAMETERS = 0.1  # from the border of the volume to centreline points
_SHARE_OF_BEST = 0.8  # upper threshold relative to the best score
_MIN_HIGH = 120  # minimum of the upper threshold
_HYSTERESIS = 20  # scores between the two thresholds
_FIDUCIAL_DILATION = 2  # nodes
_FIDUCIAL_CONTRAST = 2.0  # densities beyond this many limits show the contrast of gold
_CLIP = 0.5  # of the fiducial limit, to which densities are clipped
_ROUNDING = 1e-5  # relative density range of a constant volume


@dataclass(frozen=True, slots=True)
class FilamentModel:
    """The calibrated parameters of a volume; the same for every tile.

    Attributes
    ----------
    diameter : float
        In nodes.
    level, limit, clip : float
        Median density; distance from it beyond which a density belongs to fiducials; and distance to which densities
        are clipped, so that a few dense spots do not dominate a long weak line.
    """

    diameter: float
    level: float
    limit: float
    clip: float
    bank: LineBank

    @property
    def margin(self) -> int:
        """Nodes around a box whose responses influence its points and their scores."""
        return math.ceil((_WALL_DIAMETERS + _SUPPRESSION_DIAMETERS + _VOTE_REACH_DIAMETERS) * self.diameter) + 4

    def density(self, nodes: Field) -> Field:
        """Return densities relative to the level, without fiducials and their surroundings, clipped."""
        field = nodes - np.float32(self.level)
        fiducials = ndimage.binary_dilation(np.abs(field) > self.limit, iterations=_FIDUCIAL_DILATION)
        field[fiducials] = 0
        return np.asarray(np.clip(field, -self.clip, self.clip), np.float32)


@dataclass(frozen=True, slots=True)
class LineMap:
    """The response to lines of one contrast on all nodes of a volume.

    Attributes
    ----------
    sign : int
        1 for lines brighter than their surroundings, −1 for darker ones.
    response, direction : NodeMap
        The strongest response (float32) and the index of its orientation (uint8).
    """

    nodes: NodeMap
    sign: int
    response: NodeMap
    direction: NodeMap

    @classmethod
    def empty(cls, nodes: NodeMap, sign: int, folder: Path | None) -> LineMap:
        """Create the arrays in a directory."""
        shape = nodes.array.shape
        return cls(nodes, sign, NodeMap(shape, folder), NodeMap(shape, folder, np.uint8))

    def points(self, model: FilamentModel, first: Shape, last: Shape) -> Points:
        """Return the centreline points in a box of nodes (n, 7): z, y, x in nodes of the volume, direction, score."""
        shape = self.response.array.shape
        low = [max(a - model.margin, 0) for a in first]
        high = [min(b + model.margin, n) for b, n in zip(last, shape, strict=True)]
        around = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        response, direction = (np.array(one.array[around]) for one in (self.response, self.direction))
        density = model.density(np.array(self.nodes.array[around])) * np.float32(self.sign)
        # Of a line along a border, most must be inside the volume.
        side = math.ceil(_BORDER_DIAMETERS * model.diameter)
        seen = [
            (side if a == 0 else 1, b - a - (side if b == n else 1)) for a, b, n in zip(low, high, shape, strict=True)
        ]
        found = centreline_points(
            response,
            direction,
            density,
            model.bank.directions,
            floor=_RESPONSE_FLOOR,
            diameter=model.diameter,
            box=np.asarray(seen, np.int64),
        )
        found = found[suppress_non_maxima(found, _SUPPRESSION_DIAMETERS * model.diameter)]
        total = line_votes(
            found, spread=_VOTE_SIGMA_DIAMETERS * model.diameter, reach=_VOTE_REACH_DIAMETERS * model.diameter
        )
        scores = np.minimum(SCORE_OCTAVE * np.log2(1 + total), 255)
        points = np.column_stack([found[:, :6], scores]).astype(np.float64)
        points[:, :3] += low
        inside = ((np.floor(points[:, :3] + 0.5) >= first) & (np.floor(points[:, :3] + 0.5) < last)).all(axis=1)
        return np.asarray(points[inside & (points[:, 6] >= MIN_SCORE)])


def learn_model(nodes: Field, grid: WorkingGrid, *, diameter_A: float) -> FilamentModel:
    """Estimate level, fiducial limit and noise from samples of the volume."""
    shape: Shape = (nodes.shape[0], nodes.shape[1], nodes.shape[2])
    boxes = [
        np.array(nodes[tuple(slice(*side) for side in zip(*box, strict=True))]) for box in calibration_boxes(shape)
    ]
    values = np.concatenate([box.reshape(-1) for box in boxes])
    level = float(np.median(values))
    limit = fiducial_limit(values, level)
    diameter = diameter_A / grid.step_A
    # Rounding errors of a constant volume do not count as noise.
    nothing = float(np.ptp(values)) <= _ROUNDING * abs(level)
    bounds = (limit, _CLIP * limit) if limit > 0 else (math.inf, math.inf)
    bounds = (math.inf, 0.0) if nothing else bounds
    model = FilamentModel(diameter, level, *bounds, LineBank(diameter))
    return replace(model, bank=model.bank.calibrated([model.density(box) for box in boxes[::_SAMPLE_STRIDE]]))


def response_tasks(model: FilamentModel, nodes: Field, lines: dict[int, LineMap]) -> list[Callable[[], None]]:
    """Return tasks that compute the maps, by sign, from the densities of the whole volume, box by box.

    The boxes depend on the volume only, so that responses are bit-identical for every tiling.
    """
    reach = model.bank.reach + _FIDUCIAL_DILATION

    def respond(box: tuple[tuple[int, int], ...]) -> None:
        wide = [(max(a - reach, 0), min(b + reach, n)) for (a, b), n in zip(box, nodes.shape, strict=True)]
        z, y, x = ((low == 0, high == n) for (low, high), n in zip(wide, nodes.shape, strict=True))
        density = model.density(np.array(nodes[tuple(slice(*side) for side in wide)]))
        inner = tuple(slice(a - low, b - low) for (a, b), (low, _) in zip(box, wide, strict=True))
        here = tuple(slice(*side) for side in box)
        found = model.bank.strongest(density, (z, y, x), tuple(lines))
        for (response, direction), into in zip(found, lines.values(), strict=True):
            into.response.array[here] = response[inner]
            into.direction.array[here] = direction[inner]

    return [partial(respond, box) for box in product(*(spans(size, BOX_NODES) for size in nodes.shape))]


def point_tasks(model: FilamentModel, lines: LineMap, found: dict[int, Points]) -> list[Callable[[], None]]:
    """Return tasks that find the centreline points of the whole volume; they put them into `found` by box index."""
    boxes = list(product(*(spans(size, BOX_NODES) for size in lines.response.array.shape)))

    def collect(number: int) -> None:
        z, y, x = boxes[number]
        found[number] = lines.points(model, (z[0], y[0], x[0]), (z[1], y[1], x[1]))

    return [partial(collect, number) for number in range(len(boxes))]


def choose_sign(model: FilamentModel, lines: dict[int, LineMap]) -> int:
    """Return the contrast of the filaments.

    It is that of gold fiducials, if there are any; else the one with the longer and stronger lines in samples.
    """
    if len(lines) == 1:
        return next(iter(lines))
    nodes = next(iter(lines.values())).nodes.array
    above, below = float(nodes.max()) - model.level, model.level - float(nodes.min())
    if max(above, below) > _FIDUCIAL_CONTRAST * model.limit:
        return 1 if above > below else -1

    def evidence(sign: int) -> float:
        boxes = calibration_boxes(lines[sign].response.array.shape)
        return _evidence(traced_scores([lines[sign].points(model, *box) for box in boxes], model.diameter))

    return max(lines, key=evidence)


def find_thresholds(scores: list[Points]) -> tuple[int, int]:
    """Return the lower and the upper hysteresis threshold.

    Scores are relative to the noise, which hardly ever reaches the minimum threshold along a filament's length. Above
    it, what falls far below the best filament is background structure.

    Parameters
    ----------
    scores : list of arrays of shape (n,)
        Scores along each candidate filament.
    """
    best = max((float(one.max(initial=0)) for one in scores), default=0.0)
    high = min(max(int(_SHARE_OF_BEST * best), _MIN_HIGH), 255)
    return high - _HYSTERESIS, high


def points_near(points: Points, model: FilamentModel, grid: WorkingGrid, start: Shape, shape: Shape) -> Points:
    """Return the points (in Å) whose tubes may overlap a box of voxels."""
    reach = (math.ceil(model.diameter / 2) + 2) * grid.step_A
    size = np.array(grid.voxel_size_A)
    low, high = np.array(start) * size - reach, (np.array(start) + shape - 1) * size + reach
    return np.asarray(points[((points[:, :3] >= low) & (points[:, :3] <= high)).all(axis=1)], np.float64)


def traced_scores(found: list[Points], diameter: float) -> list[Points]:
    """Return the scores along each line of the minimum length.

    In a thin volume, short upright objects may have higher scores than all filaments.
    """
    least = LENGTH_DIAMETERS * diameter
    lines: list[Points] = []
    for points in found:
        strong = points[points[:, 6] >= _MIN_HIGH - _HYSTERESIS]
        traced = trace(strong, diameter_A=diameter, high=_MIN_HIGH, min_length_A=least, spacing_A=1.0)
        lines += [line.scores for line in traced]
    return lines


def _evidence(lines: list[Points]) -> float:
    """Return the evidence for lines; the fringes of the opposite contrast next to a filament are longer but weaker."""
    return float(sum(((2 ** (scores / SCORE_OCTAVE) - 1) ** 2).sum() for scores in lines))
