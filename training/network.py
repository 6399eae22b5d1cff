"""The network: a small U-Net that works at half the resolution of its input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cryomamba_inference.network.model import Structure
from cryomamba_inference.network.sheets import MAPS

WIDTHS = (16, 32, 64, 96)  # channels at 2, 4, 8 and 16 nodes


def block(inputs: int, outputs: int) -> nn.Sequential:
    """Return a convolution with its normalization and activation."""
    return nn.Sequential(
        nn.Conv3d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm3d(outputs), nn.ReLU(inplace=True)
    )


def halving(inputs: int, outputs: int) -> nn.Sequential:
    """Return a convolution that halves the resolution."""
    return nn.Sequential(
        nn.Conv3d(inputs, outputs, 2, stride=2, bias=False), nn.BatchNorm3d(outputs), nn.ReLU(inplace=True)
    )


def fold(volume: Tensor) -> Tensor:
    """Turn 2 × 2 × 2 nodes into 8 channels."""
    b, c, z, y, x = volume.shape
    parts = volume.reshape(b, c, z // 2, 2, y // 2, 2, x // 2, 2).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return parts.reshape(b, c * 8, z // 2, y // 2, x // 2)


def unfold(volume: Tensor) -> Tensor:
    """Undo :func:`fold`."""
    b, c, z, y, x = volume.shape
    parts = volume.reshape(b, c // 8, 2, 2, 2, z, y, x).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return parts.reshape(b, c // 8, z * 2, y * 2, x * 2)


class Network(nn.Module):
    """From normalized densities and plate maps to one score a class."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.first = block(8 + MAPS, widths[0])
        self.encode = nn.ModuleList()
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        self.decode = nn.ModuleList()
        for level, width in enumerate(widths):
            inner = [block(width, width)] if level == 0 else [block(width, width), block(width, width)]
            self.encode.append(nn.Sequential(*inner))
            if level + 1 < len(widths):
                wider = widths[level + 1]
                self.down.append(halving(width, wider))
                self.up.append(nn.ConvTranspose3d(wider, width, 2, stride=2))
                self.decode.append(block(width, width))
        self.last = nn.Conv3d(widths[0], 8 * len(Structure), 1)

    def forward(self, volume: Tensor, maps: Tensor) -> Tensor:
        """Return the scores (b, classes, z, y, x) of volumes (b, 1, z, y, x), sides a multiple of 16."""
        return unfold(self.scores(torch.cat([fold(volume), maps], 1)))

    def scores(self, inputs: Tensor) -> Tensor:
        """Return the folded scores of folded volumes."""
        level = self.first(inputs)
        kept = []
        for index, encode in enumerate(self.encode):
            level = encode(level)
            if index < len(self.down):
                kept.append(level)
                level = self.down[index](level)
        for index in reversed(range(len(self.down))):
            level = self.decode[index](self.up[index](level) + kept[index])
        return self.last(level)
