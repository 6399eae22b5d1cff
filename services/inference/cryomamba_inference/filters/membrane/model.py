"""Membrane scores: from ridge responses by voting to a score per voxel.

The score measures how far the membrane continues around the nearest point of a ridge. Only voxels within half a
membrane thickness of the ridge have one, so that the thickness of the mask does not depend on the threshold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numba as nb
import numpy as np
import numpy.typing as npt

from cryomamba.geometry import Shape
from cryomamba_inference.filters.common.fiducials import Fiducials
from cryomamba_inference.filters.common.grid import Borders, CoarseGrid, Corner
from cryomamba_inference.filters.membrane.lamella_surfaces import NO_SURFACES, LamellaSurfaces
from cryomamba_inference.filters.membrane.normal_profiles import (
    NEIGHBOUR_REACH,
    MembraneProfile,
    sample_profiles,
    smooth_correlations,
)
from cryomamba_inference.filters.membrane.patches import rasterize_patches
from cryomamba_inference.filters.membrane.plate_map import PlateBox, PlateMap
from cryomamba_inference.filters.membrane.plates import PlateBank
from cryomamba_inference.filters.membrane.ridges import RidgePoints, find_ridge_points
from cryomamba_inference.filters.membrane.voting import VoteResult, vote

Field = npt.NDArray[np.float32]
Nodes = npt.NDArray[np.int32]

STEP_A = 27.0  # distance between nodes in Å
RIDGE_REACH = 4  # nodes that a ridge point depends on
PATCH_REACH = 4  # nodes that a patch reaches
RIDGE_FLOOR = 1.5  # minimum response of a ridge, in standard deviations of the noise
MAX_STRENGTH = 8.0  # responses count up to this, in standard deviations
MIN_VOTES = np.float32(5.0)  # below which a ridge point gets no score
VOTE_RANGE_A = 85.0  # standard deviation in Å of the Gaussian decay of votes
VOTE_REACH = 1.6  # maximum distance of votes, in vote ranges
CURVATURE_BIAS = 0.8  # shift per curvature, in squared widths of the plate filter
MAX_SIMILARITY = 1.5  # up to which similarity with the membrane profile counts
SCORE_OCTAVE = 24.0
"""Scores are uint8: `SCORE_OCTAVE` · log2(1 + votes), clipped to 255."""


@dataclass(frozen=True, slots=True)
class MembraneModel:
    """The calibrated parameters of a volume; the same for every tile.

    Attributes
    ----------
    sign : float
        1 where membranes are brighter than their surroundings, −1 where darker.
    level : float
        Median density on the nodes, before multiplication by `sign`.
    fiducials : Fiducials
        Gold fiducials of the whole volume.
    fiducial_limit : float
        Distance from the level beyond which a density belongs to fiducials.
    middle, deviation : float
        Median and scaled MAD of the strongest responses.
    half_thickness_A : float
        Half the thickness of the mask in Å.
    vote_range_A : float
        Standard deviation in Å of the decay of votes; larger in noisier volumes.
    surfaces : LamellaSurfaces
        Beyond them all scores are 0.
    profile : MembraneProfile or None
        Typical density profile along the normal; None if too few membranes were found.
    """

    sign: float
    level: float
    fiducials: Fiducials
    bank: PlateBank
    fiducial_limit: float = np.inf
    middle: float = 0.0
    deviation: float = 1.0
    half_thickness_A: float = 24.0
    vote_range_A: float = VOTE_RANGE_A
    surfaces: LamellaSurfaces = NO_SURFACES
    profile: MembraneProfile | None = None

    @property
    def step_A(self) -> float:
        """Distance between nodes in Å."""
        return self.bank.step_A

    @property
    def margin(self) -> int:
        """Nodes around a box whose responses influence its scores."""
        return PATCH_REACH + 2 * NEIGHBOUR_REACH + self.vote_reach + RIDGE_REACH

    @property
    def vote_reach(self) -> int:
        """Maximum distance of votes in nodes."""
        return int(np.ceil(VOTE_REACH * self.vote_range_A / self.step_A))

    def clean(self, nodes: Field, first: Corner) -> Field:
        """Return densities relative to the level, positive for membranes, with fiducials removed."""
        return self.fiducials.remove((nodes - np.float32(self.level)) * np.float32(self.sign), first)

    def surface(self, box: PlateBox) -> tuple[Field, Field]:
        """Return the distance from the membrane's centre in Å and the votes there, on the nodes of a box.

        Both are valid `margin` nodes away from sides that are not borders of the volume.
        """
        ridge_points, result = self.collect_votes(box)
        scaled_votes = result.votes * np.float32(self.vote_scale)
        accepted = scaled_votes >= MIN_VOTES
        accepted_indices, curvature = result.indices[accepted], result.curvature[accepted]
        nodes, normals = ridge_points.nodes[accepted_indices], ridge_points.normals[accepted_indices]
        shift = self.surface_offset(ridge_points, result)[accepted]
        if self.profile is not None:
            shift += self._match_profiles(self.profile, box, nodes, shift, normals, curvature)[0]
        distance, votes = rasterize_patches(
            nodes, normals, shift, curvature, scaled_votes[accepted], box.response.shape
        )
        return distance * np.float32(self.step_A), votes

    def collect_votes(self, box: PlateBox) -> tuple[RidgePoints, VoteResult]:
        """Return the ridge points of a box and their votes.

        If the membrane profile is known, votes are weighted by the similarity of the sender's profile.
        """
        ridge_points = self.ridge_points(box)
        strength = np.minimum(ridge_points.height, np.float32(MAX_STRENGTH))
        if self.profile is not None:
            flat = np.zeros_like(ridge_points.offset)
            shift, similarity = self._match_profiles(
                self.profile, box, ridge_points.nodes, ridge_points.offset, ridge_points.normals, flat
            )
            ridge_points = replace(ridge_points, offset=ridge_points.offset + shift)
            strength = strength * np.clip(similarity, 0, np.float32(MAX_SIMILARITY))
        result = vote(
            ridge_points,
            strength,
            box.response.shape,
            range_nodes=self.vote_range_A / self.step_A,
            reach=VOTE_REACH * self.vote_range_A / self.step_A,
            box=_interior_box(box.response.shape, box.borders, RIDGE_REACH + NEIGHBOUR_REACH + self.vote_reach),
        )
        return ridge_points, result

    def ridge_points(self, box: PlateBox) -> RidgePoints:
        """Return the ridge points of a box; heights are in standard deviations above the median."""
        heights = (box.response - np.float32(self.middle)) * np.float32(1 / self.deviation)
        interior = _interior_box(box.response.shape, box.borders, RIDGE_REACH)
        return find_ridge_points(heights, box.direction, self.bank.normals, floor=RIDGE_FLOOR, box=interior)

    def surface_offset(self, ridge_points: RidgePoints, result: VoteResult) -> Field:
        """Return the distance in nodes from each receiver to the fitted surface, along its normal."""
        # A flat filter shifts the ridge of a curved surface to the inner side, in proportion to the curvature.
        bias = np.float32(CURVATURE_BIAS * (self.bank.in_plane_A / self.step_A) ** 2) * result.curvature
        return ridge_points.offset[result.indices] + result.shift - bias

    def profiles_at(self, box: PlateBox, positions: Field, normals: Field, curvature: Field) -> Field:
        """Return density profiles relative to the level, positive for membranes, at positions in nodes of a box."""
        scale = self.step_A / box.density_step_A
        centres = np.asarray((positions + np.asarray(box.first)) * scale, np.float64)
        curvature_A = curvature / np.float32(self.step_A)
        profiles = sample_profiles(box.density, centres, normals, curvature_A, step_A=box.density_step_A)
        return (profiles - np.float32(self.level)) * np.float32(self.sign)

    def contain_fiducials(self, profiles: Field) -> npt.NDArray[np.bool_]:
        """Return which profiles (n, samples) contain fiducials."""
        deviations = np.abs(profiles - np.median(profiles, axis=1, keepdims=True))
        return np.asarray((deviations > np.float32(self.fiducial_limit)).any(axis=1))

    def _match_profiles(
        self, profile: MembraneProfile, box: PlateBox, nodes: Nodes, shift: Field, normals: Field, curvature: Field
    ) -> tuple[Field, Field]:
        """Return the shift in nodes to the best match with the membrane profile, and the similarity."""
        positions = nodes + shift[:, None] * normals
        profiles_at = self.profiles_at(box, positions, normals, curvature)
        correlate = profile.correlations(profiles_at)
        correlate[self.contain_fiducials(profiles_at)] = 0
        correlate = smooth_correlations(correlate, nodes, positions, normals, box.response.shape, step_A=self.step_A)
        shift_A, fit = profile.best_shift(correlate)
        return shift_A / np.float32(self.step_A), fit / np.float32(profile.reference)

    @property
    def vote_scale(self) -> float:
        """Factor that makes votes independent of the number of senders in range."""
        return float((VOTE_RANGE_A / self.vote_range_A) ** 2 * (self.step_A / STEP_A) ** 2)


def _interior_box(shape: tuple[int, ...], borders: Borders, edge: int) -> npt.NDArray[np.int64]:
    """Return the box (3, 2) that is `edge` nodes away from sides that are not borders."""
    sides = [(0 if a else edge, n if b else n - edge) for n, (a, b) in zip(shape, borders, strict=True)]
    return np.asarray(sides, np.int64)


def to_scores(votes: Field) -> Field:
    """Convert votes to scores, not rounded."""
    return np.asarray(SCORE_OCTAVE * np.log2(1 + votes), np.float32)


def score_box(
    model: MembraneModel, grid: CoarseGrid, plates: PlateMap, start: Shape, shape: Shape
) -> npt.NDArray[np.uint8]:
    """Return the scores of a box of voxels; independent of the tiling, within rounding.

    Parameters
    ----------
    plates : PlateMap
        Of the whole volume; only the box and `margin` around it are read.
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
    return interpolate_scores(grid, distance[inner], votes[inner], low, start, shape, model)


def interpolate_scores(
    grid: CoarseGrid, distance: Field, votes: Field, low: Corner, start: Shape, shape: Shape, model: MembraneModel
) -> npt.NDArray[np.uint8]:
    """Interpolate both fields to voxels; those within half a membrane thickness of a ridge get its votes as a score."""
    scores = np.empty(shape, np.uint8)
    rows, columns = (
        (start[axis] + np.arange(shape[axis])) * (grid.voxel_size_A[axis] / grid.step_A) for axis in (1, 2)
    )
    bottom, top = model.surfaces.limits(rows, columns)
    depths = grid.plane_positions(low[0], start[0], shape[0], len(distance))
    _interpolate_scores(
        grid.interpolate_rows(distance, low, start, shape),
        grid.interpolate_rows(votes, low, start, shape),
        depths,
        bottom - np.float32(low[0]),
        top - np.float32(low[0]),
        np.float32(model.half_thickness_A),
        np.float32(SCORE_OCTAVE),
        scores,
    )
    return scores


@nb.njit(cache=True, nogil=True)
def _interpolate_scores(distance, votes, depths, bottom, top, limit, scale, scores):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
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
