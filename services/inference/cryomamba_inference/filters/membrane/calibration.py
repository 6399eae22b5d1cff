"""Calibration of the membrane filter on a volume: density level, noise, fiducials, tilt range, and thresholds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from cryomamba.geometry import Shape, Spacing
from cryomamba_inference.filters.common.fiducials import (
    FiducialModel,
    fiducial_limit,
    find_fiducials,
    no_fiducial_model,
    no_fiducials,
)
from cryomamba_inference.filters.common.grid import CoarseGrid, hemisphere_directions
from cryomamba_inference.filters.common.wedge import NO_WEDGE, estimate_tilt
from cryomamba_inference.filters.membrane.lamella_surfaces import LamellaSurfaces, find_lamella_surfaces
from cryomamba_inference.filters.membrane.model import STEP_A, MembraneModel, to_scores
from cryomamba_inference.filters.membrane.normal_profiles import MembraneProfile, learn_profile
from cryomamba_inference.filters.membrane.plate_map import PlateBox, PlateMap
from cryomamba_inference.filters.membrane.plates import PlateBank
from cryomamba_inference.filters.membrane.thresholds import RULE_BY_HEIGHT, RULE_BY_PROFILE, find_thresholds
from cryomamba_inference.threads import SINGLE_THREADED, ThreadTeam

Field = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

RIDGE_TOLERANCE_A = 1.5
"""Added to half the membrane thickness in Å, because ridges are slightly off the centre and voxels have a size."""
ACROSS_A = 24.0  # standard deviations of the plate filter along its normal and in its plane, in Å
IN_PLANE_A = 60.0
DIRECTIONS = 128  # orientations of the plate filter
_SAMPLE_NODES = 60  # side of a calibration box
_SAMPLES = 3  # calibration boxes of a large volume
_COLUMN_NODES = 40  # side of a column in y and x
# Relative positions of the columns in y and x.
_COLUMNS = ((0.5, 0.5), (0.1, 0.1), (0.1, 0.9), (0.9, 0.1), (0.9, 0.9))
_SIGN_NODES = 40  # side of the box in which the contrast is determined
_SMALL_NODES = 300_000  # volumes up to this are used as a whole
_TILT_CHANGES = (0, -1, 1, -2, 2, -3, 3, -4, 4)  # degrees around the estimate that are tried
_PROFILE_RIDGES = 1000  # ridge points from which the membrane profile is learned
_PLUS = np.float32(1)
_FIDUCIAL_DOUBT = 0.03  # relative difference of the two contrasts below which the contrast of fiducials decides
_SIGNS = {"dark": -1.0, "bright": 1.0}
# Standard deviation of the decay of votes: intercept and slope by the prominence of the ridges, and bounds, in Å.
_RANGE_A, _RANGE_SLOPE_A = 180.0, 11.0
_RANGES_A = (75.0, 135.0)


@dataclass(frozen=True, slots=True)
class Calibration:
    """A calibrated model and its hysteresis thresholds."""

    model: MembraneModel
    low: int
    high: int


_CONFIDENT_SCORE = 156
"""Score that a volume must reach for its membrane profile to be used; pure noise reaches about 149."""


def make_grid(shape: Shape, voxel_size_A: Spacing) -> CoarseGrid:
    """Return the grid of a volume, with a step of `STEP_A` or the largest voxel size."""
    return CoarseGrid(shape, voxel_size_A, make_step(voxel_size_A))


def make_fine_grid(shape: Shape, voxel_size_A: Spacing) -> CoarseGrid:
    """Return the grid for density profiles, with a step of half `STEP_A` or the largest voxel size."""
    return CoarseGrid(shape, voxel_size_A, max(STEP_A / 2, *voxel_size_A))


def make_step(voxel_size_A: Spacing) -> float:
    """Return the distance between nodes in Å."""
    return max(STEP_A, *voxel_size_A)


def longest_margin_A(step_A: float) -> float:
    """Return the maximum distance in Å at which responses influence a score, at any noise level."""
    model = MembraneModel(1.0, 0.0, no_fiducials(), _plate_bank(step_A), vote_range_A=_RANGES_A[1])
    return model.margin * step_A


def learn_model(
    nodes: Field,
    padding: Flags,
    step_A: float,
    *,
    contrast: Literal["dark", "bright", "auto"],
    tilt_deg: float | None,
    thickness_A: float,
    team: ThreadTeam = SINGLE_THREADED,
) -> MembraneModel:
    """Estimate level, contrast and tilt range from samples of a volume, and find its fiducials.

    Parameters
    ----------
    nodes : array of shape (z, y, x), float32
        Densities on the nodes of the whole volume; may be a memory map.
    padding : array of the same shape, bool
        Nodes that were not measured.
    step_A : float
        Distance between nodes in Å.
    contrast : {"dark", "bright", "auto"}
        Whether membranes are darker or brighter than their surroundings; "auto" chooses the contrast with the stronger
        ridges.
    tilt_deg : float or None
        Maximum tilt angle about y in degrees; None estimates it, 90 means no missing wedge.
    thickness_A : float
        Thickness of the membranes in Å.
    """
    boxes = calibration_boxes(nodes.shape)
    blocks = [np.asarray(nodes[box]) for box in boxes]
    values = _measured(blocks, padding, boxes)
    level = float(np.median(values))
    limit = fiducial_limit(values, level)
    bank = _plate_bank(step_A)
    tilt = estimate_tilt(blocks) if tilt_deg is None else tilt_deg
    gold = bool(0 < limit < np.inf)
    fiducial_sign = _fiducial_sign(values - np.float32(level), limit) if contrast == "auto" else _SIGNS[contrast]
    fields = [(block - np.float32(level)) * np.float32(fiducial_sign) for block in blocks]
    found = [find_fiducials(field, level=0, sign=1, limit=limit) if gold else no_fiducial_model() for field in fields]
    if gold and tilt_deg is None and tilt < NO_WEDGE:
        tilt = _refine_tilt(fields, found, tilt, step_A, team)
    wedge = tilt if tilt < NO_WEDGE else None
    sign = fiducial_sign
    if contrast == "auto":
        pairs = zip(found, fields, strict=True)
        rest = [one.deconvolve(step_A=step_A, tilt_deg=wedge).remove(field, (0, 0, 0)) for one, field in pairs]
        sign *= _choose_contrast(
            bank, rest, doubt=_FIDUCIAL_DOUBT if any(len(one.nodes) for one in found) else 0.0, team=team
        )
    whole = find_fiducials(nodes, level=level, sign=fiducial_sign, limit=limit) if gold else no_fiducial_model()
    fiducials = whole.deconvolve(step_A=step_A, tilt_deg=wedge)
    fiducials = replace(fiducials, amplitudes=fiducials.amplitudes * np.float32(fiducial_sign * sign))
    half = 0.5 * thickness_A + RIDGE_TOLERANCE_A
    return MembraneModel(sign, level, fiducials, bank, fiducial_limit=limit if gold else np.inf, half_thickness_A=half)


def _refine_tilt(
    fields: Sequence[Field], gold: Sequence[FiducialModel], tilt_deg: float, step_A: float, team: ThreadTeam
) -> float:
    """Return the tilt angle near an estimate that minimizes the residual of the fiducials' streaks."""
    with_fiducials = [(field, one) for field, one in zip(fields, gold, strict=True) if len(one.nodes)]
    if not with_fiducials:
        return tilt_deg

    def residual(tilt: float) -> float:
        return sum(one.residual_power(field, step_A=step_A, tilt_deg=tilt) for field, one in with_fiducials)

    tried = [tilt_deg + change for change in _TILT_CHANGES]
    return float(tried[int(np.argmin(team.map(residual, tried)))])


def learn_thresholds(
    model: MembraneModel, plates: PlateMap, padding: Flags, *, team: ThreadTeam = SINGLE_THREADED
) -> Calibration:
    """Estimate noise, vote range, lamella surfaces, membrane profile and thresholds from the filter responses."""
    positions = calibration_boxes(plates.shape)
    boxes = [plates.box(where) for where in positions]
    responses = _measured([box.response for box in boxes], padding, positions)
    middle = float(np.median(responses))
    deviation = 1.4826 * float(np.median(np.abs(responses - middle)))
    # Rounding errors of a constant volume do not count as noise.
    rounding = 1e-5 * (abs(model.level) + float(np.abs(responses).max()))
    model = replace(model, middle=middle, deviation=deviation if deviation > rounding else np.inf)
    seen = _prominence(team.map(lambda box: model.ridge_points(box).height, boxes))
    # A noisy volume needs many votes, from far away; in a clear one those from nearby are enough.
    model = replace(model, vote_range_A=float(np.clip(_RANGE_A - _RANGE_SLOPE_A * seen, *_RANGES_A)))
    fields = team.map(lambda box: _scores(model, box), boxes)
    low, high = find_thresholds(fields, prominence=seen, rule=RULE_BY_HEIGHT, step_A=model.step_A)
    surfaces, profile = _confident_membranes(model, plates, low, team)
    model = replace(model, surfaces=surfaces)
    with_profile = replace(model, profile=profile)
    fields = team.map(lambda box: _scores(with_profile, box), boxes)
    # A profile learned from noise fits noise; then the heights of the ridges decide.
    if profile is None or max(float(field.max()) for field in fields) < _CONFIDENT_SCORE:
        return Calibration(model, low, high)
    low, high = find_thresholds(fields, prominence=seen, rule=RULE_BY_PROFILE, step_A=model.step_A)
    return Calibration(with_profile, low, high)


def _confident_membranes(
    model: MembraneModel, plates: PlateMap, low: int, team: ThreadTeam
) -> tuple[LamellaSurfaces, MembraneProfile | None]:
    """Estimate the lamella surfaces and the membrane profile from the clearest membranes in columns of the volume."""

    def confident_ridges(where: tuple[slice, ...]) -> tuple[Field, ...]:
        box = plates.box(where)
        ridge_points, result = model.collect_votes(box)
        at, first = result.indices, np.asarray(box.first, np.float32)
        positions = (
            ridge_points.nodes[at]
            + (ridge_points.offset[at] + result.shift)[:, None] * ridge_points.normals[at]
            + first
        )
        centres = (
            ridge_points.nodes[at] + model.surface_offset(ridge_points, result)[:, None] * ridge_points.normals[at]
        )
        sure = to_scores(result.votes * np.float32(model.vote_scale)) >= low
        best = np.flatnonzero(sure)[np.argsort(-result.votes[sure], kind="stable")[:_PROFILE_RIDGES]]
        profiles = model.profiles_at(box, centres[best], ridge_points.normals[at[best]], result.curvature[best])
        return positions[sure], result.asymmetry[sure], ridge_points.height[at][sure], profiles, result.votes[best]

    found = team.map(confident_ridges, _columns(plates.shape))
    positions, asymmetry, height, profiles_at, votes = (np.concatenate(parts) for parts in zip(*found, strict=True))
    best = np.argsort(-votes, kind="stable")[:_PROFILE_RIDGES]
    profile = learn_profile(profiles_at[best][~model.contain_fiducials(profiles_at[best])])
    return find_lamella_surfaces(positions, asymmetry, height, plates.shape), profile


def _columns(shape: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """Return boxes through the whole depth: the whole of a small volume, else the centre and four around it."""
    if math.prod(shape) <= _SMALL_NODES:
        return [tuple(slice(0, size) for size in shape)]
    boxes = []
    for share_y, share_x in _COLUMNS:
        firsts = [round(max(n - _COLUMN_NODES, 0) * at) for n, at in zip(shape[1:], (share_y, share_x), strict=True)]
        boxes.append((slice(0, shape[0]), *(slice(at, at + _COLUMN_NODES) for at in firsts)))
    return boxes


def _prominence(heights: Sequence[Field]) -> float:
    """Return the height of the highest ridges in standard deviations of the noise; about 3 in pure noise."""
    together = np.concatenate(heights)
    return float(np.quantile(together, 0.95)) if together.size else 0.0


def _scores(model: MembraneModel, box: PlateBox) -> Field:
    distance, votes = model.surface(box)
    return np.where(distance <= model.half_thickness_A, to_scores(votes), np.float32(0))


def _plate_bank(step_A: float) -> PlateBank:
    across = max(ACROSS_A, 0.9 * step_A)
    return PlateBank(step_A, across, max(IN_PLANE_A, 1.8 * across), hemisphere_directions(DIRECTIONS))


def calibration_boxes(shape: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """Return boxes for calibration: the whole of a small volume, else three along its yx diagonal."""
    if math.prod(shape) <= _SMALL_NODES:
        return [tuple(slice(0, size) for size in shape)]
    boxes = []
    for share in np.linspace(0.25, 0.75, _SAMPLES):
        first = [round(max(n - _SAMPLE_NODES, 0) * at) for n, at in zip(shape, (0.5, share, share), strict=True)]
        boxes.append(tuple(slice(at, at + _SAMPLE_NODES) for at in first))
    return boxes


def _measured(blocks: Sequence[Field], padding: Flags, boxes: Sequence[tuple[slice, ...]]) -> Field:
    values = np.concatenate([block[~padding[box]] for block, box in zip(blocks, boxes, strict=True)])
    return values if values.size else np.zeros(1, np.float32)


def _central_box(field: Field) -> Field:
    z, y, x = (slice(max(0, (n - _SIGN_NODES) // 2), (n + _SIGN_NODES) // 2) for n in field.shape)
    return field[z, y, x]


def _fiducial_sign(deviations: Field, limit: float) -> float:
    """Return 1 if the densities beyond the limits are mostly above, else −1; streaks have the opposite contrast."""
    above, below = (float(np.square(np.clip(sign * deviations - limit, 0, None)).sum()) for sign in (_PLUS, -_PLUS))
    return 1.0 if above > below else -1.0


def _choose_contrast(bank: PlateBank, fields: Sequence[Field], *, doubt: float, team: ThreadTeam) -> float:
    """Return 1 if the strongest plate responses of fields without fiducials are bright, −1 if they are dark.

    Fields are given with bright fiducials. If a volume has fiducials, differences up to `doubt` are decided by their
    contrast, which is that of membranes.
    """
    tails = np.sum(team.map(lambda field: bank.extremes(_central_box(field), 0.99), fields), axis=0)
    return 1.0 if tails[0] > (1 - doubt) * tails[1] else -1.0
