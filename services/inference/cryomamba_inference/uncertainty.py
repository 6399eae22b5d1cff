"""The file of the uncertainty of each voxel, and its mean over a mask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from cryomamba.engines.uncertainty import PERCENT_MAX
from cryomamba.masks.slabs import slab_depth
from cryomamba.volumes import HeaderFields, LabelVolume, MaskWriter, Volume

METHOD = "predictive entropy, percent of the largest"
_SLAB_VOXELS = 1024 * 1024


class UncertaintySummary(BaseModel):
    """The mean uncertainty of the voxels of a mask.

    Attributes
    ----------
    method : str
    mean_percent : float or None
        Of all voxels with a label; None for an empty mask.
    by_label : dict of int to float
        Of those of each label that is in the mask.
    """

    model_config = ConfigDict(frozen=True)

    method: str = METHOD
    mean_percent: float | None
    by_label: dict[int, float]


def uncertainty_writer(path: Path, like: HeaderFields, engine: str) -> MaskWriter:
    """Return a writer of the uncertainty in percent: bytes that are the same whether read as signed or unsigned."""
    return MaskWriter(
        path, like, labels=PERCENT_MAX, engine=engine, what="uncertainty", note=f"Uncertainty: {METHOD} (0-100)"
    )


def summarize_uncertainty(
    mask: LabelVolume, uncertainty: Volume, *, labels: int, progress: Callable[[float], None]
) -> UncertaintySummary:
    """Return the mean uncertainty of a mask whose labels go up to `labels`, slab by slab."""
    depth, planes = mask.shape[0], slab_depth(mask.shape, _SLAB_VOXELS)
    counts, sums = np.zeros(labels + 1), np.zeros(labels + 1)
    for z in range(0, depth, planes):
        where = slice(z, min(z + planes, depth))
        found = mask.read_native(where, slice(None), slice(None)).reshape(-1)
        percent = uncertainty.read_native(where, slice(None), slice(None)).reshape(-1)
        counts += np.bincount(found, minlength=labels + 1)
        # Sums of whole numbers, which are exact.
        sums += np.bincount(found, weights=percent, minlength=labels + 1)
        progress(where.stop / depth)
    counts[0] = sums[0] = 0
    present = np.flatnonzero(counts)
    return UncertaintySummary(
        mean_percent=round(float(sums.sum() / counts.sum()), 3) if len(present) else None,
        by_label={int(label): round(float(sums[label] / counts[label]), 3) for label in present},
    )
