"""Temporary disk space of engines."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, Field


class ScratchGrid(BaseModel):
    """Temporary disk space that an engine uses for data on its own sampling grid.

    Attributes
    ----------
    bytes_per_node : int
    step : float
        Grid spacing in Å along every axis, or as a fraction of a parameter; at least the largest voxel size.
    interpolated_to_A : float
        Voxels up to this size do not raise the spacing: the volume is interpolated onto a finer grid.
    parameter : str
        Name of that parameter, a length in Å; empty for none.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", json_schema_serialization_defaults_required=True)

    bytes_per_node: int = Field(ge=1, le=1024)
    step: float = Field(gt=0)
    interpolated_to_A: float = Field(0.0, ge=0)
    parameter: str = ""

    def nbytes(
        self, shape: tuple[int, int, int], voxel_size_A: tuple[float, float, float], parameter_A: float = 1.0
    ) -> int:
        """Return the number of bytes for a volume, given the parameter's value."""
        step_A = self.step * (parameter_A if self.parameter else 1.0)
        if max(voxel_size_A) > self.interpolated_to_A:
            step_A = max(step_A, *voxel_size_A)
        nodes = (math.ceil((count - 1) * size / step_A) + 1 for count, size in zip(shape, voxel_size_A, strict=True))
        return math.prod(nodes) * self.bytes_per_node
