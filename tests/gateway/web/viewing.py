"""What tests see of the page's viewer: the voxels that a section shows, one for each pixel of the screen."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import numpy.typing as npt
from PIL import Image
from tests.gateway.chromium import Tab

from cryomamba.testing import wait_until_async

Pixels = npt.NDArray[np.uint8]
# WebGL without a graphics card.
SOFTWARE_WEBGL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
BACKGROUND = (11, 13, 16)


def canvas(axis: str) -> str:
    """Return an expression for the canvas of a section."""
    return f"document.querySelector('.viewer canvas[data-axis={json.dumps(axis)}]')"


async def change(page: Tab, selector: str, value: str) -> None:
    """Give a field a value, as a visitor does."""
    await page.until(f"document.querySelector({json.dumps(selector)}) !== null")
    await page.value(
        f"{{const field = document.querySelector({json.dumps(selector)}); field.value = {json.dumps(value)};"
        "for (const name of ['input', 'change']) field.dispatchEvent(new Event(name, {bubbles: true}))}"
    )


async def show_plainly(page: Tab, axis: str) -> None:
    """Show a section alone: one pixel for each voxel, no crosshair, labels filled and opaque."""
    await page.until(f"{canvas(axis)} !== null")
    name = {"z": "XY", "y": "XZ", "x": "YZ"}[axis]
    await page.value(
        f"[...document.querySelectorAll('.segmented button')].find(b => b.textContent === '{name}').click()"
    )
    await page.until(f"{canvas(axis)}.closest('.pane').classList.contains('large')")
    await page.until(f"{canvas(axis)}.width > 0")
    await page.value("{const c = document.getElementById('crosshair'); if (c.ariaPressed === 'true') c.click()}")
    await page.value(f"{canvas(axis)}.focus()")
    await page.press("1")


async def plain_mask(page: Tab) -> None:
    """Draw the mask as the server's images have it."""
    await change(page, "#mask-style", "fill")
    await change(page, "#mask-opacity", "1")


async def section(page: Tab, axis: str, width: int, height: int) -> Pixels:
    """Return the pixels of a section that :func:`show_plainly` shows."""
    url = await page.value(
        f"{{const shown = {canvas(axis)}, part = document.createElement('canvas');"
        f"[part.width, part.height] = [{width}, {height}];"
        f"const left = Math.round((shown.width - {width}) / 2), top = Math.round((shown.height - {height}) / 2);"
        "part.getContext('2d').drawImage(shown, -left, -top); part.toDataURL()}"
    )
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB"))


def labels_on_background(png: bytes, scale: int = 1) -> Pixels:
    """Return an image of labels as the viewer shows it where there is no tomogram."""
    rgba = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))
    rgb = np.where(rgba[..., 3:] > 0, rgba[..., :3], np.array(BACKGROUND, np.uint8))
    return rgb.repeat(scale, axis=0).repeat(scale, axis=1)


async def until_shown(page: Tab, axis: str, expected: Pixels, tolerance: int = 0) -> None:
    """Wait until a section has these pixels."""
    height, width = expected.shape[:2]

    async def so() -> bool:
        found = await section(page, axis, width, height)
        return bool(np.abs(found.astype(int) - expected.astype(int)).max() <= tolerance)

    await wait_until_async(so, what=f"the section along {axis}")
