"""Runs networks in ONNX files."""

from __future__ import annotations

import importlib.util
from typing import ClassVar

from pydantic import Field

from cryomamba.engines.api import Availability, EngineParameters, VolumeContext, Voxels
from cryomamba.engines.windows import Scores
from cryomamba.errors import ErrorCode, JobFailedError
from cryomamba.models.trained_models import Kind
from cryomamba_inference.trained_models.engine import DescribedEngine, ModelParameters, model_parameter
from cryomamba_inference.trained_models.onnx_network import Device, networks_of, provider_of, require_safe
from cryomamba_inference.trained_models.tensors import to_scores, to_tensor


class OnnxParameters(ModelParameters):
    """Parameters of the engine ``onnx``."""

    model: str = model_parameter("onnx")
    device: Device = Field(
        "cpu",
        title="Device",
        description="Where the network runs: 'gpu' needs an onnxruntime that can use it, such as onnxruntime-gpu; "
        "results may differ in single voxels.",
    )


class OnnxEngine(DescribedEngine[OnnxParameters]):
    """The engine ``onnx``."""

    name: ClassVar[str] = "onnx"
    summary: ClassVar[str] = "Runs a trained network: an ONNX file with rdf.yaml (bioimage.io) or model.toml."
    Parameters: ClassVar[type[EngineParameters]] = OnnxParameters
    kind: ClassVar[Kind] = "onnx"

    def __init__(self, parameters: OnnxParameters) -> None:
        super().__init__(parameters)
        provider_of(parameters.device)

    @classmethod
    def availability(cls) -> Availability:
        """Return whether onnxruntime is installed."""
        if importlib.util.find_spec("onnxruntime") is None:
            return Availability(
                ok=False,
                reason="The package onnxruntime is missing.",
                hint="Install it with: pip install 'cryomamba[inference]'.",
            )
        return Availability()

    def prepare(self, context: VolumeContext) -> None:
        """Check the files before any of them is loaded, then prepare as all described models."""
        require_safe(self.model)
        super().prepare(context)

    def predict_window(self, data: Voxels, member: int) -> Scores:
        """Return the scores of a window by one of the networks."""
        described = self.model.description
        network = networks_of(self.model.weights, self.parameters.device)[member]
        output = network(to_tensor(data, described.axes))
        try:
            return to_scores(output, described.output_axes)
        except ValueError as error:
            raise JobFailedError(
                f"The network '{described.weights[member]}' cannot be used: {error}.",
                code=ErrorCode.ENGINE_FAILED,
                hint="Correct output_axes in the description of the model.",
            ) from None
