"""Dark spots, by a network that comes with the package."""

from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime

from cryomamba.engines import EngineParameters, Scores, Voxels, WindowEngine


@cache
def network() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # each process computes windows of its own
    return onnxruntime.InferenceSession(Path(__file__).with_name("spotnet.onnx"), options)


class SpotnetEngine(WindowEngine[EngineParameters]):
    name = "spotnet"
    summary = "Finds dark spots of 100 Å with a small network."
    labels = {1: "spot"}
    output = "scores"
    keeps_scores = True
    window = (32, 32, 32)
    network_voxel_size_A = (20.0, 20.0, 20.0)

    def predict_window(self, data: Voxels, member: int) -> Scores:
        (logits,) = network().run(None, {"density": data[np.newaxis, np.newaxis]})
        return np.asarray(logits[0], np.float32)  # background and spot: softmax is applied to the mean of all windows
