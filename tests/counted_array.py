"""An array that counts how much of it is read."""

from __future__ import annotations

from typing import Any


class CountedArray:
    """An array of which slices are read.

    Attributes
    ----------
    read : int
        The number of values that were read.
    """

    def __init__(self, array: Any) -> None:
        self.array, self.shape, self.read = array, array.shape, 0

    def __getitem__(self, index: Any) -> Any:
        part = self.array[index]
        self.read += part.size
        return part
