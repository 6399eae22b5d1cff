"""The picture of a demo: slices of the tomogram, with the mask and with the ground truth as overlays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from cryomamba.errors import ErrorCode, InvalidRequestError

if TYPE_CHECKING:
    from PIL.Image import Image

Grey = npt.NDArray[np.uint8]
Slice = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

MASK_COLOUR: Final = (255, 130, 0)
TRUTH_COLOUR: Final = (0, 190, 255)
_OPACITY: Final = 0.65
_PANEL_WIDTH: Final = 360
_GAP: Final = 8
_CAPTION: Final = 22
_FONT: Final = 14
_AVERAGED_PLANES: Final = 5
_BAR_SHARE: Final = 0.25
_NICE: Final = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class View:
    """A slice through the volume.

    Attributes
    ----------
    name : str
    density : ndarray of float32, shape (rows, columns)
    found, truth : ndarray of bool, same shape
    pixel_A : tuple of float
        Ångström along rows and columns.
    """

    name: str
    density: Slice
    found: Mask
    truth: Mask
    pixel_A: tuple[float, float]


def views(
    density: npt.NDArray[np.float32], found: Mask, truth: Mask, voxel_size_A: tuple[float, float, float]
) -> list[View]:
    """Return the central slices along z and y; the density is averaged over five planes.

    Parameters
    ----------
    density, found, truth : ndarray, ZYX
    voxel_size_A : tuple of float
        Ångström (z, y, x).
    """
    z, y = (size // 2 for size in density.shape[:2])
    return [
        View(f"z = {z}", _mean_slice(density, 0), found[z], truth[z], voxel_size_A[1:]),
        View(f"y = {y}", _mean_slice(density, 1), found[:, y], truth[:, y], (voxel_size_A[0], voxel_size_A[2])),
    ]


def _mean_slice(density: npt.NDArray[np.float32], axis: int) -> Slice:
    middle = density.shape[axis] // 2
    planes = range(max(middle - _AVERAGED_PLANES // 2, 0), min(middle + _AVERAGED_PLANES // 2 + 1, density.shape[axis]))
    mean: Slice = density.take(planes, axis).mean(axis, dtype=np.float32)
    return mean


def draw(shown: Sequence[View], *, mask_name: str) -> Image:
    """Draw a row of panels for each view: tomogram, mask overlay, ground-truth overlay, with a scale bar.

    Raises
    ------
    InvalidRequestError
        Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        raise InvalidRequestError(
            "The picture needs Pillow, which is not installed.",
            code=ErrorCode.UNAVAILABLE,
            hint="Install it with: pip install 'cryomamba[server]'.",
        ) from None
    rows = [_row(view, mask_name, first=number == 0) for number, view in enumerate(shown)]
    height = sum(row.height for row in rows) + _GAP * (len(rows) - 1)
    sheet = Image.new("RGB", (rows[0].width, height), "white")
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height + _GAP
    return sheet


def _row(view: View, mask_name: str, *, first: bool) -> Image:
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(_FONT)
    grey = grey_levels(view.density)
    panels = (
        (f"tomogram, {view.name}", overlay(grey, None, MASK_COLOUR)),
        (mask_name, overlay(grey, view.found, MASK_COLOUR)),
        ("ground truth", overlay(grey, view.truth, TRUTH_COLOUR)),
    )
    aspect = float(view.density.shape[0] * view.pixel_A[0] / (view.density.shape[1] * view.pixel_A[1]))
    height = max(round(_PANEL_WIDTH * aspect), 1)
    sheet = Image.new("RGB", (_PANEL_WIDTH * 3 + _GAP * 2, height + _CAPTION), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (caption, pixels) in enumerate(panels):
        left = number * (_PANEL_WIDTH + _GAP)
        pen.text((left + 2, 2), caption, fill="black", font=font)
        panel = Image.fromarray(pixels).resize((_PANEL_WIDTH, height), Image.Resampling.BICUBIC)
        sheet.paste(panel, (left, _CAPTION))
    if first:
        length_A, pixels_long = scale_bar(view.density.shape[1] * view.pixel_A[1])
        right, bottom = _PANEL_WIDTH - 12, _CAPTION + height - 12
        pen.rectangle((right - pixels_long, bottom - 5, right, bottom), fill="white", outline="black")
        label = f"{length_A / 10:g} nm"
        at = (right - pixels_long / 2, bottom - 8)
        pen.text(at, label, "white", font, "md", stroke_width=2, stroke_fill="black")
    return sheet


def grey_levels(density: Slice) -> Grey:
    """Scale a slice to 0 to 255, from its 1st to its 99th percentile."""
    low, high = np.percentile(density, (1.0, 99.0))
    stretched = (density - low) / max(float(high - low), 1e-12) * 255
    grey: Grey = np.clip(stretched, 0, 255).astype(np.uint8)
    return grey


def overlay(grey: Grey, mask: Mask | None, colour: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """Return an RGB image (rows, columns, 3) of a grey-scale image with a translucent mask."""
    picture = np.repeat(grey[..., None], 3, axis=-1).astype(np.float32)
    if mask is not None:
        picture[mask] = picture[mask] * (1 - _OPACITY) + np.array(colour, np.float32) * _OPACITY
    return picture.astype(np.uint8)


def scale_bar(width_A: float) -> tuple[float, int]:
    """Return the length of a scale bar in Å and in pixels: 1, 2 or 5 × 10ⁿ nm, at most a quarter of a panel.

    Parameters
    ----------
    width_A : float
        Width of a panel.
    """
    goal_nm = width_A / 10 * _BAR_SHARE
    power = 10.0 ** np.floor(np.log10(goal_nm))
    length_nm = max(nice * power for nice in _NICE if nice * power <= goal_nm)
    return float(length_nm * 10), max(round(_PANEL_WIDTH * length_nm * 10 / width_A), 1)
