"""A section of a tomogram with a mask over it, as PNG; for any thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QBuffer, QIODevice
from qtpy.QtGui import QImage

from napari_cryomamba.layers.tomogram import Array

_SIDE_MAX = 800
"""Pixels along the longer side; a section with more voxels is shown at a fraction of its resolution."""
_CONTRAST = (0.5, 99.5)
"""Percentiles of the densities that are black and white."""
_OPACITY = 0.45


def label_voxels(mask: Array) -> tuple[dict[int, int], int]:
    """Count a mask's voxels, section by section.

    Returns
    -------
    counts : dict
        Voxels by label, 0 left out.
    section : int
        The section along z with the most of them, the middle one if there are none.
    """
    counts: dict[int, int] = {}
    best, most = mask.shape[0] // 2, 0
    for z in range(mask.shape[0]):
        labels, found = np.unique(np.asarray(mask[z]), return_counts=True)
        here = {int(label): int(count) for label, count in zip(labels, found, strict=True) if label}
        for label, count in here.items():
            counts[label] = counts.get(label, 0) + count
        if (total := sum(here.values())) > most:
            best, most = z, total
    return dict(sorted(counts.items())), best


def section_png(density: Any, mask: Array, z: int, colors: Mapping[int, str], *, y_up: bool) -> bytes:  # noqa: ANN401 (whatever napari slices)
    """Return a section with a mask over it.

    Parameters
    ----------
    density : array-like of shape (z, y, x)
    mask : array of the same shape
        Labels.
    colors : mapping of int to str
        ``#rrggbb`` by label.
    y_up : bool
        Whether y points up in the picture.
    """
    step = max(1, -(-max(density.shape[1:]) // _SIDE_MAX))
    grey = np.asarray(density[z], np.float32)[::step, ::step]
    low, high = np.percentile(grey, _CONTRAST)
    grey = np.clip((grey - low) / max(high - low, np.finfo(np.float32).tiny), 0, 1)
    labels = np.asarray(mask[z])[::step, ::step]
    rgb = np.repeat(255 * grey[..., None], 3, axis=2)
    for label, color in colors.items():
        tint = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)], np.float32)
        inside = labels == label
        rgb[inside] = (1 - _OPACITY) * rgb[inside] + _OPACITY * tint
    return _png(np.rint(rgb[::-1] if y_up else rgb).astype(np.uint8))


def _png(rgb: npt.NDArray[np.uint8]) -> bytes:
    height, width = rgb.shape[:2]
    pixels = np.ascontiguousarray(rgb)
    image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    if not image.save(buffer, "PNG"):  # type: ignore[call-overload]
        raise OSError("Qt could not write the picture")
    return bytes(buffer.data().data())
