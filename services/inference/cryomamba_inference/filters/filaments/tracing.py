"""Tracing: from loose centre points to filaments, each a row of points at equal distances. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

Floats = npt.NDArray[np.float64]

_STEP = 0.5
_BESIDE = 0.6
_BEHIND = 0.2
_AGREEMENT = 0.75
_SMOOTHINGS = 2


@dataclass(frozen=True, slots=True)
class Filament:
    """One filament: its points (n, 3) in Å, the score of each, and its length in Å."""

    points: Floats
    scores: Floats
    length: float


def trace(points: Floats, *, diameter_A: float, high: float, min_length_A: float, spacing_A: float) -> list[Filament]:
    """Follow filaments from their surest point to both ends.

    Parameters
    ----------
    points : array of shape (n, 7)
        z, y, x in Å, direction, score; those too weak to be part of a filament left out.
    diameter_A : float
        Points nearer than 0.6 of it to a filament belong to it.
    high : float
        Score that a filament must reach somewhere.
    min_length_A : float
        Shorter ones are left out.
    spacing_A : float
        Distance of neighbouring points along a filament.

    Returns
    -------
    list of Filament
        The longest first.
    """
    if not len(points):
        return []
    cloud = _Cloud(points, diameter_A)
    found = []
    for seed in np.lexsort((*points.T[2::-1], -points[:, 6])):
        if points[seed, 6] < high:
            break
        if cloud.taken[seed]:
            continue
        line, scores = cloud.follow(int(seed))
        filament = _resampled(_smoothed(line), scores, spacing_A)
        if filament.length >= min_length_A:
            found.append(filament)
    return sorted(found, key=lambda one: (-one.length, tuple(one.points[0])))


class _Cloud:
    """Points, and which of them lie on a filament that was followed already."""

    def __init__(self, points: Floats, diameter_A: float) -> None:
        self._places, self._ways, self._scores = points[:, :3], points[:, 3:6], points[:, 6]
        self._tree = cKDTree(self._places)
        self._step, self._beside = _STEP * diameter_A, _BESIDE * diameter_A
        self.taken = np.zeros(len(points), np.bool_)

    def follow(self, seed: int) -> tuple[Floats, Floats]:
        """Return the line (n, 3) through a point, from end to end, and the scores along it."""
        start = self._settled(self._places[seed], self._ways[seed])
        here = start or (self._places[seed], self._ways[seed], float(self._scores[seed]))
        forward, back = self._walk(here, 1.0), self._walk(here, -1.0)
        line = [*reversed(back), here, *forward]
        places, scores = np.array([one[0] for one in line]), np.array([one[2] for one in line])
        for near in self._tree.query_ball_point(places, self._beside):
            self.taken[near] = True
        self.taken[seed] = True
        return places, scores

    def _walk(self, here: tuple[Floats, Floats, float], side: float) -> list[tuple[Floats, Floats, float]]:
        line: list[tuple[Floats, Floats, float]] = []
        place, way = here[0], side * here[1]
        # A line that bites its own tail has an end, too.
        for _ in range(len(self._places)):
            ahead = self._settled(place + self._step * way, way)
            if ahead is None or (ahead[0] - place) @ way < _BEHIND * self._step:
                break
            line.append(ahead)
            place, way = ahead[0], ahead[1]
        return line

    def _settled(self, guess: Floats, way: Floats) -> tuple[Floats, Floats, float] | None:
        """Return where the line runs near a guess, its direction and score; None where there is no line left."""
        near = np.array(self._tree.query_ball_point(guess, self._beside), np.int64)
        near = near[~self.taken[near]] if near.size else near
        if not near.size:
            return None
        turned = self._ways[near] * np.sign(self._ways[near] @ way)[:, None]
        offset = self._places[near] - guess
        agree = turned @ way > _AGREEMENT
        if not (agree & (np.abs(offset @ way) <= self._step / 2)).any():
            return None
        weight = self._scores[near] ** 2 * agree * np.exp(-((offset @ way) ** 2) / (2 * (self._step / 2) ** 2))
        weight = weight / weight.sum()
        middle = weight @ turned
        middle /= np.linalg.norm(middle)
        beside = weight @ offset
        # Only sideways: the guess keeps its place along the line.
        place = guess + beside - (beside @ middle) * middle
        return place, middle, float(self._scores[near[agree]].max())


def _smoothed(line: Floats) -> Floats:
    for _ in range(_SMOOTHINGS):
        if len(line) > 2:
            line = np.concatenate([line[:1], (line[:-2] + 2 * line[1:-1] + line[2:]) / 4, line[-1:]])
    return line


def _resampled(line: Floats, scores: Floats, spacing_A: float) -> Filament:
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    length = float(along[-1])
    spare = length % spacing_A / 2
    at = np.arange(spare, length + 1e-9, spacing_A)
    points = np.column_stack([np.interp(at, along, line[:, axis]) for axis in range(3)])
    return Filament(points, np.interp(at, along, scores), length)
