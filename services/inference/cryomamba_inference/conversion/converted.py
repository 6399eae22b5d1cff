"""A network as ONNX, and what its source says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cryomamba.geometry import Shape

Function = Literal["softmax", "sigmoid"]


@dataclass(frozen=True, slots=True)
class ConvertedNetwork:
    """An ONNX file and what is known of it.

    Attributes
    ----------
    onnx : bytes
        The file; its input and output are batch, channels, z, y, x.
    channels_in, channels_out : int
    window : tuple of int or None
        Size (z, y, x) of the input that the model was built for; None for any.
    multiple : tuple of int
        Of these each side of a window must be a multiple (z, y, x).
    final : {'softmax', 'sigmoid'} or None
        Function that the network itself applies last.
    """

    onnx: bytes
    channels_in: int
    channels_out: int
    window: Shape | None
    multiple: Shape
    final: Function | None
