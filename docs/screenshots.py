"""Pictures of the browser's window for the documentation."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image
from tests.gateway.chromium import Tab

IMAGES = Path(__file__).parent / "images"
COLOURS = 256


async def save_picture(page: Tab, name: str) -> None:
    """Save what the window shows, without scroll bars."""
    await page.call("Emulation.setScrollbarsHidden", hidden=True)
    picture = Image.open(io.BytesIO(await page.picture())).convert("RGB")
    # A median cut would turn the few coloured pixels beside a large section grey.
    few = picture.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
    few.save(IMAGES / f"{name}.png", optimize=True)
