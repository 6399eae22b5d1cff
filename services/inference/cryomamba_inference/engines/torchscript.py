"""Runs networks in TorchScript files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from cryomamba.engines.api import EngineParameters
from cryomamba.models.trained_models import Kind
from cryomamba_inference.trained_models.engine import model_parameter
from cryomamba_inference.trained_models.torch_engine import TorchEngine, TorchParameters


class TorchscriptParameters(TorchParameters):
    """Parameters of the engine ``torchscript``."""

    model: str = model_parameter("torchscript")


class TorchscriptEngine(TorchEngine[TorchscriptParameters]):
    """The engine ``torchscript``."""

    name: ClassVar[str] = "torchscript"
    summary: ClassVar[str] = "Runs a trained network: a TorchScript file with rdf.yaml (bioimage.io) or model.toml."
    Parameters: ClassVar[type[EngineParameters]] = TorchscriptParameters
    kind: ClassVar[Kind] = "torchscript"
    packages: ClassVar[Sequence[str]] = ("torch",)
