"""Traces filaments through centreline points by a predictor-corrector scheme, and resamples them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

Floats = npt.NDArray[np.float64]

_STEP_DIAMETERS = 0.5  # of the predictor
_NEAR_DIAMETERS = 0.6  # radius in which points belong to a filament
_MIN_ADVANCE = 0.2  # minimum progress per step, in steps
_MIN_AGREEMENT = 0.75  # minimum cosine between the directions of a filament and of its points
_SMOOTHINGS = 2  # passes of the (1, 2, 1) / 4 kernel


@dataclass(frozen=True, slots=True)
class Filament:
    """One filament: its points (n, 3) in Å, the score of each, and its length in Å."""

    points: Floats
    scores: Floats
    length: float


def trace(points: Floats, *, diameter_A: float, high: float, min_length_A: float, spacing_A: float) -> list[Filament]:
    """Trace filaments from their highest-scoring point to both ends.

    Parameters
    ----------
    points : array of shape (n, 7)
        z, y, x in Å, direction, score; only those above the lower threshold.
    diameter_A : float
        Points within 0.6 diameters of a filament belong to it.
    high : float
        Score that a filament must reach at one point.
    spacing_A : float
        Distance between points along a filament.

    Returns
    -------
    list of Filament
        The longest first.
    """
    if not len(points):
        return []
    cloud = _PointCloud(points, diameter_A)
    found = []
    for seed in np.lexsort((*points.T[2::-1], -points[:, 6])):
        if points[seed, 6] < high:
            break
        if cloud.used[seed]:
            continue
        line, scores = cloud.follow(int(seed))
        filament = _resampled(_smoothed(line), scores, spacing_A)
        if filament.length >= min_length_A:
            found.append(filament)
    return sorted(found, key=lambda one: (-one.length, tuple(one.points[0])))


class _PointCloud:
    """Points, and which of them belong to a filament already."""

    def __init__(self, points: Floats, diameter_A: float) -> None:
        self._positions, self._directions, self._scores = points[:, :3], points[:, 3:6], points[:, 6]
        self._tree = cKDTree(self._positions)
        self._step, self._radius = _STEP_DIAMETERS * diameter_A, _NEAR_DIAMETERS * diameter_A
        self.used = np.zeros(len(points), np.bool_)

    def follow(self, seed: int) -> tuple[Floats, Floats]:
        """Return the line (n, 3) through a point, from end to end, and the scores along it."""
        start = self._correct(self._positions[seed], self._directions[seed])
        origin = start or (self._positions[seed], self._directions[seed], float(self._scores[seed]))
        forward, back = self._march(origin, 1.0), self._march(origin, -1.0)
        line = [*reversed(back), origin, *forward]
        positions, scores = np.array([one[0] for one in line]), np.array([one[2] for one in line])
        for near in self._tree.query_ball_point(positions, self._radius):
            self.used[near] = True
        self.used[seed] = True
        return positions, scores

    def _march(self, origin: tuple[Floats, Floats, float], side: float) -> list[tuple[Floats, Floats, float]]:
        line: list[tuple[Floats, Floats, float]] = []
        position, direction = origin[0], side * origin[1]
        # Bounded, because a line may be closed.
        for _ in range(len(self._positions)):
            following = self._correct(position + self._step * direction, direction)
            if following is None or (following[0] - position) @ direction < _MIN_ADVANCE * self._step:
                break
            line.append(following)
            position, direction = following[0], following[1]
        return line

    def _correct(self, predicted: Floats, direction: Floats) -> tuple[Floats, Floats, float] | None:
        """Return position, direction and score of the line near a predicted position; None if the line ends."""
        near = np.array(self._tree.query_ball_point(predicted, self._radius), np.int64)
        near = near[~self.used[near]] if near.size else near
        if not near.size:
            return None
        turned = self._directions[near] * np.sign(self._directions[near] @ direction)[:, None]
        offset = self._positions[near] - predicted
        agree = turned @ direction > _MIN_AGREEMENT
        if not (agree & (np.abs(offset @ direction) <= self._step / 2)).any():
            return None
        weight = self._scores[near] ** 2 * agree * np.exp(-((offset @ direction) ** 2) / (2 * (self._step / 2) ** 2))
        weight = weight / weight.sum()
        mean_direction = weight @ turned
        mean_direction /= np.linalg.norm(mean_direction)
        lateral = weight @ offset
        # Only perpendicular to the line.
        position = predicted + lateral - (lateral @ mean_direction) * mean_direction
        return position, mean_direction, float(self._scores[near[agree]].max())


def _smoothed(line: Floats) -> Floats:
    for _ in range(_SMOOTHINGS):
        if len(line) > 2:
            line = np.concatenate([line[:1], (line[:-2] + 2 * line[1:-1] + line[2:]) / 4, line[-1:]])
    return line


def _resampled(line: Floats, scores: Floats, spacing_A: float) -> Filament:
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    length = float(along[-1])
    margin = length % spacing_A / 2
    at = np.arange(margin, length + 1e-9, spacing_A)
    points = np.column_stack([np.interp(at, along, line[:, axis]) for axis in range(3)])
    return Filament(points, np.interp(at, along, scores), length)
