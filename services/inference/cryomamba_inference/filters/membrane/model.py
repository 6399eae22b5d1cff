"""Membranes by a plate bank, voting and distance from the crest: from densities to a score per voxel.

The score says how much membrane continues around a voxel's foot on the nearest crest, and is given to voxels within
half a membrane of that crest only, so the thickness of the mask does not depend on the threshold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numba as nb
import numpy as np
import numpy.typing as npt

from cryomamba.geometry import Shape
from cryomamba_inference.filters.common.fiducials import Fiducials
from cryomamba_inference.filters.common.grid import CoarseGrid, Corner
from cryomamba_inference.filters.membrane.lamella_surfaces import NO_FACES, LamellaSurfaces
from cryomamba_inference.filters.membrane.normal_profiles import NEIGHBOUR_REACH, Profile, cut_sections, fits_together
from cryomamba_inference.filters.membrane.patches import lay_patches
from cryomamba_inference.filters.membrane.plate_map import PlateBox, PlateMap
from cryomamba_inference.filters.membrane.plates import Borders, PlateBank
from cryomamba_inference.filters.membrane.ridges import RidgePoints, find_crests
from cryomamba_inference.filters.membrane.voting import VoteResult, vote

Field = npt.NDArray[np.float32]
Nodes = npt.NDArray[np.int32]

STEP_A = 27.0
CREST_REACH = 4
PATCH_REACH = 4
VOTER_FLOOR = 1.5
STRONGEST = 8.0
LEAST_VOTES = np.float32(5.0)
VOTE_RANGE_A = 85.0
VOTE_REACH = 1.6
BIAS = 0.8
MOST_ALIKE = 1.5
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
    gold_limit : float
        Distance from the level beyond which a density is gold's.
    middle, deviation : float
        Median and scaled MAD of the strongest responses.
    half_thickness_A : float
        Half the thickness of the mask.
    vote_range_A : float
        Deviation in Å over which votes fade; the noisier the volume, the longer.
    faces : Faces
        Beyond them nothing has a score.
    profile : Profile or None
        What a membrane looks like in section; None where too few were found to tell.
    """

    sign: float
    level: float
    beads: Fiducials
    bank: PlateBank
    gold_limit: float = np.inf
    middle: float = 0.0
    deviation: float = 1.0
    half_thickness_A: float = 24.0
    vote_range_A: float = VOTE_RANGE_A
    faces: LamellaSurfaces = NO_FACES
    profile: Profile | None = None

    @property
    def step_A(self) -> float:
        """Distance of the nodes in Å."""
        return self.bank.step_A

    @property
    def margin(self) -> int:
        """Nodes of responses around a box that can change its scores."""
        return PATCH_REACH + 2 * NEIGHBOUR_REACH + self.vote_reach + CREST_REACH

    @property
    def vote_reach(self) -> int:
        """Nodes around a crest that are asked for votes."""
        return int(np.ceil(VOTE_REACH * self.vote_range_A / self.step_A))

    def clean(self, nodes: Field, first: Corner) -> Field:
        """Return densities on nodes with matter positive, about 0, and without gold."""
        field = (nodes - np.float32(self.level)) * np.float32(self.sign)
        return self.beads.remove(field, first)

    def surface(self, box: PlateBox) -> tuple[Field, Field]:
        """Return the distance from the membrane's middle in Å and the votes there, on the nodes of a box.

        Both are good from `margin` nodes off the sides that are no borders of the volume.
        """
        crests, election = self.elect(box)
        counted = election.votes * np.float32(self.vote_scale)
        believed = counted >= LEAST_VOTES
        at, bend = election.asked[believed], election.bend[believed]
        nodes, normals = crests.nodes[at], crests.normals[at]
        shift = self.rise(crests, election)[believed]
        if self.profile is not None:
            shift += self._look(self.profile, box, nodes, shift, normals, bend)[0]
        distance, votes = lay_patches(nodes, normals, shift, bend, counted[believed], box.response.shape)
        return distance * np.float32(self.step_A), votes

    def elect(self, box: PlateBox) -> tuple[RidgePoints, VoteResult]:
        """Return the crests of a box, and what they say of each other.

        Where the profile of membranes is known, a crest's vote counts as much as its section looks like one.
        """
        crests = self.crests(box)
        strength = np.minimum(crests.height, np.float32(STRONGEST))
        if self.profile is not None:
            flat = np.zeros_like(crests.offset)
            shift, likeness = self._look(self.profile, box, crests.nodes, crests.offset, crests.normals, flat)
            crests = replace(crests, offset=crests.offset + shift)
            strength = strength * np.clip(likeness, 0, np.float32(MOST_ALIKE))
        election = vote(
            crests,
            strength,
            box.response.shape,
            range_nodes=self.vote_range_A / self.step_A,
            reach=VOTE_REACH * self.vote_range_A / self.step_A,
            box=_inside(box.response.shape, box.borders, CREST_REACH + NEIGHBOUR_REACH + self.vote_reach),
        )
        return crests, election

    def crests(self, box: PlateBox) -> RidgePoints:
        """Return the crests of a box, their heights in deviations above the median."""
        heights = (box.response - np.float32(self.middle)) * np.float32(1 / self.deviation)
        seen = _inside(box.response.shape, box.borders, CREST_REACH)
        return find_crests(heights, box.direction, self.bank.normals, floor=VOTER_FLOOR, box=seen)

    def rise(self, crests: RidgePoints, election: VoteResult) -> Field:
        """Return how far above the nodes of those that were asked, along their normals, the surface lies, in nodes."""
        # A plate laid on a curved surface finds it on the inner side; the bias grows with curvature.
        bias = np.float32(BIAS * (self.bank.in_plane_A / self.step_A) ** 2) * election.bend
        rise: Field = crests.offset[election.asked] + election.shift - bias
        return rise

    def sections(self, box: PlateBox, places: Field, normals: Field, bend: Field) -> Field:
        """Return sections with matter positive, above the level, at places in nodes of a box; `bend` in 1 / nodes."""
        scale = self.step_A / box.density_step_A
        middles = np.asarray((places + np.asarray(box.first)) * scale, np.float64)
        bend_A = bend / np.float32(self.step_A)
        cut = cut_sections(box.density, middles, normals, bend_A, step_A=box.density_step_A)
        return (cut - np.float32(self.level)) * np.float32(self.sign)

    def golden(self, sections: Field) -> npt.NDArray[np.bool_]:
        """Return which sections (n, steps) have gold in them."""
        away = np.abs(sections - np.median(sections, axis=1, keepdims=True))
        return np.asarray((away > np.float32(self.gold_limit)).any(axis=1))

    def _look(
        self, profile: Profile, box: PlateBox, nodes: Nodes, shift: Field, normals: Field, bend: Field
    ) -> tuple[Field, Field]:
        """Return how far above a surface, in nodes, sections see a membrane, and how much like one they look."""
        places = nodes + shift[:, None] * normals
        sections = self.sections(box, places, normals, bend)
        fits = profile.fits(sections)
        fits[self.golden(sections)] = 0
        fits = fits_together(fits, nodes, places, normals, box.response.shape, step_A=self.step_A)
        shift_A, fit = profile.best_shift(fits)
        return shift_A / np.float32(self.step_A), fit / np.float32(profile.full)

    @property
    def vote_scale(self) -> float:
        """What makes votes independent of the number of voters within the range."""
        return float((VOTE_RANGE_A / self.vote_range_A) ** 2 * (self.step_A / STEP_A) ** 2)


def _inside(shape: tuple[int, ...], borders: Borders, edge: int) -> npt.NDArray[np.int64]:
    """Return the box (3, 2) that is `edge` nodes off the sides that are no borders."""
    sides = [(0 if a else edge, n if b else n - edge) for n, (a, b) in zip(shape, borders, strict=True)]
    return np.asarray(sides, np.int64)


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
    around = [slice(a, b) for a, b in zip(first, last, strict=True)]
    distance, votes = model.surface(plates.box(around, (z, y, x)))
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
