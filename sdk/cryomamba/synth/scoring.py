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


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Add the six face neighbours of every voxel."""
    grown = mask.copy()
    for axis in range(3):
        along = np.moveaxis(mask, axis, 0)
        into = np.moveaxis(grown, axis, 0)
        into[1:] |= along[:-1]
        into[:-1] |= along[1:]
    return grown


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
    found, wanted = mask != 0, truth == label
    near_found, near_wanted = found, wanted
    unseen = (truth == MEMBRANE_UNSEEN) if label == MEMBRANE else np.zeros_like(found)
    for _ in range(tolerance):
        near_found, near_wanted = _grown(near_found), _grown(near_wanted)
        unseen = _grown(unseen)
    claimed = found & ~(unseen & ~near_wanted)
    right, claims = int((claimed & near_wanted).sum()), int(claimed.sum())
    hit, wants = int((wanted & near_found).sum()), int(wanted.sum())
    precision = right / claims if claims else float(wants == 0)
    recall = hit / wants if wants else float(claims == 0)
    both = precision + recall
    return MaskScore(precision, recall, 2 * precision * recall / both if both else 0.0)
