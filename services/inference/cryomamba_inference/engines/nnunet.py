"""Runs results folders of nnU-Net v2 as nnU-Net does, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from cryomamba.engines.api import EngineParameters
from cryomamba.engines.windows import Resampling
from cryomamba.models.trained_models import Kind
from cryomamba_inference.trained_models.engine import model_parameter
from cryomamba_inference.trained_models.torch_engine import MirroredParameters, TorchEngine


class NnunetParameters(MirroredParameters):
    """Parameters of the engine ``nnunet``."""

    model: str = model_parameter("nnunet")


class NnunetEngine(TorchEngine[NnunetParameters]):
    """The engine ``nnunet``."""

    name: ClassVar[str] = "nnunet"
    summary: ClassVar[str] = "Runs a trained network: a results folder of nnU-Net v2, as it is."
    Parameters: ClassVar[type[EngineParameters]] = NnunetParameters
    kind: ClassVar[Kind] = "nnunet"
    packages: ClassVar[Sequence[str]] = ("torch", "dynamic_network_architectures")
    resampling: Resampling = "spline"
    voxel_size_tolerance: float = 0.0

    def __init__(self, parameters: NnunetParameters) -> None:
        super().__init__(parameters)
        # nnU-Net puts the largest weight on the voxel size // 2, which of an even size is not the centre.
        z, y, x = (size // 2 - (size - 1) / 2 for size in self.window)
        self.weights_offset = (z, y, x)
