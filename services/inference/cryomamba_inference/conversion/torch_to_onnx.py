"""Exports networks of PyTorch as ONNX files, and compares the two."""

from __future__ import annotations

import io
import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba_inference.conversion.onnx_graph import INPUT, OPSET, OUTPUT
from cryomamba_inference.conversion.onnx_session import run_once

if TYPE_CHECKING:
    import torch
    from torch.nn import Module

Array = NDArray[np.float32]
_SPATIAL: Final = {2: "z", 3: "y", 4: "x"}
_DEVIATION_MAX: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Export:
    """An ONNX file, and how far it deviates from the network.

    Attributes
    ----------
    onnx : bytes
    output : array of shape (1, channels, z, y, x)
        What PyTorch makes of the input with which they were compared.
    deviation : float
        Largest difference of the two outputs, in standard deviations of the output.
    """

    onnx: bytes
    output: Array
    deviation: float


def export_network(network: Module, window: Array, name: str) -> Export:
    """Export a network that takes and gives (batch, channels, z, y, x), for windows of any size.

    Parameters
    ----------
    network : Module
    window : array of shape (1, channels, z, y, x)
        An input with which the two are compared.
    name : str
        Of the model, for messages.

    Raises
    ------
    InvalidRequestError
        The file's output deviates from that of PyTorch.
    """
    import torch

    tensor = torch.from_numpy(window)
    with torch.inference_mode():
        expected = network(tensor).numpy()
    onnx = _export(network, tensor)
    found = run_once(onnx, window)
    deviation = float(np.abs(found - expected).max() / (expected.std() or 1.0))
    if not math.isfinite(deviation) or deviation > _DEVIATION_MAX:
        raise InvalidRequestError(
            f"The ONNX file of '{name[:128]}' deviates from the network by {deviation:.2g} standard deviations.",
            code=ErrorCode.INVALID_PARAMETERS,
            hint="Run the model as it is; it needs no conversion.",
        )
    return Export(onnx, expected, deviation)


def _export(network: Module, tensor: torch.Tensor) -> bytes:
    import torch

    axes = {0: "batch", **_SPATIAL}
    file = io.BytesIO()
    with warnings.catch_warnings():
        # It is announced to go; the newer exporter fixes the size of the window and needs further packages.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (tensor,),
            file,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: axes, OUTPUT: axes},
            opset_version=OPSET,
            dynamo=False,
        )
    return file.getvalue()
