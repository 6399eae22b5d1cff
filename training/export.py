"""Writes a fitted network as ONNX, with its normalizations folded into the convolutions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cryomamba_inference.network.model import Structure
from cryomamba_inference.network.sheets import MAPS
from training.network import Network

SMALL = 256  # values of an array that is not worth storing as float16
TOLERANCE = 1e-4  # of probabilities


class Probabilities(nn.Module):
    """From folded densities and maps (1, 12, z, y, x) to probabilities (1, classes, 8, z · y · x)."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the probabilities; ONNX Runtime's own softmax takes a quarter of the time of the whole network."""
        scores = self.network.scores(inputs).reshape(1, len(Structure), 8, -1)
        powers = (scores - scores.amax(1, keepdim=True)).exp()
        return powers / powers.sum(1, keepdim=True)


def write_onnx(weights: dict[str, Tensor], path: Path) -> None:
    """Write a network with these weights."""
    network = Network()
    network.load_state_dict(weights)
    network.eval()
    _fuse(network)
    axes = {"inputs": {2: "z", 3: "y", 4: "x"}, "probabilities": {3: "n"}}
    torch.onnx.export(
        Probabilities(network),
        (torch.zeros(1, 8 + MAPS, 16, 16, 16),),
        str(path),
        dynamo=False,
        input_names=["inputs"],
        output_names=["probabilities"],
        dynamic_axes=axes,
        opset_version=17,
    )
    _check(path, network)
    _halve(path)


def _fuse(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Sequential) and len(child) == 3 and isinstance(child[1], nn.BatchNorm3d):
            setattr(module, name, nn.Sequential(fuse_conv_bn_eval(child[0], child[1]), child[2]))
        else:
            _fuse(child)


def _check(path: Path, network: Network) -> None:
    """Raise `ValueError` unless the file gives the probabilities of the network."""
    inputs = torch.randn(1, 8 + MAPS, 16, 24, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network.scores(inputs).reshape(1, len(Structure), 8, -1).softmax(1).numpy()
    (found,) = onnxruntime.InferenceSession(path).run(None, {"inputs": inputs.numpy()})
    largest = float(np.abs(found - expected).max())
    if not largest < TOLERANCE:
        raise ValueError(f"The probabilities of {path} differ by up to {largest:.2g} from those of the network.")


def _halve(path: Path) -> None:
    """Store the weights as float16; the runtime turns them back into float32 when it loads the file."""
    model = onnx.load(path)
    graph, weights, casts = model.graph, [], []
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype == np.float32 and values.size > SMALL:
            casts.append(helper.make_node("Cast", [f"{weight.name}.half"], [weight.name], to=TensorProto.FLOAT))
            weights.append(numpy_helper.from_array(values.astype(np.float16), f"{weight.name}.half"))
        else:
            weights.append(weight)
    nodes = [*casts, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(weights)
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, path)
