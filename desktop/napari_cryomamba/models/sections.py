"""Sections of a tomogram: positions of a slider, and where the cursor is. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cryomamba.geometry import Shape, Spacing

AXIS_NAMES = ("z", "y", "x")
PLANE_NAMES = ("xy", "xz", "yz")
"""By the axis that the plane is perpendicular to: z, y, x."""
PLANE_COLORS = ("#56b4e9", "#f0e442", "#cc79a7")
"""Of the plane's name, and of the line that shows its place in the other planes; apart also for colour-blind people."""

Voxel = tuple[int, int, int]


def axis_range(count: int, step: float, start: float = 0.0) -> tuple[float, float, float]:
    """Return first position, last position and step of `count` sections, as napari counts them.

    napari divides the length by the step and drops the fraction, so a length that was rounded down would lose the last
    section.
    """
    stop = start + (count - 1) * step
    while int((stop - start) / step) < count - 1:
        stop = math.nextafter(stop, math.inf)
    return start, stop, step


@dataclass(frozen=True, slots=True)
class Position:
    """Where the cursor is in a tomogram.

    Attributes
    ----------
    shape : tuple of int
        Of the tomogram (z, y, x).
    axis : int
        The axis that the shown section is perpendicular to: 0 for z.
    voxel : tuple of int
        Of the section along `axis`, and of the cursor along the others; counted from 0.
    nm : tuple of float
        The same place in nm (z, y, x).
    density : float or None
        Of the voxel, as the file has it; None outside of the tomogram.
    """

    shape: Shape
    axis: int
    voxel: Voxel
    nm: Spacing
    density: float | None = None

    @property
    def inside(self) -> bool:
        """Whether the cursor is over the tomogram."""
        return all(0 <= at < side for at, side in zip(self.voxel, self.shape, strict=True))

    def section_text(self) -> str:
        """Return which section is shown, counted from 1, and the place in nm."""
        at, count = self.voxel[self.axis], self.shape[self.axis]
        place = " ".join(f"{nm:.1f}" for nm in (self.nm if self.inside else (self.nm[self.axis],)))
        return f"Section {at + 1} of {count} ({PLANE_NAMES[self.axis]}) · {place} nm"

    def cursor_text(self) -> str:
        """Return the voxel at the cursor, counted from 1, and its density."""
        if not self.inside:
            return "The cursor is not over the tomogram"
        voxel = " ".join(f"{name} {at + 1}" for name, at in zip(AXIS_NAMES, self.voxel, strict=True))
        density = "" if self.density is None else f" · density {self.density:.4g}"
        return f"Voxel {voxel}{density}"
