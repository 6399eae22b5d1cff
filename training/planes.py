"""The fitted network as convolutions of planes, which ONNX Runtime computes much faster than those of volumes.

Planes are a batch: a volume (1, channels, z, y, x) becomes (z, channels, y, x). The result is the same up to rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from cryomamba_inference.network.model import Structure
from training.network import Network


class Convolution(nn.Module):
    """A convolution of 3 × 3 × 3 nodes and its activation: one of each plane, of those before and of those after it."""

    def __init__(self, fused: nn.Sequential) -> None:
        super().__init__()
        weight, bias = _parameters(fused[0])
        outputs, inputs = weight.shape[:2]
        self.planar = nn.ModuleList(nn.Conv2d(inputs, outputs, 3, padding=1, bias=index == 1) for index in range(3))
        for index, layer in enumerate(self.planar):
            _set(layer, weight[:, :, index], bias)

    def forward(self, planes: Tensor) -> Tensor:
        """Return as many planes."""
        padded = functional.pad(planes, (0, 0, 0, 0, 0, 0, 1, 1))
        before, here, after = self.planar
        return functional.relu(here(planes) + before(padded[:-2]) + after(padded[2:]))


class Halving(nn.Module):
    """A convolution of 2 × 2 × 2 nodes with that stride, and its activation."""

    def __init__(self, fused: nn.Sequential) -> None:
        super().__init__()
        weight, bias = _parameters(fused[0])
        self.planar = nn.Conv2d(2 * weight.shape[1], len(weight), 2, stride=2)
        _set(self.planar, weight.transpose(1, 2).flatten(1, 2), bias)

    def forward(self, planes: Tensor) -> Tensor:
        """Return half as many planes."""
        return functional.relu(self.planar(planes.reshape(-1, self.planar.in_channels, *planes.shape[2:])))


class Doubling(nn.Module):
    """A transposed convolution of 2 × 2 × 2 nodes with that stride."""

    def __init__(self, transposed: nn.ConvTranspose3d) -> None:
        super().__init__()
        weight, bias = _parameters(transposed)
        self.channels = len(bias)
        self.planar = nn.ConvTranspose2d(len(weight), 2 * self.channels, 2, stride=2)
        _set(self.planar, weight.transpose(1, 2).flatten(1, 2), bias.repeat(2))

    def forward(self, planes: Tensor) -> Tensor:
        """Return twice as many planes."""
        found = self.planar(planes)
        return found.reshape(-1, self.channels, *found.shape[2:])


class PlanarNetwork(nn.Module):
    """A network whose normalizations are folded into its convolutions, with the probabilities of the classes."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.first = Convolution(network.first)
        self.encode = nn.ModuleList(nn.Sequential(*map(Convolution, level)) for level in network.encode)
        self.down = nn.ModuleList(map(Halving, network.down))
        self.up = nn.ModuleList(map(Doubling, network.up))
        self.decode = nn.ModuleList(map(Convolution, network.decode))
        weight, bias = _parameters(network.last)
        self.last = nn.Conv2d(weight.shape[1], len(weight), 1)
        _set(self.last, weight[:, :, 0], bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """From folded densities and maps (1, 12, z, y, x) to probabilities (1, classes, 8, z · y · x)."""
        level = self.first(inputs[0].transpose(0, 1))
        kept = []
        for index, encode in enumerate(self.encode):
            level = encode(level)
            if index < len(self.down):
                kept.append(level)
                level = self.down[index](level)
        for index in reversed(range(len(self.down))):
            level = self.decode[index](self.up[index](level) + kept[index])
        return softmax(self.last(level).transpose(0, 1).reshape(1, len(Structure), 8, -1))


def softmax(scores: Tensor) -> Tensor:
    """Return probabilities (1, classes, …); ONNX Runtime's own softmax takes as long as all the rest of the network."""
    powers = (scores - scores.amax(1, keepdim=True)).exp()
    return powers / powers.sum(1, keepdim=True)


def _parameters(layer: nn.Module) -> tuple[Tensor, Tensor]:
    return layer.weight.detach(), layer.bias.detach()


def _set(layer: nn.Module, weight: Tensor, bias: Tensor) -> None:
    with torch.no_grad():
        layer.weight.copy_(weight)
        if layer.bias is not None:
            layer.bias.copy_(bias)
