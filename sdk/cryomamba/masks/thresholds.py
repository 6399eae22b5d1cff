"""Thresholds that turn a score map into a mask."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HysteresisThreshold:
    """Thresholds on scores of 0 to 255.

    Attributes
    ----------
    high, low : int
        Upper and lower hysteresis threshold: a connected component of voxels at or above `low` is kept if at least one
        of them is at or above `high`. Equal values make a single threshold.
    min_voxels : int
        Minimum size of a component; smaller ones are removed.
    """

    high: int
    low: int
    min_voxels: int = 0
