"""Densities as engines see them, and what they give back as the runner stores it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from cryomamba.errors import ErrorCode, JobFailedError

if TYPE_CHECKING:
    from cryomamba.engines.api import Engine, Labels, Voxels
    from cryomamba.volumes.statistics import Statistics

Found = npt.NDArray[np.generic]
"""What a subclass returns: labels, booleans for label 1, or scores."""
SCORE_MAX = 255


@dataclass(frozen=True, slots=True)
class Standardizer:
    """Subtracts a mean and divides by a standard deviation."""

    mean: float = 0.0
    std: float = 1.0

    @classmethod
    def of(cls, statistics: Statistics | None) -> Self:
        """Return that of a volume or region; of a constant one, the standard deviation counts as 1."""
        return cls() if statistics is None else cls(statistics.mean, statistics.std or 1.0)

    def __call__(self, data: Voxels) -> Voxels:
        """Return a new array."""
        return np.asarray((data - np.float32(self.mean)) * np.float32(1 / self.std), np.float32)


def as_result(found: Found, engine: Engine[Any], shape: tuple[int, ...], *, by: str) -> Labels:
    """Return labels, or scores of 0 to 255, of what the function or program of an engine has found.

    Parameters
    ----------
    found : ndarray
        Booleans, whole numbers up to the largest label, or, of an engine whose `output` is ``scores``, fractions from
        0 to 1.
    shape : tuple of int
        That it must have.
    by : str
        What has found it, for the message.

    Raises
    ------
    JobFailedError
        It is something else.
    """
    if tuple(found.shape) != tuple(shape):
        raise _unusable(f"{by} gave an array of the shape {found.shape} for one of {tuple(shape)}")
    if found.dtype == np.bool_:
        return np.where(found, np.uint8(SCORE_MAX if engine.output == "scores" else 1), np.uint8(0))
    if found.dtype.kind not in "iuf" or not found.size:
        raise _unusable(f"{by} gave values of the type {found.dtype}")
    lowest, highest = float(found.min()), float(found.max())
    if engine.output == "scores":
        if found.dtype == np.uint8:
            return found.astype(np.uint8)
        if not (lowest >= 0 and highest <= 1):
            raise _unusable(f"{by} gave scores from {lowest:.4g} to {highest:.4g}; they must be from 0 to 1")
        return np.rint(found.astype(np.float32) * SCORE_MAX).astype(np.uint8)
    last = max(engine.labels)
    if not (lowest >= 0 and highest <= last):
        raise _unusable(f"{by} gave values from {lowest:.4g} to {highest:.4g}; the labels are 0 to {last}")
    small = last <= np.iinfo(np.uint8).max
    labels: Labels = found.astype(np.uint8) if small else found.astype(np.uint16)
    if found.dtype.kind == "f" and not np.array_equal(labels, found):
        raise _unusable(f"{by} gave fractions; labels are whole numbers")
    return labels


def _unusable(what: str) -> JobFailedError:
    return JobFailedError(f"{what}.", code=ErrorCode.ENGINE_FAILED, hint="Report this to the engine's author.")
