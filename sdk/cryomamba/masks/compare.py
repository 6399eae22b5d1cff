"""Comparison of two masks on the same grid, slab by slab."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from cryomamba.errors import InvalidRequestError
from cryomamba.masks.slabs import Labels, LabelSource, Progress, regroup_slabs, windows

BOTH, ONLY_FIRST, ONLY_SECOND = 1, 2, 3
"""Labels of :func:`difference`."""
_PLANES: Final = 16

Voxels = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far two masks agree; all their labels count as one.

    Attributes
    ----------
    first, second, both : int
        Voxels of the first mask, of the second, and those of both.
    near_first, near_second : int
        Voxels of the first mask that have one of the second at most a voxel away (over faces), and the reverse.
    """

    first: int
    second: int
    both: int
    near_first: int
    near_second: int

    @property
    def dice(self) -> float:
        """Overlap, 2·both / (first + second); 1 for two empty masks."""
        total = self.first + self.second
        return 2 * self.both / total if total else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of the fractions of both masks that agree within a voxel; the order does not matter."""
        one = self.near_first / self.first if self.first else float(self.second == 0)
        other = self.near_second / self.second if self.second else float(self.first == 0)
        return 2 * one * other / (one + other) if one + other else 0.0


def compare(first: LabelSource, second: LabelSource, *, progress: Progress | None = None) -> Comparison:
    """Compare two masks.

    Raises
    ------
    InvalidRequestError
        Their shapes differ.
    """
    if first.shape != second.shape:
        shapes = " and ".join(" × ".join(map(str, source.shape)) for source in (first, second))
        raise InvalidRequestError(
            f"The masks have different shapes: {shapes}.", hint="Compare masks of the same tomogram."
        )
    counts = np.zeros(5, np.int64)
    sources = (windows(regroup_slabs(_foreground(source), _PLANES), 1) for source in (first, second))
    for one, other in zip(*sources, strict=True):
        a, b = one.data > 0, other.data > 0
        near_a, near_b = _neighbourhood(a)[one.core], _neighbourhood(b)[one.core]
        a, b = a[one.core], b[one.core]
        counts += [np.count_nonzero(part) for part in (a, b, a & b, a & near_b, b & near_a)]
        if progress is not None:
            progress((one.start + one.core.stop) / first.shape[0])
    return Comparison(*(int(count) for count in counts))


def difference(first: npt.NDArray[np.integer], second: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
    """Return which voxels both masks have, only the first, or only the second, as labels."""
    a, b = np.asarray(first) != 0, np.asarray(second) != 0
    labels: npt.NDArray[np.uint8] = np.where(a, np.where(b, BOTH, ONLY_FIRST), np.where(b, ONLY_SECOND, 0)).astype(
        np.uint8
    )
    return labels


def _foreground(source: LabelSource) -> Iterator[Labels]:
    return source.map(lambda labels: (labels != 0).view(np.uint8)).slabs()


def _neighbourhood(mask: Voxels) -> Voxels:
    """Return the voxels at most one step over faces away from a mask."""
    grown = mask.copy()
    for axis in range(3):
        along, into = np.moveaxis(mask, axis, 0), np.moveaxis(grown, axis, 0)
        into[1:] |= along[:-1]
        into[:-1] |= along[1:]
    return grown
