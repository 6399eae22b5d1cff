"""Limits for the display of a tomogram."""

from __future__ import annotations

from typing import Final

import numpy as np

from cryomamba.volumes.mrc import Volume
from cryomamba.volumes.statistics import histogram_range

PERCENTILES: Final = (0.5, 99.5)
_PARTS: Final = 64
_PART_NBYTES: Final = 64 << 10


def contrast_limits(volume: Volume) -> tuple[float, float]:
    """Return the 0.5 and 99.5 percentiles of the finite values of a sample: 64 evenly spaced parts of 64 KiB."""
    every = max(1, volume.header.data_nbytes // (_PARTS * _PART_NBYTES))
    parts = [part[np.isfinite(part)] for part in volume.chunks(_PART_NBYTES, every=every)]
    sample = np.concatenate(parts) if parts else np.zeros(0)
    if not sample.size:
        return 0.0, 1.0
    low, high = np.percentile(sample.astype(np.float64), PERCENTILES)
    return histogram_range(float(low), float(high))
