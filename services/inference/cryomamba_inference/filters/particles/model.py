"""Particle scores: from densities to peaks with scores, and the threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from cryomamba.geometry import Shape, Spacing
from cryomamba_inference.filters.common.borders import Borders, borders_of
from cryomamba_inference.filters.common.calibration_boxes import calibration_boxes
from cryomamba_inference.filters.common.fiducials import fiducial_limit
from cryomamba_inference.filters.particles.blobs import BlobFilter, Peaks
from cryomamba_inference.filters.particles.fdr_threshold import find_threshold_height
from cryomamba_inference.volume_preparation.grid import WorkingGrid

Field = npt.NDArray[np.float32]
Found = npt.NDArray[np.float64]

SCORE_OCTAVE = 32.0
"""Scores are `SCORE_OCTAVE` · log2(1 + height in deviations), at most 255."""
_CONTRAST_PEAKS = 50  # highest peaks that decide the contrast
_ROUNDING = 1e-5  # noise of a constant volume, relative to its density
_STRONG_PEAK = 4.0  # in standard deviations of the noise
_FIDUCIAL_RATIO = 3.0  # median density of fiducials relative to other strong peaks
_MIN_STRONG_PEAKS = 8  # that are not fiducials
_FRINGE_DIAMETERS = 2.0  # extent of the fringes of a particle
_FRINGE_A = 100.0  # additional extent of the fringes of fiducials, in Å
_FRINGE_RATIO = 1.3  # height of a particle relative to its fringes


@dataclass(frozen=True, slots=True)
class ParticleModel:
    """The calibrated parameters of a volume; the same for every tile.

    Attributes
    ----------
    sign : int
        1 where particles are brighter than their surroundings, −1 where darker.
    fiducial_density : float
        Peaks with a higher density, relative to the level, are gold fiducials.
    """

    diameter_A: float
    sign: int
    blobs: BlobFilter
    fiducial_density: float = math.inf


@dataclass(frozen=True, slots=True)
class Fields:
    """Densities on the nodes of a whole volume, and the filter responses; may be memory maps."""

    nodes: Field
    response: Field

    def peaks(self, blobs: BlobFilter, first: Shape, last: Shape, sign: int) -> Peaks:
        """Return the peaks of one contrast in a box of nodes."""
        box = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
        borders: Borders = borders_of(first, last, (self.nodes.shape[0], self.nodes.shape[1], self.nodes.shape[2]))
        return blobs.peaks(self.response[box], self.nodes[box], first, borders, sign)


def to_scores(heights: Found) -> Found:
    """Convert heights in standard deviations to scores, not rounded."""
    return np.asarray(np.minimum(SCORE_OCTAVE * np.log2(1 + heights), 255.0))


def make_filter(nodes: Field, grid: WorkingGrid, *, diameter_A: float, min_distance_A: float) -> BlobFilter:
    """Return the filter for a diameter with the volume's level and fiducial limit; its noise is not yet known."""
    values = _sampled(nodes)
    level = float(np.median(values))
    limit = fiducial_limit(values, level)
    return BlobFilter(diameter_A / grid.step_A, min_distance_A / grid.step_A, level, limit if limit > 0 else math.inf)


def calibrate(
    fields: Fields,
    grid: WorkingGrid,
    blobs: BlobFilter,
    *,
    diameter_A: float,
    contrast: Literal["dark", "bright", "auto"],
) -> tuple[ParticleModel, int]:
    """Estimate noise, contrast and fiducials from samples of the responses; also return a first threshold."""
    values = _sampled(fields.response)
    # The response is 0 in the padding, and nowhere else.
    values = values[values != 0] if values.any() else values
    median = float(np.median(values))
    deviation = 1.4826 * float(np.median(np.abs(values - np.float32(median))))
    # Rounding errors of a constant volume do not count as noise.
    blobs = replace(blobs, median=median, deviation=deviation if deviation > _ROUNDING * abs(blobs.level) else 0.0)
    boxes = calibration_boxes(grid.node_shape)
    found = {sign: [fields.peaks(blobs, *box, sign) for box in boxes] for sign in (1, -1)}
    sign = _choose_contrast(found, blobs.limit) if contrast == "auto" else {"dark": -1, "bright": 1}[contrast]
    model = ParticleModel(diameter_A, sign, blobs)
    model = replace(model, fiducial_density=_fiducial_density(found[model.sign], blobs.limit))
    points = np.concatenate([_points(one, model, side) for side, peaks in found.items() for one in peaks])
    return model, find_threshold(points, model, (grid.step_A,) * 3)


def _sampled(field: Field) -> Field:
    boxes = calibration_boxes((field.shape[0], field.shape[1], field.shape[2]))
    parts = [field[tuple(slice(a, b) for a, b in zip(first, last, strict=True))] for first, last in boxes]
    return np.concatenate([part.reshape(-1) for part in parts])


def find_particles(model: ParticleModel, grid: WorkingGrid, fields: Fields, start: Shape, shape: Shape) -> Found:
    """Find the peaks whose balls overlap a box of voxels.

    Returns
    -------
    array of shape (n, 5), float64
        z, y, x in voxels; the score; and 1 for particles, −1 for decoys (peaks of opposite contrast), 0 for fiducials.
    """
    stop = (start[0] + shape[0], start[1] + shape[1], start[2] + shape[2])
    ball = math.ceil(model.diameter_A / 2 / grid.step_A) + 1
    first, last = grid.nodes_around(start, shape, ball + model.blobs.margin)
    size = np.array(grid.voxel_size_A)
    points = np.concatenate([_points(fields.peaks(model.blobs, first, last, sign), model, sign) for sign in (1, -1)])
    points[:, :3] = np.clip(points[:, :3] * (grid.step_A / size), 0, np.array(grid.shape) - 1)
    reach = model.diameter_A / 2 / size
    near = (points[:, :3] >= start - reach) & (points[:, :3] <= np.array(stop) - 1 + reach)
    return points[near.all(axis=1)]


def find_threshold(points: Found, model: ParticleModel, size_A: Spacing) -> int:
    """Return the score threshold of particles; above all scores if there are none.

    Fringes of gold and of strong particles are excluded from the decoys: noise of the particles' contrast has none.

    Parameters
    ----------
    points : array of shape (n, 5)
        As returned by :func:`find_particles`, but positions in units of `size_A`.
    """
    heights = 2 ** (points[:, 3] / SCORE_OCTAVE) - 1
    decoy = points[:, 4] < 0
    decoy[decoy] = ~_are_fringes(
        points[decoy, :3] * size_A, heights[decoy], points[:, :3] * size_A, heights, points[:, 4], model
    )
    height = find_threshold_height(heights[points[:, 4] > 0], heights[decoy])
    # Scores in the mask are integers; rounding up would exclude the lowest accepted peak.
    return math.floor(min(float(to_scores(np.array([height]))[0]), 255.0))


def _are_fringes(
    decoys_A: Found, heights: Found, positions_A: Found, strengths: Found, kinds: Found, model: ParticleModel
) -> npt.NDArray[np.bool_]:
    fringe = np.zeros(len(decoys_A), np.bool_)
    reach = _FRINGE_DIAMETERS * model.diameter_A
    fiducial_density, particle = kinds == 0, (kinds > 0) & (strengths > _STRONG_PEAK)
    if fiducial_density.any():
        fringe |= cKDTree(positions_A[fiducial_density]).query(decoys_A)[0] < reach + _FRINGE_A
    if particle.any():
        near = cKDTree(positions_A[particle]).query_ball_point(decoys_A, reach)
        highest = strengths[particle]
        is_fringe = [
            highest[found].max(initial=0) > _FRINGE_RATIO * own for found, own in zip(near, heights, strict=True)
        ]
        fringe |= np.array(is_fringe, np.bool_)
    return fringe


def _points(peaks: Peaks, model: ParticleModel, sign: int) -> Found:
    fiducial_density = peaks.densities > model.fiducial_density
    kind = np.where(fiducial_density, 0.0, float(sign * model.sign))
    return np.column_stack([peaks.positions, to_scores(peaks.heights), kind])


def _choose_contrast(found: dict[int, list[Peaks]], limit: float) -> int:
    """Return 1 if particles are bright and −1 if they are dark.

    Gold fiducials, if there are any, decide, because they are denser than their fringes. Else it is the contrast with
    the stronger peaks, where a few far above the noise count more than many close to it.
    """
    densest = {sign: max(peaks.densities.max(initial=0) for peaks in boxes) for sign, boxes in found.items()}
    if max(densest.values()) > 2 * limit:
        return max(densest, key=lambda sign: densest[sign])
    heights = {sign: np.concatenate([peaks.heights for peaks in boxes]) for sign, boxes in found.items()}
    return max(heights, key=lambda sign: float((np.sort(heights[sign])[-_CONTRAST_PEAKS:] ** 3).sum()))


def _fiducial_density(found: list[Peaks], limit: float) -> float:
    """Return the density above which a peak is a gold fiducial.

    Fiducials exceed the limit, are a minority of the strong peaks, and several times as dense as the others. If most
    strong peaks exceed the limit, these are dense particles.
    """
    heights, densities = (
        np.concatenate([getattr(peaks, name) for peaks in found]) for name in ("heights", "densities")
    )
    strong = densities[heights >= _STRONG_PEAK]
    fiducial_density, others = strong[strong > limit], strong[strong <= limit]
    if others.size < max(_MIN_STRONG_PEAKS, fiducial_density.size) or not fiducial_density.size:
        return math.inf
    return limit if np.median(fiducial_density) > _FIDUCIAL_RATIO * np.median(others) else math.inf
