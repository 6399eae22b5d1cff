"""Make ``spotnet.onnx``: the network of this example, whose weights are set by hand.

``python make_network.py`` needs the packages numpy and onnx. A network of your own is exported by its framework. The
input is ``density`` (1, 1, z, y, x), standardized, at 20 Å; the output are the logits (1, 2, z, y, x) of background and
spot.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RADIUS_VOXELS = 2.5
"""Of a spot of 100 Å at 20 Å."""
KERNEL_VOXELS = 9
THRESHOLD = 1.0
"""Standard deviations by which a spot must be darker than its surroundings."""
STEEPNESS = 4.0


def gaussian(sigma: float) -> np.ndarray:
    """Return a normalized kernel (z, y, x)."""
    at = np.arange(KERNEL_VOXELS) - KERNEL_VOXELS // 2
    line = np.exp(-0.5 * (at / sigma) ** 2)
    kernel = line[:, None, None] * line[:, None] * line
    return np.asarray(kernel / kernel.sum(), np.float32)


def model() -> onnx.ModelProto:
    """Return the network: the difference of two Gaussians, then a layer that makes logits of it."""
    difference = gaussian(RADIUS_VOXELS) - gaussian(RADIUS_VOXELS / 2)
    weights = {
        "kernel": difference[np.newaxis, np.newaxis],
        "to_logits": np.array([0, STEEPNESS], np.float32).reshape(2, 1, 1, 1, 1),
        "bias": np.array([STEEPNESS * THRESHOLD / 2, 0], np.float32),
    }
    half = KERNEL_VOXELS // 2
    nodes = [
        helper.make_node("Conv", ["density", "kernel"], ["difference"], pads=[half] * 6),
        helper.make_node("Conv", ["difference", "to_logits", "bias"], ["logits"]),
    ]
    shape = ["z", "y", "x"]
    graph = helper.make_graph(
        nodes,
        "spotnet",
        [helper.make_tensor_value_info("density", TensorProto.FLOAT, [1, 1, *shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 2, *shape])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


if __name__ == "__main__":
    target = Path(__file__).parent / "cryomamba_spotnet" / "spotnet.onnx"
    onnx.save(model(), target)
