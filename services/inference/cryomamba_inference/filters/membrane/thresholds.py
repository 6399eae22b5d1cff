"""Thresholds of the score map, from the noise of the volume and its small components. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cc3d
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]

_SMALL_COMPONENT_NM3 = 4000.0  # nm³, below which a component counts as noise or a fragment
_THRESHOLD_STEP = 3  # scores between the thresholds that are tried
_NOISE_SCORE = 11.0  # scores over which the share of noise nodes falls by a factor of e
_ABOVE_NOISE = 2.0  # minimum ratio of nodes above a threshold to those expected of noise


@dataclass(frozen=True, slots=True)
class ThresholdRule:
    """The expected threshold as a linear function of the prominence of the ridges; fitted to phantoms of many kinds.

    Attributes
    ----------
    start, slope, lowest, highest : float
        Expected threshold: `start` + `slope` · prominence, between `lowest` and `highest`.
    below, above : int
        Maximum distance of the threshold below and above the expected one.
    penalty : float
        Cost of the squared distance from the expected threshold, in shares of nodes in small components.
    seed : int
        Minimum upper threshold.
    noise : float
        In pure noise about `noise` · exp(−score / 11) of the nodes reach a score; 0 if negligible.
    """

    start: float
    slope: float
    lowest: float
    highest: float
    below: int
    above: int
    penalty: float
    seed: int
    noise: float = 0.0


RULE_BY_HEIGHT = ThresholdRule(59.0, 9.1, 95.0, 152.0, below=6, above=15, penalty=3e-4, seed=135)
RULE_BY_PROFILE = ThresholdRule(50.0, 8.0, 65.0, 140.0, below=4, above=20, penalty=5e-5, seed=110, noise=60.0)


def find_thresholds(
    fields: Sequence[Field], *, prominence: float, rule: ThresholdRule, step_A: float
) -> tuple[int, int]:
    """Return the lower and the upper hysteresis threshold.

    The noisier a volume, the lower the scores of its membranes: a linear rule gives the expected threshold. A low
    threshold makes many small components of noise and clutter; a high one breaks membranes into fragments. So, near
    the expected threshold, the one with the smallest share of nodes in small components is taken.

    Parameters
    ----------
    fields : sequence of arrays (z, y, x)
        Scores of nodes within half a membrane thickness of a ridge, 0 elsewhere.
    prominence : float
        Height of the highest ridges in standard deviations of the noise.
    step_A : float
        Distance between nodes in Å.
    """
    expected = float(np.clip(rule.start + rule.slope * prominence, rule.lowest, rule.highest))
    smallest = _SMALL_COMPONENT_NM3 * 1000 / step_A**3
    tried = np.arange(int(expected) - rule.below, int(expected) + rule.above + 1, _THRESHOLD_STEP)
    counts = np.array([[_component_counts(field >= at, smallest) for at in tried] for field in fields]).sum(axis=0)
    share = np.where(counts[:, 1] > 0, counts[:, 0] / np.maximum(counts[:, 1], 1), 1.0)
    share = np.convolve(np.pad(share, 1, mode="edge"), (0.25, 0.5, 0.25), "valid")
    fine = np.arange(tried[0], tried[-1] + 1)
    cost = np.interp(fine, tried, share) + rule.penalty * (fine - expected) ** 2
    # With few membranes, components of noise outweigh them.
    found = np.interp(fine, tried, counts[:, 1]) / sum(field.size for field in fields)
    cost[found < _ABOVE_NOISE * rule.noise * np.exp(-fine / _NOISE_SCORE)] += 1
    low = int(fine[cost.argmin()])
    return low, max(low, rule.seed)


def _component_counts(mask: npt.NDArray[np.bool_], smallest: float) -> tuple[int, int]:
    """Return how many nodes lie in small components, and in all; components at a side of the field are not small."""
    labels = cc3d.connected_components(mask.view(np.uint8), connectivity=26)
    sizes = np.bincount(labels.reshape(-1))
    sides = [labels[at] for at in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1])]
    sizes_small = np.where(sizes < smallest, sizes, 0)
    sizes_small[0] = 0
    for fiducial_sign in sides:
        sizes_small[np.unique(fiducial_sign)] = 0
    return int(sizes_small.sum()), int(sizes[1:].sum())
