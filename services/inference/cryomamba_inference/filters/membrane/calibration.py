"""What the membrane filter has to know of a volume before its first tile: levels, noise, gold, and where to cut."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import cc3d
import numpy as np
import numpy.typing as npt

from cryomamba.geometry import Shape, Spacing
from cryomamba_inference.filters.common.fiducials import FiducialModel, find_fiducials, no_fiducial_model, no_fiducials
from cryomamba_inference.filters.common.grid import CoarseGrid, hemisphere_directions
from cryomamba_inference.filters.common.wedge import NO_WEDGE, estimate_tilt
from cryomamba_inference.filters.membrane.lamella_surfaces import LamellaSurfaces, find_lamella_surfaces
from cryomamba_inference.filters.membrane.model import STEP_A, MembraneModel, to_scores
from cryomamba_inference.filters.membrane.normal_profiles import MembraneProfile, learn_profile
from cryomamba_inference.filters.membrane.plate_map import PlateBox, PlateMap
from cryomamba_inference.filters.membrane.plates import PlateBank
from cryomamba_inference.threads import SINGLE_THREADED, ThreadTeam

Field = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

ACROSS_A = 24.0
IN_PLANE_A = 60.0
DIRECTIONS = 128
_SAMPLE_NODES = 60
_SAMPLES = 3
_COLUMN_NODES = 40
_COLUMNS = ((0.5, 0.5), (0.1, 0.1), (0.1, 0.9), (0.9, 0.1), (0.9, 0.9))
_SIGN_NODES = 40
_SMALL_NODES = 300_000
_FIDUCIAL_QUANTILE = 0.985
_TILT_CHANGES = (0, -1, 1, -2, 2, -3, 3, -4, 4)
_FIDUCIAL_CONTRAST = 2.5
_FIDUCIAL_DEVIATIONS = 8.0
_PROFILE_RIDGES = 1000
_SMALL_COMPONENT_NM3 = 4000.0
_THRESHOLD_STEP = 3
_ABOVE_NOISE, _NOISE_SCORE = 2.0, 11.0
_PLUS = np.float32(1)
_FIDUCIAL_DOUBT = 0.03
_SIGNS = {"dark": -1.0, "bright": 1.0}
_RANGES_A = (75.0, 135.0)
_RANGE_A, _RANGE_SLOPE_A = 180.0, 11.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """A model, and the scores between which hysteresis cuts."""

    model: MembraneModel
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class ThresholdRule:
    """Where scores are cut, by how far the highest crests stand out: fitted once to phantoms of many kinds.

    Attributes
    ----------
    start, slope, lowest, highest : float
        The expected score, and its bounds.
    below, above : int
        How far from it the cut may lie.
    pull : float
        What a score away from it costs, squared, as a share of nodes in small pieces.
    sure : int
        The score that one voxel of a piece must have.
    noise : float
        In noise alone, about a share of `noise` · exp(−score / 11) of the nodes has a score or more; 0 if hardly any.
    """

    start: float
    slope: float
    lowest: float
    highest: float
    below: int
    above: int
    shift_penalty: float
    sure: int
    noise: float = 0.0


_RULE_BY_HEIGHT = ThresholdRule(59.0, 9.1, 95.0, 152.0, below=6, above=15, shift_penalty=3e-4, sure=135)
_RULE_BY_PROFILE = ThresholdRule(50.0, 8.0, 65.0, 140.0, below=4, above=20, shift_penalty=5e-5, sure=110, noise=60.0)
_CONFIDENT_SCORE = 156
"""What something in a volume must reach for sections to be trusted; those of noise alone reach some 149."""


def make_grid(shape: Shape, voxel_size_A: Spacing) -> CoarseGrid:
    """Return the nodes for a volume: `STEP_A` apart, or as far as its largest voxel size."""
    return CoarseGrid(shape, voxel_size_A, make_step(voxel_size_A))


def make_fine_grid(shape: Shape, voxel_size_A: Spacing) -> CoarseGrid:
    """Return the nodes for sections: half of `STEP_A` apart, or as far as the largest voxel size."""
    return CoarseGrid(shape, voxel_size_A, max(STEP_A / 2, *voxel_size_A))


def make_step(voxel_size_A: Spacing) -> float:
    """Return the distance of the nodes in Å."""
    return max(STEP_A, *voxel_size_A)


def longest_margin_A(step_A: float) -> float:
    """Return how far in Å from a box the responses can change its scores, whatever the noise."""
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
    """Learn level, contrast and wedge from samples of a volume, and find its gold.

    Parameters
    ----------
    nodes : array of shape (z, y, x), float32
        Densities on the nodes of the whole volume; may be a memory map.
    padding : array of the same shape, bool
        Nodes that were not measured.
    step_A : float
        Distance of the nodes in Å.
    contrast : {"dark", "bright", "auto"}
        Whether membranes are darker or brighter than their surroundings; "auto" takes the side with the stronger
        plates.
    tilt_deg : float or None
        Largest tilt of the series about y in degrees; None estimates it, 90 means no missing wedge.
    thickness_A : float
        Thickness of a membrane.
    team : ThreadTeam
        Works on the samples.
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
    """Return the tilt, near an estimate, with which least is left of the streaks of gold."""
    contain_fiducials = [(field, one) for field, one in zip(fields, gold, strict=True) if len(one.nodes)]
    if not contain_fiducials:
        return tilt_deg

    def left(tilt: float) -> float:
        return sum(one.residual_power(field, step_A=step_A, tilt_deg=tilt) for field, one in contain_fiducials)

    tried = [tilt_deg + change for change in _TILT_CHANGES]
    return float(tried[int(np.argmin(team.map(left, tried)))])


def learn_thresholds(
    model: MembraneModel, plates: PlateMap, padding: Flags, *, team: ThreadTeam = SINGLE_THREADED
) -> Calibration:
    """Learn the noise, how far votes reach, where the specimen ends, what membranes look like, and where to cut."""
    positions = calibration_boxes(plates.shape)
    boxes = [plates.box(where) for where in positions]
    responses = _measured([box.response for box in boxes], padding, positions)
    middle = float(np.median(responses))
    deviation = 1.4826 * float(np.median(np.abs(responses - middle)))
    # Rounding errors of a constant volume are no noise.
    rounding = 1e-5 * (abs(model.level) + float(np.abs(responses).max()))
    model = replace(model, middle=middle, deviation=deviation if deviation > rounding else np.inf)
    seen = _prominence(team.map(lambda box: model.ridge_points(box).height, boxes))
    # Votes come from far in noise, where many are needed, and from near where membranes stand out.
    model = replace(model, vote_range_A=float(np.clip(_RANGE_A - _RANGE_SLOPE_A * seen, *_RANGES_A)))
    fields = team.map(lambda box: _scores(model, box), boxes)
    low, high = find_thresholds(fields, prominence=seen, line=_RULE_BY_HEIGHT, step_A=model.step_A)
    surfaces, profile = _confident_membranes(model, plates, low, team)
    model = replace(model, surfaces=surfaces)
    with_profile = replace(model, profile=profile)
    fields = team.map(lambda box: _scores(with_profile, box), boxes)
    # Noise has sections too, and of noise a profile is learned that it fits: then heights have to do.
    if profile is None or max(float(field.max()) for field in fields) < _CONFIDENT_SCORE:
        return Calibration(model, low, high)
    low, high = find_thresholds(fields, prominence=seen, line=_RULE_BY_PROFILE, step_A=model.step_A)
    return Calibration(with_profile, low, high)


def _confident_membranes(
    model: MembraneModel, plates: PlateMap, low: int, team: ThreadTeam
) -> tuple[LamellaSurfaces, MembraneProfile | None]:
    """Find where the specimen ends and what membranes look like in section, from those in columns of the volume."""

    def confident_ridges(where: tuple[slice, ...]) -> tuple[Field, ...]:
        box = plates.box(where)
        ridge_points, result = model.collect_votes(box)
        at, first = result.indices, np.asarray(box.first, np.float32)
        positions = (
            ridge_points.nodes[at]
            + (ridge_points.offset[at] + result.shift)[:, None] * ridge_points.normals[at]
            + first
        )
        middles = (
            ridge_points.nodes[at] + model.surface_offset(ridge_points, result)[:, None] * ridge_points.normals[at]
        )
        sure = to_scores(result.votes * np.float32(model.vote_scale)) >= low
        best = np.flatnonzero(sure)[np.argsort(-result.votes[sure], kind="stable")[:_PROFILE_RIDGES]]
        profiles_at = model.profiles_at(box, middles[best], ridge_points.normals[at[best]], result.curvature[best])
        return positions[sure], result.asymmetry[sure], ridge_points.height[at][sure], profiles_at, result.votes[best]

    found = team.map(confident_ridges, _columns(plates.shape))
    positions, asymmetry, height, profiles_at, votes = (np.concatenate(parts) for parts in zip(*found, strict=True))
    best = np.argsort(-votes, kind="stable")[:_PROFILE_RIDGES]
    profile = learn_profile(profiles_at[best][~model.contain_fiducials(profiles_at[best])])
    return find_lamella_surfaces(positions, asymmetry, height, plates.shape), profile


def _columns(shape: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """Return boxes through the whole depth: all of a small volume, else the middle and four around it."""
    if math.prod(shape) <= _SMALL_NODES:
        return [tuple(slice(0, size) for size in shape)]
    boxes = []
    for share_y, share_x in _COLUMNS:
        firsts = [round(max(n - _COLUMN_NODES, 0) * at) for n, at in zip(shape[1:], (share_y, share_x), strict=True)]
        boxes.append((slice(0, shape[0]), *(slice(at, at + _COLUMN_NODES) for at in firsts)))
    return boxes


def _prominence(heights: Sequence[Field]) -> float:
    """Return how far the highest crests stand out of the noise, in deviations; about 3 in noise alone."""
    together = np.concatenate(heights)
    return float(np.quantile(together, 0.95)) if together.size else 0.0


RIDGE_TOLERANCE_A = 1.5
"""Added to half a membrane: a crest is found a little beside the middle, and a voxel counts by its centre."""


def find_thresholds(
    fields: Sequence[Field], *, prominence: float, line: ThresholdRule, step_A: float
) -> tuple[int, int]:
    """Return the scores from which a voxel is membrane, and from which a piece is believed.

    The noisier a volume, the lower its membranes' scores: a line fitted once to phantoms of many kinds
    says about where to cut. Cut low, crests of noise and clutter make many small pieces; cut high, membranes
    fall to pieces. So close to the line the place is taken where the smallest share lies in small pieces.

    Parameters
    ----------
    fields : sequence of arrays (z, y, x)
        Scores of nodes within half a membrane of a crest, 0 elsewhere.
    prominence : float
        How far the highest crests stand out, in deviations.
    line : CutLine
        Where the cut is expected.
    step_A : float
        Distance of the nodes.
    """
    expected = float(np.clip(line.start + line.slope * prominence, line.lowest, line.highest))
    smallest = _SMALL_COMPONENT_NM3 * 1000 / step_A**3
    tried = np.arange(int(expected) - line.below, int(expected) + line.above + 1, _THRESHOLD_STEP)
    counts = np.array([[_component_counts(field >= at, smallest) for at in tried] for field in fields]).sum(axis=0)
    share = np.where(counts[:, 1] > 0, counts[:, 0] / np.maximum(counts[:, 1], 1), 1.0)
    share = np.convolve(np.pad(share, 1, mode="edge"), (0.25, 0.5, 0.25), "valid")
    fine = np.arange(tried[0], tried[-1] + 1)
    cost = np.interp(fine, tried, share) + line.shift_penalty * (fine - expected) ** 2
    # Where membranes are few, what noise has connected outweighs them.
    found = np.interp(fine, tried, counts[:, 1]) / sum(field.size for field in fields)
    cost[found < _ABOVE_NOISE * line.noise * np.exp(-fine / _NOISE_SCORE)] += 1
    low = int(fine[cost.argmin()])
    return low, max(low, line.sure)


def _component_counts(mask: npt.NDArray[np.bool_], smallest: float) -> tuple[int, int]:
    """Return how many nodes lie in small pieces, and in all; what touches a side may be large."""
    labels = cc3d.connected_components(mask.view(np.uint8), connectivity=26)
    sizes = np.bincount(labels.reshape(-1))
    sides = [labels[at] for at in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1])]
    sizes_small = np.where(sizes < smallest, sizes, 0)
    sizes_small[0] = 0
    for fiducial_sign in sides:
        sizes_small[np.unique(fiducial_sign)] = 0
    return int(sizes_small.sum()), int(sizes[1:].sum())


def _scores(model: MembraneModel, box: PlateBox) -> Field:
    distance, votes = model.surface(box)
    return np.where(distance <= model.half_thickness_A, to_scores(votes), np.float32(0))


def _plate_bank(step_A: float) -> PlateBank:
    across = max(ACROSS_A, 0.9 * step_A)
    return PlateBank(step_A, across, max(IN_PLANE_A, 1.8 * across), hemisphere_directions(DIRECTIONS))


def calibration_boxes(shape: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """Return boxes of nodes to learn from: all of a small volume, else places along its diagonal."""
    if math.prod(shape) <= _SMALL_NODES:
        return [tuple(slice(0, size) for size in shape)]
    boxes = []
    for share in np.linspace(0.25, 0.75, _SAMPLES):
        first = [round(max(n - _SAMPLE_NODES, 0) * at) for n, at in zip(shape, (0.5, share, share), strict=True)]
        boxes.append(tuple(slice(at, at + _SAMPLE_NODES) for at in first))
    return boxes


def _measured(blocks: Sequence[Field], padding: Flags, boxes: Sequence[tuple[slice, ...]]) -> Field:
    """Return the values of blocks that are no padding; a zero if there are none."""
    values = np.concatenate([block[~padding[box]] for block, box in zip(blocks, boxes, strict=True)])
    return values if values.size else np.zeros(1, np.float32)


def fiducial_limit(values: Field, level: float) -> float:
    """Return the distance from `level` beyond which a node is gold."""
    away = np.abs(values - np.float32(level))
    deviation = 1.4826 * float(np.median(away))
    return max(_FIDUCIAL_DEVIATIONS * deviation, _FIDUCIAL_CONTRAST * float(np.quantile(away, _FIDUCIAL_QUANTILE)))


def _middle(field: Field) -> Field:
    """Return the middle of a field."""
    z, y, x = (slice(max(0, (n - _SIGN_NODES) // 2), (n + _SIGN_NODES) // 2) for n in field.shape)
    return field[z, y, x]


def _fiducial_sign(away: Field, limit: float) -> float:
    """Return 1 if what lies beyond the limits is mostly above them, else −1; streaks beside gold go the other way."""
    above, below = (
        float(np.square(np.clip(fiducial_sign * away - limit, 0, None)).sum()) for fiducial_sign in (_PLUS, -_PLUS)
    )
    return 1.0 if above > below else -1.0


def _choose_contrast(bank: PlateBank, fields: Sequence[Field], *, doubt: float, team: ThreadTeam) -> float:
    """Return 1 if the strongest plates of fields without gold are bright and −1 if they are dark.

    Fields are given with gold bright. Where they had any, a difference up to `doubt` is decided by it: membranes are
    dense as gold is.
    """
    tails = np.sum(team.map(lambda field: bank.extremes(_middle(field), 0.99), fields), axis=0)
    return 1.0 if tails[0] > (1 - doubt) * tails[1] else -1.0
