"""Orders of axes: from a window (z, y, x) to the tensor of a network and from its output to scores. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cryomamba.engines.api import Voxels
from cryomamba.engines.windows import Scores

Tensor = npt.NDArray[Any]


def to_tensor(window: Voxels, axes: str) -> Tensor:
    """Return a window (z, y, x) with the axes of a network's input; batch and channel have the size 1.

    Without z in `axes`, the window has one section.
    """
    present = [axis for axis in axes if axis in "zyx"]
    data = window if "z" in axes else window[0]
    names = "zyx" if "z" in axes else "yx"
    ordered = data.transpose([names.index(axis) for axis in present])
    return np.ascontiguousarray(ordered.reshape(_with_ones(ordered.shape, axes)))


def to_scores(output: Tensor, axes: str) -> Scores:
    """Return a network's output as scores (channels, z, y, x), float32.

    Raises
    ------
    ValueError
        The output has another number of axes, or more than one element along the batch.
    """
    if output.ndim != len(axes):
        raise ValueError(f"its output has {output.ndim} axes, of shape {output.shape}, and not {len(axes)} ({axes})")
    if "b" in axes:
        if output.shape[axes.index("b")] != 1:
            raise ValueError(f"its output has {output.shape[axes.index('b')]} elements along the batch, and not one")
        output = output.take(0, axes.index("b"))
        axes = axes.replace("b", "")
    wanted = "".join(axis for axis in "czyx" if axis in axes)
    output = output.transpose([axes.index(axis) for axis in wanted])
    if "c" not in axes:
        output = output[None]
    if "z" not in axes:
        output = output[:, None]
    return np.asarray(output, np.float32)


def _with_ones(shape: tuple[int, ...], axes: str) -> list[int]:
    sizes = iter(shape)
    return [next(sizes) if axis in "zyx" else 1 for axis in axes]
