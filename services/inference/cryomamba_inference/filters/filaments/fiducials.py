"""Gold fiducials: densities far beyond all others."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]

# A fiducial exceeds this many robust standard deviations of the density, and this multiple of this quantile.
_FIDUCIAL_DEVIATIONS = 8.0
_FIDUCIAL_QUANTILE = 0.985
_FIDUCIAL_CONTRAST = 2.5


def fiducial_limit(values: Field, level: float) -> float:
    """Return the distance from `level` beyond which a density belongs to gold fiducials."""
    away = np.abs(values - np.float32(level))
    deviation = 1.4826 * float(np.median(away))
    return max(_FIDUCIAL_DEVIATIONS * deviation, _FIDUCIAL_CONTRAST * float(np.quantile(away, _FIDUCIAL_QUANTILE)))
