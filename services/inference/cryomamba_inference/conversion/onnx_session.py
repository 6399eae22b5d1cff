"""Runs an ONNX file once, to check it."""

from __future__ import annotations

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from cryomamba_inference.conversion.onnx_graph import INPUT


def run_once(onnx: bytes, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the output for an input, both (batch, channels, z, y, x), on the processor."""
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {INPUT: tensor})
    return np.asarray(output, np.float32)
