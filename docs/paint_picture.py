"""Make the picture of painting in the browser: real services, a synthetic tomogram, and strokes drawn with the mouse.

Run it where Chromium is: ``python docs/paint_picture.py``.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cryomamba
from cryomamba.testing import Stack
from cryomamba.volumes import write_volume

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.pixels_accuracy import VOXEL_A, carbon
from docs.screenshots import prepare, save_picture
from tests.gateway.chromium import Tab, tab
from tests.gateway.web.page_actions import enter
from tests.gateway.web.viewing import canvas, change

SEED = 101
# Label and course of each stroke, in shares of the section from left and top.
STROKES: tuple[tuple[int, tuple[tuple[float, float], ...]], ...] = (
    (1, ((0.86, 0.10), (0.91, 0.22), (0.88, 0.32))),
    (0, ((0.20, 0.25), (0.35, 0.32), (0.48, 0.28))),
    (0, ((0.30, 0.72), (0.45, 0.78), (0.62, 0.70))),
)


async def draw(page: Tab, label: int, course: Sequence[tuple[float, float]]) -> None:
    """Draw a stroke in the large section."""
    await page.value(f"document.querySelectorAll('input[name=paint-label]')[{label}].click()")
    box = await page.value(
        f"(({{left, top, width, height}}) => [left, top, width, height])({canvas('z')}.getBoundingClientRect())"
    )
    points = [(box[0] + right * box[2], box[1] + down * box[3]) for right, down in course]
    for kind, (x, y) in (
        ("mousePressed", points[0]),
        *(("mouseMoved", point) for point in points[1:]),
        ("mouseReleased", points[-1]),
    ):
        await page.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)


async def main() -> None:
    """Paint, and take the picture when the mask of the strokes is there."""
    with tempfile.TemporaryDirectory(prefix="picture-") as folder:
        home = Path(folder)
        tomogram = home / "carbon.mrc"
        write_volume(tomogram, carbon(SEED)[0].density, VOXEL_A)
        with (
            Stack(home / "services", roots=[home]).start().wait_ready(timeout=60) as stack,
            cryomamba.connect(stack.http_url) as client,
        ):
            job = client.submit(tomogram, engine="threshold").wait()
            async with tab(f"{stack.http_url}/#/jobs/{job.job_id}", home / "profile") as page:
                await prepare(page, 1440, 900)
                await page.until("!!document.getElementById('paint')")
                await page.value("document.getElementById('paint').click()")
                await change(page, "#layer", "none")
                await change(page, "#low-pass", "1")
                await page.value("document.getElementById('full-window').click()")
                await page.until("!!document.getElementById('paint-controls')")
                await enter(page, "[aria-label='Name of label 1']", "carbon")
                for label, course in STROKES:
                    await draw(page, label, course)
                await page.value("document.getElementById('segment-strokes').click()")
                await page.until(f"location.hash !== '#/jobs/{job.job_id}'")
                await page.until("document.getElementById('preview-kind')?.textContent === 'Live preview'")
                await page.until("document.querySelector('#job-status progress')?.value > 0.9")
                await save_picture(page, "browser-paint")


if __name__ == "__main__":
    asyncio.run(main())
