"""Pictures of the browser's window for the documentation."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial import cKDTree
from tests.gateway.chromium import Tab

IMAGES = Path(__file__).parent / "images"
COLOURS = 256
# Those that occur most are kept as they are: the greys of the section, and the surfaces of the page.
PAGE_COLOURS = 96


async def prepare(page: Tab, width: int, height: int) -> None:
    """Give the window a size, and no scroll bars."""
    await page.call("Emulation.setScrollbarsHidden", hidden=True)
    await page.resize(width, height)


async def save_picture(page: Tab, name: str) -> None:
    """Save what the window shows."""
    picture = Image.open(io.BytesIO(await page.picture())).convert("RGB")
    with_few_colours(picture).save(IMAGES / f"{name}.png", optimize=True)


def with_few_colours(picture: Image.Image) -> Image.Image:
    """Return a picture with a palette: its most frequent colours as they are, and others for the rest."""
    pixels = np.asarray(picture)
    found, inverse, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True, return_counts=True)
    frequent = found[np.argsort(counts)[::-1][:PAGE_COLOURS]]
    # A median cut would leave out the few pixels with a colour beside those of a large grey section.
    rest = picture.quantize(COLOURS - len(frequent), method=Image.Quantize.MAXCOVERAGE).getpalette() or []
    colours = np.concatenate([frequent, np.reshape(rest, (-1, 3))])[:COLOURS].astype(np.uint8)
    nearest = np.asarray(cKDTree(colours.astype(float)).query(found)[1], np.uint8)
    few = Image.fromarray(nearest[inverse.ravel()].reshape(pixels.shape[:2]), "P")
    few.putpalette(colours.tobytes())
    return few
