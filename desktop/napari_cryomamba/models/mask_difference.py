"""The difference of two masks, computed where it is looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cryomamba.geometry import Shape
from cryomamba.masks.compare import BOTH, ONLY_FIRST, ONLY_SECOND, difference

Array = npt.NDArray[Any]
# From the palette of Okabe and Ito: blue and orange differ for colour-blind people too.
COLORS: dict[int | None, str] = {None: "#00000000", BOTH: "#bbbbbb", ONLY_FIRST: "#56b4e9", ONLY_SECOND: "#e69f00"}


class MaskDifference:
    """Labels (see :func:`~cryomamba.masks.compare.difference`) of two arrays, which may change; nothing is stored.

    For what napari wants of an array: indexing, ``shape``, ``ndim``, ``size`` and ``dtype``.
    """

    ndim = 3
    dtype = np.dtype(np.uint8)

    def __init__(self, first: Array, second: Array) -> None:
        self._first, self._second = first, second
        self.shape: Shape = (first.shape[0], first.shape[1], first.shape[2])
        self.size = first.size

    def __getitem__(self, index: Any) -> npt.NDArray[np.uint8]:  # noqa: ANN401 (numpy's basic indexing)
        return difference(self._first[index], self._second[index])

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        whole = self[...]
        return whole if dtype is None else whole.astype(dtype)
