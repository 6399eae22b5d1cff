"""What was painted on a layer of labels, as strokes: by section, so that a large tomogram is not searched. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from cryomamba.errors import CryoMambaError
from cryomamba.geometry import Shape
from cryomamba.masks.strokes import COLOURS, LABELS_MAX, StrokeLabel, Strokes

Array = npt.NDArray[np.uint8]


class PaintedStrokes:
    """The strokes on one tomogram.

    A painted voxel has the number of its label plus 1, because 0 is where nothing was painted.

    Attributes
    ----------
    labels : list of StrokeLabel
        The background first.
    array : ndarray of uint8, ZYX
        The painted voxels; memory that is not painted on is not used.
    """

    def __init__(self, shape: Shape) -> None:
        self.array: Array = np.zeros(shape, np.uint8)
        self.labels = [
            StrokeLabel(name="background", colour=COLOURS[0]),
            StrokeLabel(name="label 1", colour=COLOURS[1]),
        ]
        self._sections: set[int] = set()

    def touch(self, sections: Iterable[int]) -> None:
        """Note that these sections (z) were painted on."""
        self._sections.update(int(z) for z in sections)

    def add_label(self) -> int | None:
        """Add a label and return its number; None if there are as many as there may be."""
        number = len(self.labels)
        if number >= LABELS_MAX:
            return None
        self.labels.append(StrokeLabel(name=f"label {number}", colour=COLOURS[number % len(COLOURS)]))
        return number

    def rename(self, label: int, name: str) -> None:
        """Give a label a name; an empty one changes nothing."""
        if name.strip():
            self.labels[label] = StrokeLabel(name=name.strip()[:64], colour=self.labels[label].colour)

    def strokes(self) -> Strokes | None:
        """Return the strokes; None if nothing is painted.

        Raises
        ------
        InvalidRequestError
            They are too many to send.
        """
        voxels, values = [], []
        for z in sorted(self._sections):
            section = self.array[z]
            at = np.argwhere(section)
            values.append(section[tuple(at.T)] - np.uint8(1))
            voxels.append(np.insert(at, 0, z, axis=1))
        if not voxels or not sum(map(len, voxels)):
            return None
        return Strokes.of_voxels(_shape(self.array.shape), self.labels, np.concatenate(voxels), np.concatenate(values))

    def show(self, strokes: Strokes) -> None:
        """Replace what is painted by strokes of a tomogram of the same shape."""
        for z in self._sections:
            self.array[z] = 0
        voxels, labels = strokes.painted()
        self.labels = list(strokes.labels)
        self._sections = set(np.unique(voxels[:, 0]).tolist())
        self.array[tuple(voxels.T)] = labels + np.uint8(1)

    @property
    def summary(self) -> str:
        """What is painted, in a line."""
        try:
            strokes = self.strokes()
        except CryoMambaError as error:
            return error.message
        if strokes is None:
            return "Nothing is painted yet. Paint some of the background, and some of each structure."
        _, labels = strokes.painted()
        counts = np.bincount(labels, minlength=len(self.labels))
        painted = [f"{label.name} {count:,}" for label, count in zip(self.labels, counts, strict=True) if count]
        missing = "" if len(painted) > 1 else " Paint a second label too."
        return f"Voxels painted: {', '.join(painted)}.{missing}"


def colours_of(labels: Sequence[StrokeLabel]) -> dict[int | None, str]:
    """Return the colours of a layer's values; what is not painted is transparent."""
    return {0: "transparent", None: "transparent"} | {number + 1: label.colour for number, label in enumerate(labels)}


def _shape(shape: Sequence[int]) -> Shape:
    z, y, x = shape
    return z, y, x
