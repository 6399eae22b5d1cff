"""How scores become labels."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HysteresisThreshold:
    """How scores become labels.

    Attributes
    ----------
    high, low : int
        Hysteresis on uint8 scores: a component of voxels with at least `low` stays if one has at least `high`.
        Equal values make a plain threshold.
    min_voxels : int
        Smaller components go.
    """

    high: int
    low: int
    min_voxels: int = 0
