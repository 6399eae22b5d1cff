"""Precision, recall and F1 of a mask against the whole ground truth of a phantom."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryomamba.synth.spec import MEMBRANE


@dataclass(frozen=True)
class MaskScore:
    """Precision, recall and F1 (their harmonic mean), all between 0 and 1."""

    precision: float
    recall: float
    f1: float


def _dilated(field: NDArray[Any], steps: int) -> NDArray[Any]:
    for _ in range(steps):
        grown = field.copy()
        for axis in range(3):
            along, into = np.moveaxis(field, axis, 0), np.moveaxis(grown, axis, 0)
            np.maximum(into[1:], along[:-1], out=into[1:])
            np.maximum(into[:-1], along[1:], out=into[:-1])
        field = grown
    return field


def _count_at_least(scores: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.cumsum(np.bincount(scores, minlength=256)[::-1])[::-1]


def score_thresholds(
    scores: NDArray[np.uint8],
    ground_truth: NDArray[np.uint8],
    label: int = MEMBRANE,
    tolerance: int = 1,
    *,
    ignore: NDArray[np.bool_] | None = None,
) -> list[MaskScore]:
    """Compare a score map with the ground truth at every threshold, at the cost of one comparison.

    Parameters
    ----------
    scores : array of shape (z, y, x), uint8
        A threshold keeps the voxels at or above it.
    ground_truth, label, tolerance, ignore
        As for :func:`score_mask`.

    Returns
    -------
    list of MaskScore
        :func:`score_mask` of ``scores >= threshold`` for the thresholds 0 to 255.
    """
    labelled = np.asarray(ground_truth == label, np.bool_)
    counted = np.ones_like(labelled)
    if ignore is not None:
        ignored = labelled & ignore
        labelled &= ~ignore
        counted = ~_dilated(ignored, tolerance)
    near_labelled = _dilated(labelled, tolerance)
    counted |= near_labelled
    positive, correct = _count_at_least(scores[counted]), _count_at_least(scores[near_labelled])
    found, total = _count_at_least(_dilated(scores, tolerance)[labelled]), int(labelled.sum())
    return [_score(int(c), int(p), int(f), total) for c, p, f in zip(correct, positive, found, strict=True)]


def _score(correct: int, positive: int, found: int, total: int) -> MaskScore:
    precision = correct / positive if positive else float(total == 0)
    recall = found / total if total else float(positive == 0)
    both = precision + recall
    return MaskScore(precision, recall, 2 * precision * recall / both if both else 0.0)


def score_mask(
    mask: NDArray[Any],
    ground_truth: NDArray[np.uint8],
    label: int = MEMBRANE,
    tolerance: int = 1,
    *,
    ignore: NDArray[np.bool_] | None = None,
) -> MaskScore:
    """Compare a mask with the ground truth of a phantom.

    A mask voxel is a true positive if a voxel with `label` is at most `tolerance` voxels away (over faces); a labelled
    voxel is found if a mask voxel is that near. All labelled voxels count, also membranes in the missing wedge.

    Parameters
    ----------
    mask : array of shape (z, y, x)
        All values but 0 count as foreground.
    ground_truth : array of shape (z, y, x), uint8
        Labels of a `Phantom`.
    label : int
        The label to compare with.
    tolerance : int
        Tolerance of the boundary in voxels.
    ignore : array of shape (z, y, x), bool, optional
        Labelled voxels that count neither as found or missed nor, with their surroundings, as wrong. For a second score
        beside that of the whole ground truth, for example of the membranes that the tilt range lets be seen.
    """
    foreground = (mask != 0).astype(np.uint8)
    return score_thresholds(foreground, ground_truth, label, tolerance, ignore=ignore)[1]
