"""An engine that predicts windows, small enough to be computed by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np
from scipy import ndimage

from cryomamba.engines.api import EngineParameters, VolumeContext, Voxels
from cryomamba.engines.uncertainty import UncertaintyOptions
from cryomamba.engines.windows import Scores, WindowEngine
from cryomamba.geometry import Shape, Spacing


class NoParameters(UncertaintyOptions):
    """None of its own."""


class SmoothEngine(WindowEngine[NoParameters]):
    """Gives the density and its smooth negative as logits, which differ at a window's border as those of a network."""

    name: ClassVar[str] = "smooth"
    summary: ClassVar[str] = "smooth"
    Parameters: ClassVar[type[EngineParameters]] = NoParameters
    labels: Mapping[int, str] = {1: "low", 2: "very low"}
    keeps_scores: bool = True

    def __init__(
        self, parameters: NoParameters | None = None, *, labels: int = 2, window: Shape = (16, 16, 12)
    ) -> None:
        super().__init__(parameters or NoParameters())
        self.window, self.channels = window, labels + 1
        self.labels = {number: f"label {number}" for number in range(1, labels + 1)}
        self.output = "scores" if labels == 1 else "labels"
        self.windows = 0
        self.on_window: Callable[[], None] | None = None

    def prepare(self, context: VolumeContext) -> None:
        assert context.statistics is not None
        self.mean = context.statistics.mean

    def normalize(self, data: Voxels) -> Voxels:
        return data - np.float32(self.mean)

    def predict_window(self, data: Voxels, member: int) -> Scores:
        self.windows += 1
        if self.on_window is not None:
            self.on_window()
        smooth = ndimage.uniform_filter(data, 3, mode="nearest") * np.float32(member + 1)
        return np.stack([0.2 * data, *(-(n + 1) * smooth - n for n in range(self.channels - 1))]).astype(np.float32)


class SigmoidEngine(SmoothEngine):
    """The same with one probability per label."""

    name: ClassVar[str] = "sigmoid"

    def __init__(self, parameters: NoParameters | None = None, *, labels: int = 2) -> None:
        super().__init__(parameters, labels=labels)
        self.scoring, self.channels = "sigmoid", labels

    def predict_window(self, data: Voxels, member: int) -> Scores:  # noqa: ARG002 (the interface)
        self.windows += 1
        return np.stack([-(n + 1) * data - n for n in range(self.channels)]).astype(np.float32)


class ResampledEngine(SmoothEngine):
    """The same on another grid."""

    name: ClassVar[str] = "resampled"
    network_voxel_size_A: Spacing | None = (14.0, 13.0, 7.0)
