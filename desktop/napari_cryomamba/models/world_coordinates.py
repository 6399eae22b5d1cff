"""World coordinates in napari: nanometres from the centre of the tomogram's first voxel, axes z, y, x."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cryomamba.geometry import Shape, Spacing

NM_PER_A = 0.1
UNITS = ("nm", "nm", "nm")
AXES = ("z", "y", "x")


@dataclass(frozen=True, slots=True)
class Placement:
    """Scale and translate of a layer, in nm (z, y, x)."""

    scale: Spacing
    translate: Spacing = (0.0, 0.0, 0.0)

    @classmethod
    def of_volume(cls, voxel_size_A: Spacing) -> Placement:
        """Return the placement of a tomogram, or of a mask at full resolution."""
        return cls(_nm(voxel_size_A))

    @classmethod
    def on_grid(cls, voxel_size_A: Spacing, factor: Shape) -> Placement:
        """Return the placement of a preview: its voxel ``i`` covers the tomogram's voxels ``i·f … i·f + f − 1``.

        Parameters
        ----------
        voxel_size_A : tuple of float
            Of the tomogram, as it is shown.
        factor : tuple of int
            Tomogram voxels per preview voxel (z, y, x).
        """
        z, y, x = (s * f for s, f in zip(voxel_size_A, factor, strict=True))
        tz, ty, tx = (s * (f - 1) / 2 for s, f in zip(voxel_size_A, factor, strict=True))
        return cls(_nm((z, y, x)), _nm((tz, ty, tx)))

    def layer_arguments(self) -> dict[str, Any]:
        """Return the arguments for ``add_image`` and ``add_labels``."""
        return {"scale": self.scale, "translate": self.translate, "units": UNITS, "axis_labels": AXES}


def voxel_at(point_nm: Spacing, voxel_size_A: Spacing, shape: Shape) -> Spacing:
    """Return the tomogram voxel (z, y, x) at a world point, clipped to the volume."""
    z, y, x = (
        min(max(nm / NM_PER_A / size, 0.0), float(side - 1))
        for nm, size, side in zip(point_nm, voxel_size_A, shape, strict=True)
    )
    return z, y, x


def _nm(length_A: Spacing) -> Spacing:
    z, y, x = (length * NM_PER_A for length in length_A)
    return z, y, x
