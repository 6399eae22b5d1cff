"""Shapes (voxels) and voxel sizes (Å) of volumes; axes are z, y, x."""

from __future__ import annotations

Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]
