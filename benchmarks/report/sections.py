"""A picture of a volume: sections xy and xz with the mask and the outline of the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

MASK, OUTLINE = (255, 130, 0), (0, 190, 255)
_OPACITY = 0.45
_SCALE = 3
_GAP = 6
Plane = NDArray[np.float32]
Flags = NDArray[np.bool_]


def save(path: Path, density: NDArray[np.float32], mask: Flags, truth: Flags) -> None:
    """Write density, and density with mask and outline, for the sections that have the most membrane."""
    z = int(truth.sum(axis=(1, 2)).argmax()) if truth.any() else truth.shape[0] // 2
    y = int(truth.sum(axis=(0, 2)).argmax()) if truth.any() else truth.shape[1] // 2
    xy = _row(_mean(density, z, 0), mask[z], truth[z])
    xz = _row(_mean(density, y, 1), mask[:, y], truth[:, y])
    gap = np.full((_GAP, xy.shape[1], 3), 255, np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate([xy, gap, xz])).save(path, optimize=True)


def _mean(density: NDArray[np.float32], middle: int, axis: int) -> Plane:
    planes = np.arange(max(middle - 1, 0), min(middle + 2, density.shape[axis]))
    return np.asarray(density.take(planes, axis).mean(axis), np.float32)


def _row(plane: Plane, mask: Flags, truth: Flags) -> NDArray[np.uint8]:
    low, high = np.percentile(plane, (1, 99))
    grey = np.clip((plane - low) / max(float(high - low), 1e-12), 0, 1) * 255
    picture = np.repeat(_enlarged(grey)[..., None], 3, axis=2)
    shown = picture.copy()
    found, true = _enlarged(mask), _enlarged(truth)
    shown[found] = shown[found] * (1 - _OPACITY) + np.array(MASK) * _OPACITY
    shown[true & ~ndimage.binary_erosion(true, border_value=1)] = OUTLINE
    gap = np.full((len(picture), _GAP, 3), 255)
    return np.concatenate([picture, gap, shown], axis=1).astype(np.uint8)


def _enlarged(plane: NDArray[Any]) -> NDArray[Any]:
    return plane.repeat(_SCALE, axis=0).repeat(_SCALE, axis=1)
