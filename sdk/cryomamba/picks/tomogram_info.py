"""What tables of picks need to know of a tomogram."""

from __future__ import annotations

from dataclasses import dataclass

from cryomamba.geometry import Shape, Spacing


@dataclass(frozen=True, slots=True)
class TomogramInfo:
    """The tomogram of some picks: ZYX shape, voxel size in Å (z, y, x), and its name in tables."""

    shape: Shape
    voxel_size_A: Spacing
    name: str
