"""Membranes by a plate bank, voting and distance from the crest: from densities to a score per voxel.

The score says how much membrane continues around a voxel's foot on the nearest crest, and is given to voxels within
half a membrane of that crest only, so the thickness of the mask does not depend on the threshold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numba as nb
import numpy as np
import numpy.typing as npt

from cryomamba.records import Shape
from cryomamba_inference.filters.beads import Beads
from cryomamba_inference.filters.faces import NO_FACES, Faces
from cryomamba_inference.filters.grid import CoarseGrid, Corner, spans
from cryomamba_inference.filters.node_map import NodeMap
from cryomamba_inference.filters.patches import lay_patches
from cryomamba_inference.filters.plates import ALL_BORDERS, Borders, PlateBank
from cryomamba_inference.filters.ridges import Crests, find_crests
from cryomamba_inference.filters.voting import Election, vote

Field = npt.NDArray[np.float32]
Directions = npt.NDArray[np.uint8]

STEP_A = 27.0
BOX_NODES = 100
CREST_REACH = 4
PATCH_REACH = 4
VOTER_FLOOR = 1.5
STRONGEST = 8.0
LEAST_VOTES = np.float32(5.0)
VOTE_RANGE_A = 85.0
VOTE_REACH = 1.6
BIAS = 0.8
SCORE_OCTAVE = 24.0
"""Scores are uint8: `SCORE_OCTAVE` · log2(1 + votes), clipped to 255."""


@dataclass(frozen=True, slots=True)
class MembraneModel:
    """What the calibration found, and the sizes; the same for every tile.

    Attributes
    ----------
    sign : float
        1 where membranes are brighter than their surroundings, −1 where darker.
    level : float
        Median density on the nodes, before the sign.
    beads : Beads
        Gold in the whole volume.
    bank : PlateBank
    middle, deviation : float
        Median and scaled MAD of the strongest responses.
    half_thickness_A : float
        Half the thickness of the mask.
    vote_range_A : float
        Deviation in Å over which votes fade; the noisier the volume, the longer.
    faces : Faces
        Beyond them nothing has a score.
    """

    sign: float
    level: float
    beads: Beads
    bank: PlateBank
    middle: float = 0.0
    deviation: float = 1.0
    half_thickness_A: float = 24.0
    vote_range_A: float = VOTE_RANGE_A
    faces: Faces = NO_FACES

    @property
    def step_A(self) -> float:
        """Distance of the nodes in Å."""
        return self.bank.step_A

    @property
    def margin(self) -> int:
        """Nodes of responses around a box that can change its scores."""
        return PATCH_REACH + self.vote_reach + CREST_REACH

    @property
    def vote_reach(self) -> int:
        """Nodes around a crest that are asked for votes."""
        return int(np.ceil(VOTE_REACH * self.vote_range_A / self.step_A))

    def clean(self, nodes: Field, first: Corner) -> Field:
        """Return densities on nodes with matter positive, about 0, and without gold."""
        field = (nodes - np.float32(self.level)) * np.float32(self.sign)
        return self.beads.remove(field, first)

    def heights(self, response: Field) -> Field:
        """Return a copy of responses in deviations above their median."""
        scaled: Field = (response - np.float32(self.middle)) * np.float32(1 / self.deviation)
        return scaled

    def surface(
        self, response: Field, direction: Directions, borders: Borders = ALL_BORDERS
    ) -> tuple[Field, Field, Field]:
        """Return the distance from the membrane's middle in Å and the votes there, on nodes, and each crest's votes.

        All are good from `margin` nodes off the sides that are no borders of the volume.
        """
        crests, election = self.elect(response, direction, borders)
        counted = election.votes * np.float32(self.vote_scale)
        believed = counted >= LEAST_VOTES
        at = election.asked[believed]
        # A plate laid on a curved surface finds it on the inner side; the bias grows with curvature.
        bias = np.float32(BIAS * (self.bank.in_plane_A / self.step_A) ** 2) * election.bend
        shift = crests.offset[at] + (election.shift - bias)[believed]
        distance, votes = lay_patches(
            crests.nodes[at], crests.normals[at], shift, election.bend[believed], counted[believed], response.shape
        )
        return distance * np.float32(self.step_A), votes, counted

    def elect(self, response: Field, direction: Directions, borders: Borders = ALL_BORDERS) -> tuple[Crests, Election]:
        """Return the crests of a box of responses, and what they say of each other."""
        crests = self._crests(response, direction, borders)
        election = vote(
            crests,
            np.minimum(crests.height, np.float32(STRONGEST)),
            response.shape,
            range_nodes=self.vote_range_A / self.step_A,
            reach=VOTE_REACH * self.vote_range_A / self.step_A,
            box=_inside(response.shape, borders, CREST_REACH + self.vote_reach),
        )
        return crests, election

    def heights_of_crests(self, response: Field, direction: Directions) -> Field:
        """Return how far the crests of a box of responses stand out, in deviations."""
        return self._crests(response, direction, ALL_BORDERS).height

    def _crests(self, response: Field, direction: Directions, borders: Borders) -> Crests:
        seen = _inside(response.shape, borders, CREST_REACH)
        return find_crests(self.heights(response), direction, self.bank.normals, floor=VOTER_FLOOR, box=seen)

    @property
    def vote_scale(self) -> float:
        """What makes votes independent of the number of voters within the range."""
        return float((VOTE_RANGE_A / self.vote_range_A) ** 2 * (self.step_A / STEP_A) ** 2)


def _inside(shape: tuple[int, ...], borders: Borders, edge: int) -> npt.NDArray[np.int64]:
    """Return the box (3, 2) that is `edge` nodes off the sides that are no borders."""
    sides = [(0 if a else edge, n if b else n - edge) for n, (a, b) in zip(shape, borders, strict=True)]
    return np.asarray(sides, np.int64)


@dataclass(frozen=True, slots=True)
class PlateMap:
    """The bank's answer on all nodes of a volume: strongest response (float32) and its direction (uint8)."""

    response: NodeMap
    direction: NodeMap

    @classmethod
    def empty(cls, shape: Corner, folder: Path | None) -> PlateMap:
        """Make the files, in a folder."""
        return cls(NodeMap(shape, folder), NodeMap(shape, folder, np.uint8))


def plate_tasks(model: MembraneModel, nodes: Field, plates: PlateMap) -> list[Callable[[], None]]:
    """Return what fills `plates` from the densities on the nodes of the whole volume, box by box."""
    cuts = [spans(size, BOX_NODES) for size in nodes.shape]
    if math.prod(map(len, cuts)) == 1 and len(nodes) > 4 * model.bank.reach:
        # One box keeps one thread busy; in two there is hardly more to do.
        cuts[0] = spans(len(nodes), -(-len(nodes) // 2))

    def answer(box: tuple[tuple[int, int], ...]) -> None:
        reach = model.bank.reach
        wide = [(max(a - reach, 0), min(b + reach, n)) for (a, b), n in zip(box, nodes.shape, strict=True)]
        z, y, x = ((a == 0, b == n) for (a, b), n in zip(box, nodes.shape, strict=True))
        # What lies beyond a border within the reach is reflected; what lies beyond the box is read.
        around = model.clean(np.asarray(nodes[_slices(wide)]), (wide[0][0], wide[1][0], wide[2][0]))
        found = model.bank.strongest(around, (z, y, x))
        # The answer is shorter than what was read by the reach, but not at borders.
        starts = [w if first else w + reach for (w, _), (first, _) in zip(wide, (z, y, x), strict=True)]
        inner = tuple(slice(a - start, b - start) for (a, b), start in zip(box, starts, strict=True))
        plates.response.array[_slices(box)] = found[0][inner]
        plates.direction.array[_slices(box)] = found[1][inner]

    return [partial(answer, box) for box in product(*cuts)]


def _slices(box: Sequence[tuple[int, int]]) -> tuple[slice, ...]:
    return tuple(slice(first, last) for first, last in box)


def to_scores(votes: Field) -> Field:
    """Return votes on the scale of scores, not rounded."""
    return np.asarray(SCORE_OCTAVE * np.log2(1 + votes), np.float32)


def score_box(
    model: MembraneModel, grid: CoarseGrid, plates: PlateMap, start: Shape, shape: Shape
) -> npt.NDArray[np.uint8]:
    """Return the scores of a box of voxels; the same for any cut of the volume, within rounding.

    Parameters
    ----------
    model : MembraneModel
    grid : CoarseGrid
    plates : PlateMap
        Of the whole volume; only the box and `margin` around are read.
    start, shape : tuple of int
        First voxel and shape of the box.

    Returns
    -------
    array of `shape`, uint8
        See `SCORE_OCTAVE`; 0 away from membranes.
    """
    stop = (start[0] + shape[0], start[1] + shape[1], start[2] + shape[2])
    first, last = grid.nodes(start, stop, margin=model.margin)
    z, y, x = ((a == 0, b == n) for a, b, n in zip(first, last, grid.node_shape, strict=True))
    around = _slices(list(zip(first, last, strict=True)))
    distance, votes, _ = model.surface(plates.response.array[around], plates.direction.array[around], (z, y, x))
    low, high = grid.nodes(start, stop, margin=1)
    inner = tuple(slice(a - f, b - f) for a, b, f in zip(low, high, first, strict=True))
    return paint(grid, distance[inner], votes[inner], low, start, shape, model)


def paint(
    grid: CoarseGrid,
    distance: Field,
    votes: Field,
    low: Corner,
    start: Shape,
    shape: Shape,
    model: MembraneModel,
) -> npt.NDArray[np.uint8]:
    """Interpolate both fields to voxels and give those within half a membrane of a crest its votes as a score."""
    scores = np.empty(shape, np.uint8)
    rows, columns = (
        (start[axis] + np.arange(shape[axis])) * (grid.voxel_size_A[axis] / grid.step_A) for axis in (1, 2)
    )
    bottom, top = model.faces.limits(rows, columns)
    depths = grid.depths(low[0], start[0], shape[0], len(distance))
    _paint(
        grid.spread_rows(distance, low, start, shape),
        grid.spread_rows(votes, low, start, shape),
        depths,
        bottom - np.float32(low[0]),
        top - np.float32(low[0]),
        np.float32(model.half_thickness_A),
        np.float32(SCORE_OCTAVE),
        scores,
    )
    return scores


@nb.njit(cache=True, nogil=True)
def _paint(distance, votes, depths, bottom, top, limit, scale, scores):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    for z in range(scores.shape[0]):
        below = min(int(depths[z]), distance.shape[0] - 1)
        above = min(below + 1, distance.shape[0] - 1)
        f = depths[z] - np.float32(below)
        g = np.float32(1) - f
        for y in range(scores.shape[1]):
            for x in range(scores.shape[2]):
                near = g * distance[below, y, x] + f * distance[above, y, x] <= limit
                if near and bottom[y, x] <= depths[z] <= top[y, x]:
                    score = scale * np.log2(1 + g * votes[below, y, x] + f * votes[above, y, x])
                    scores[z, y, x] = np.uint8(min(score, np.float32(255)))
                else:
                    scores[z, y, x] = np.uint8(0)
