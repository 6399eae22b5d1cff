"""Room that engines need on the disk while they work."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, Field


class ScratchGrid(BaseModel):
    """What an engine keeps on the disk on the nodes of a grid of its own, while it works.

    Attributes
    ----------
    bytes_per_node : int
    step : float
        Distance of the nodes along every axis in Å, or as a share of a parameter; never below the largest voxel size.
    parameter : str
        The name of that parameter, a length in Å; empty for none.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    bytes_per_node: int = Field(ge=1, le=1024)
    step: float = Field(gt=0)
    parameter: str = ""

    def nbytes(
        self, shape: tuple[int, int, int], voxel_size_A: tuple[float, float, float], parameter_A: float = 1.0
    ) -> int:
        """Return how many bytes that is for a volume, given the parameter's value."""
        step_A = max(self.step * (parameter_A if self.parameter else 1.0), *voxel_size_A)
        nodes = (math.ceil((count - 1) * size / step_A) + 1 for count, size in zip(shape, voxel_size_A, strict=True))
        return math.prod(nodes) * self.bytes_per_node
