"""A moving synthetic mask, to test an installation without computing anything."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from cryomamba.engines.api import Engine, EngineParameters, Labels, Pass, Tile, VolumeContext
from cryomamba.geometry import Shape

_RATE_HZ = 1.0
_SHELL = 0.16  # thickness of the vesicle, as a fraction of four radii


class DemoParameters(EngineParameters):
    """Duration of the demo."""

    seconds: float = Field(
        10.0,
        ge=0,
        le=3600,
        title="Duration",
        description="Time for which the mask moves, with one preview per second, before the job is finished.",
        json_schema_extra={"unit": "s"},
    )


class DemoEngine(Engine[DemoParameters]):
    """A vesicle (label 1) that moves through the volume in a circle, and a particle (label 2) inside it."""

    name: ClassVar[str] = "demo"
    summary: ClassVar[str] = "A moving synthetic mask of the volume's shape, to test an installation."
    Parameters: ClassVar[type[EngineParameters]] = DemoParameters
    labels: Mapping[int, str] = {1: "vesicle", 2: "particle"}
    needs_volume: ClassVar[bool] = False

    def __init__(self, parameters: DemoParameters) -> None:
        super().__init__(parameters)
        self._shape: Shape = (1, 1, 1)

    def passes(self) -> Sequence[Pass]:
        """Return one coarse preview per second, then the result."""
        previews = math.floor(self.parameters.seconds * _RATE_HZ)
        return [*(Pass("moving", factor=0, seconds=1 / _RATE_HZ) for _ in range(previews)), Pass("finishing")]

    def prepare(self, context: VolumeContext) -> None:
        """Note the shape of the grid."""
        self._shape = context.shape

    def predict(self, tile: Tile) -> Labels:
        """Draw the tile of the mask at the time of the pass."""
        angle = 2 * math.pi * tile.pass_index / 12
        centre = (0.5 + 0.1 * math.sin(2 * angle), 0.5 + 0.2 * math.sin(angle), 0.5 + 0.2 * math.cos(angle))
        z, y, x = (
            _axis(first, count, size, middle)
            for first, count, size, middle in zip(tile.start, tile.shape, self._shape, centre, strict=True)
        )
        # In units of the volume's sides, so that the mask looks the same at every binning; thick enough to be visible.
        radius = np.sqrt(z[:, None, None] + y[:, None] + x)
        thickness = max(_SHELL * 0.25, 1.5 / min(self._shape))
        labels: npt.NDArray[np.uint8] = (np.abs(radius - 0.25) < thickness).astype(np.uint8)
        labels[radius < 0.25 * _SHELL * 3] = 2
        return labels


def _axis(start: int, count: int, size: int, centre: float) -> npt.NDArray[np.float32]:
    offset = (np.arange(start, start + count, dtype=np.float32) + 0.5) / size - centre
    return (offset * offset).astype(np.float32)
