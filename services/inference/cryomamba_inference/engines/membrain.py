"""Runs checkpoints of MemBrain-seg as MemBrain-seg does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from cryomamba.engines.api import EngineParameters
from cryomamba.models.trained_models import Kind
from cryomamba_inference.trained_models.engine import model_parameter
from cryomamba_inference.trained_models.torch_engine import MirroredParameters, TorchEngine


class MembrainParameters(MirroredParameters):
    """Parameters of the engine ``membrain``."""

    model: str = model_parameter("membrain")


class MembrainEngine(TorchEngine[MembrainParameters]):
    """The engine ``membrain``."""

    name: ClassVar[str] = "membrain"
    summary: ClassVar[str] = "Finds membranes with a trained network: a checkpoint of MemBrain-seg."
    Parameters: ClassVar[type[EngineParameters]] = MembrainParameters
    kind: ClassVar[Kind] = "membrain"
    packages: ClassVar[Sequence[str]] = ("torch", "monai")
