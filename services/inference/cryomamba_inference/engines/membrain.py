"""Runs checkpoints of MemBrain-seg as MemBrain-seg does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from cryomamba.engines.api import EngineParameters
from cryomamba.models.trained_models import Kind
from cryomamba_inference.trained_models.engine import model_parameter
from cryomamba_inference.trained_models.torch_engine import TorchEngine, TorchParameters


class MembrainParameters(TorchParameters):
    """Parameters of the engine ``membrain``."""

    model: str = model_parameter("membrain")
    mirroring: bool = Field(
        default=True,
        title="Mirroring",
        description="Average the scores of all 8 mirrored windows, as MemBrain-seg does: more accurate, and 8 times as "
        "slow as without.",
    )


class MembrainEngine(TorchEngine[MembrainParameters]):
    """The engine ``membrain``."""

    name: ClassVar[str] = "membrain"
    summary: ClassVar[str] = "Finds membranes with a trained network: a checkpoint of MemBrain-seg."
    Parameters: ClassVar[type[EngineParameters]] = MembrainParameters
    kind: ClassVar[Kind] = "membrain"
    packages: ClassVar[Sequence[str]] = ("torch", "monai")
