"""How well a mask found the membranes, particles or filaments of a phantom."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryomamba.synth.spec import MEMBRANE, MEMBRANE_UNSEEN


@dataclass(frozen=True)
class MaskScore:
    """Precision, recall and their harmonic mean, all between 0 and 1."""

    precision: float
    recall: float
    f1: float


def _grown(field: NDArray[Any], steps: int) -> NDArray[Any]:
    """Give every voxel the largest value that is at most so many face neighbours away."""
    for _ in range(steps):
        grown = field.copy()
        for axis in range(3):
            along, into = np.moveaxis(field, axis, 0), np.moveaxis(grown, axis, 0)
            np.maximum(into[1:], along[:-1], out=into[1:])
            np.maximum(into[:-1], along[1:], out=into[:-1])
        field = grown
    return field


def _reached(scores: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return for each value from 0 to 255 how many scores are at least that."""
    return np.cumsum(np.bincount(scores, minlength=256)[::-1])[::-1]


def score_thresholds(
    scores: NDArray[np.uint8], truth: NDArray[np.uint8], label: int = MEMBRANE, tolerance: int = 1
) -> list[MaskScore]:
    """Compare the masks at every threshold with a phantom's truth, at the cost of one.

    Parameters
    ----------
    scores : array of shape (z, y, x), uint8
        Thresholding keeps the voxels with at least a value.
    truth, label, tolerance
        As for :func:`score_mask`.

    Returns
    -------
    list of MaskScore
        What :func:`score_mask` says of ``scores >= threshold``, for the thresholds 0 to 255.
    """
    wanted = truth == label
    near_wanted = _grown(wanted, tolerance)
    counted = np.ones_like(wanted)
    if label == MEMBRANE:
        counted = near_wanted | ~_grown(truth == MEMBRANE_UNSEEN, tolerance)
    claims, right = _reached(scores[counted]), _reached(scores[counted & near_wanted])
    hit, wants = _reached(_grown(scores, tolerance)[wanted]), int(wanted.sum())
    return [_score(int(r), int(c), int(h), wants) for r, c, h in zip(right, claims, hit, strict=True)]


def _score(right: int, claims: int, hit: int, wants: int) -> MaskScore:
    precision = right / claims if claims else float(wants == 0)
    recall = hit / wants if wants else float(claims == 0)
    both = precision + recall
    return MaskScore(precision, recall, 2 * precision * recall / both if both else 0.0)


def score_mask(mask: NDArray[Any], truth: NDArray[np.uint8], label: int = MEMBRANE, tolerance: int = 1) -> MaskScore:
    """Compare a mask with a phantom's truth.

    A mask voxel is right if the truth has `label` at most `tolerance` voxels away (counted over faces), a
    truth voxel is found if the mask has one that near. For membranes, voxels labelled ``membrane_unseen``
    are left out of both counts.

    Parameters
    ----------
    mask : array of shape (z, y, x)
        What was found; every value but 0 counts.
    truth : array of shape (z, y, x), uint8
        Labels of a `Phantom`.
    label : int
        The label that was looked for.
    tolerance : int
        Voxels by which a border may be off.
    """
    return score_thresholds((mask != 0).astype(np.uint8), truth, label, tolerance)[1]
