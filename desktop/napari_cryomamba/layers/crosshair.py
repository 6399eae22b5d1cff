"""A crosshair over a canvas: no layer, so that it is not in the layer list and costs no slicing."""

from __future__ import annotations

from typing import Any

import numpy as np
from vispy.color import ColorArray
from vispy.scene.visuals import Line

OPACITY = 0.85
_ON_TOP = 1_000_000

Pair = tuple[float, float]


class Crosshair:
    """Two lines in a scene of vispy.

    Parameters
    ----------
    scene : vispy.scene.SubScene
        Whose coordinates are nm.
    """

    def __init__(self, scene: Any) -> None:  # noqa: ANN401 (vispy has no types)
        self.line = Line(connect="segments", method="gl", width=2, parent=scene)
        self.line.set_gl_state("translucent", depth_test=False)
        self.line.order = _ON_TOP
        self.line.visible = False

    def draw(self, at: Pair, extents: tuple[Pair, Pair], colors: tuple[str, str]) -> None:
        """Draw a horizontal line at a row and a vertical one at a column.

        Parameters
        ----------
        at : tuple of float
            Row and column.
        extents : tuple of tuple
            First and last row, first and last column.
        colors : tuple of str
            Of the line at the row, and of that at the column.
        """
        row, column = at
        (top, bottom), (left, right) = extents
        ends = np.array([[left, row], [right, row], [column, top], [column, bottom]], np.float32)
        rgba = np.repeat(ColorArray(list(colors), alpha=OPACITY).rgba, 2, axis=0)
        self.line.set_data(pos=ends, color=rgba)
        self.line.visible = True

    def hide(self) -> None:
        """Draw nothing."""
        self.line.visible = False

    def remove(self) -> None:
        """Take the lines out of the scene."""
        self.line.parent = None
