"""What a click on a component of a mask can do, and in which words."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from cryomamba.errors import InvalidRequestError
from cryomamba.geometry import Shape, Spacing
from cryomamba.masks.editing.component import Component
from cryomamba.masks.editing.reshaping import Reshaped, filled, grown, shrunk, smoothed
from napari_cryomamba.models.edits import Array

_LINE_SAMPLES = 200


class Tool(StrEnum):
    """What a click on a component does."""

    SELECT = "Select"
    DELETE = "Delete"
    KEEP = "Keep only"
    MERGE = "Merge"
    SPLIT = "Split"
    CUT = "Cut"
    FILL = "Fill"
    GROW = "Grow"
    SHRINK = "Shrink"
    SMOOTH = "Smooth"


HINTS = {
    Tool.SELECT: "Click a component: it is outlined, and selected in the table of components.",
    Tool.DELETE: "Click a component to delete it.",
    Tool.KEEP: "Click a component to delete all others of its label.",
    Tool.MERGE: "Click a component, and then those that get its label.",
    Tool.SPLIT: "Click a component to split it where it is narrow. The parts get labels of their own.",
    Tool.CUT: "Draw a line across a component. The smaller side gets a label of its own.",
    Tool.FILL: "Click a component to fill the holes that it encloses.",
    Tool.GROW: "Click a component to grow it by this length; other labels stay.",
    Tool.SHRINK: "Click a component to shrink it by this length.",
    Tool.SMOOTH: "Click a component to smooth it over this length; thinner parts disappear.",
}

CONTEXTS = {
    Tool.DELETE: "Deleting a component",
    Tool.KEEP: "Keeping a component",
    Tool.MERGE: "Merging components",
    Tool.SPLIT: "Splitting a component",
    Tool.CUT: "Cutting a component",
    Tool.FILL: "Filling a component",
    Tool.GROW: "Growing a component",
    Tool.SHRINK: "Shrinking a component",
    Tool.SMOOTH: "Smoothing a component",
}


def reshaped(tool: Tool, component: Component, length_A: float, size: Spacing, shape: tuple[int, ...]) -> Reshaped:
    """Return a component filled, or changed by a length, within a mask of this shape."""
    z, y, x = shape
    if tool is Tool.FILL:
        return filled(component, (z, y, x))
    change = {Tool.GROW: grown, Tool.SHRINK: shrunk, Tool.SMOOTH: smoothed}[tool]
    return change(component, length_A, size, (z, y, x))


def labelled_voxel_on_line(array: Array, begin: Sequence[float], end: Sequence[float]) -> Shape:
    """Return the labelled voxel on a line that is nearest to its middle; raise if there is none."""
    fractions = np.linspace(0, 1, _LINE_SAMPLES + 1)
    fractions = fractions[np.argsort(np.abs(fractions - 0.5), kind="stable")]
    at = np.round(np.array(begin) + fractions[:, None] * (np.array(end) - begin)).astype(int)
    at = at[((at >= 0) & (at < array.shape)).all(axis=1)]
    hit = np.flatnonzero(array[tuple(at.T)])
    if not hit.size:
        raise InvalidRequestError("The line does not cross the mask.", hint="Draw it across a component.")
    z, y, x = at[hit[0]].tolist()
    return z, y, x
