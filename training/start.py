"""Starts a fit with the weights of an ONNX file, and with normalizations that change nothing yet."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from training.network import Network

Weights = dict[str, Tensor]


def load_onnx(network: Network, path: Path) -> None:
    """Give a network the weights of a file that :func:`training.export.write_onnx` wrote.

    The file has no normalizations, since they are folded into the convolutions. Those of the network get the bias of
    their convolution; :func:`calibrate` measures what they have to scale.
    """
    stored: Weights = {}
    for weight in onnx.load(path).graph.initializer:
        name = weight.name.removeprefix("network.").removesuffix(".half")
        stored[name] = torch.from_numpy(numpy_helper.to_array(weight).copy()).float()
    with torch.no_grad():
        for name, module in network.named_modules():
            if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
                module.weight.copy_(stored[f"{name}.weight"])
                if module.bias is not None:
                    module.bias.copy_(stored[f"{name}.bias"])
            elif isinstance(module, nn.BatchNorm3d):
                convolution = name.rpartition(".")[0] + ".0"
                module.bias.copy_(stored[f"{convolution}.bias"])


def calibrate(network: Network, density: Tensor, sheets: Tensor) -> None:
    """Set mean and variance of every normalization to those of its input, such that its output stays what it was."""

    def measure(module: nn.BatchNorm3d, inputs: tuple[Tensor, ...]) -> None:
        (values,) = inputs
        mean, variance = values.mean((0, 2, 3, 4)), values.var((0, 2, 3, 4))
        module.running_mean.copy_(mean)
        module.running_var.copy_(variance)
        module.weight.copy_((variance + module.eps).sqrt())
        module.bias.add_(mean)

    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm3d)]
    hooks = [norm.register_forward_pre_hook(measure) for norm in norms]
    network.eval()
    with torch.no_grad():
        network(density, sheets)
    for hook in hooks:
        hook.remove()
