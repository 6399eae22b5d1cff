"""The best of all thresholds on a response: what a peer could reach if somebody chose the threshold with the truth."""

import numpy as np
from numpy.typing import NDArray

from cryomamba.synth import score_thresholds
from cryomamba.synth.spec import MEMBRANE


def best_f1(response: NDArray[np.float32], truth: NDArray[np.uint8], label: int = MEMBRANE) -> float:
    """Return the best F1 over 255 thresholds that keep from none to a third of the voxels."""
    levels = np.quantile(response.reshape(-1)[::7], np.linspace(0.66, 1, 255))
    ranks = np.searchsorted(levels, response, side="right").astype(np.uint8)
    return max(score.f1 for score in score_thresholds(ranks, truth, label)[1:])
