"""The threshold that promises the best mask, by the probabilities alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class BestThreshold:
    """A threshold and what is to be expected of it.

    Attributes
    ----------
    score : int
        From which on voxels should be taken.
    f1 : float
        Expected F1 score, 0 if nothing is recognized.
    """

    score: int
    f1: float


def best_threshold(counts: npt.NDArray[np.int64]) -> BestThreshold:
    """Return the threshold with the highest expected F1 score.

    A voxel of probability p is right with probability p, so that the mask of all voxels above a threshold has an
    expected precision and recall. In noise, where no voxel is certain, a lower threshold is best than in a clean volume
    (Lipton, Elkan and Naryanaswamy, ECML PKDD 2014: at half the highest F1 score).

    Parameters
    ----------
    counts : array of int
        Number of voxels of each score; scores are proportional to probabilities, and the last one is certain.
    """
    expected = counts * np.linspace(0, 1, len(counts))
    taken, right = (np.cumsum(values[::-1])[::-1] for values in (counts, expected))
    f1 = 2 * right / np.maximum(taken + expected.sum(), 1)
    best = int(np.argmax(f1))
    return BestThreshold(best, float(f1[best]))
