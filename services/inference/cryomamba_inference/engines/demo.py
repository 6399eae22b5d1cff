"""A moving synthetic mask: shows that everything works, from the shape of a volume alone."""

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
_SHELL = 0.16


class DemoParameters(EngineParameters):
    """How long the demo runs."""

    seconds: float = Field(
        10.0,
        ge=0,
        le=3600,
        title="Duration",
        description="How long the mask moves before it is finished; once a second it is shown anew.",
        json_schema_extra={"unit": "s"},
    )


class DemoEngine(Engine[DemoParameters]):
    """A vesicle (label 1) that circles through the volume and a particle (label 2) inside it."""

    name: ClassVar[str] = "demo"
    summary: ClassVar[str] = "A moving synthetic mask of the volume's shape, to try out everything around it."
    Parameters: ClassVar[type[EngineParameters]] = DemoParameters
    labels: ClassVar[Mapping[int, str]] = {1: "vesicle", 2: "particle"}
    needs_volume: ClassVar[bool] = False

    def __init__(self, parameters: DemoParameters) -> None:
        super().__init__(parameters)
        self._shape: Shape = (1, 1, 1)

    def passes(self) -> Sequence[Pass]:
        """Return one look a second, and the result after the last of them."""
        looks = math.floor(self.parameters.seconds * _RATE_HZ)
        return [*(Pass("moving", factor=0, seconds=1 / _RATE_HZ) for _ in range(looks)), Pass("finishing")]

    def prepare(self, context: VolumeContext) -> None:
        """Take the shape of the grid."""
        self._shape = context.shape

    def predict(self, tile: Tile) -> Labels:
        """Draw the tile's part of the mask as it is at the pass' second."""
        angle = 2 * math.pi * tile.pass_index / 12
        centre = (0.5 + 0.1 * math.sin(2 * angle), 0.5 + 0.2 * math.sin(angle), 0.5 + 0.2 * math.cos(angle))
        z, y, x = (
            _axis(first, count, size, middle)
            for first, count, size, middle in zip(tile.start, tile.shape, self._shape, centre, strict=True)
        )
        # In units of the volume's sides, so the mask has the same look at every factor; thick enough to be seen there.
        radius = np.sqrt(z[:, None, None] + y[:, None] + x)
        thickness = max(_SHELL * 0.25, 1.5 / min(self._shape))
        labels: npt.NDArray[np.uint8] = (np.abs(radius - 0.25) < thickness).astype(np.uint8)
        labels[radius < 0.25 * _SHELL * 3] = 2
        return labels


def _axis(start: int, count: int, size: int, centre: float) -> npt.NDArray[np.float32]:
    place = (np.arange(start, start + count, dtype=np.float32) + 0.5) / size - centre
    return (place * place).astype(np.float32)
