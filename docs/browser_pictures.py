"""Make the pictures of the page: real services, synthetic tomograms, and a browser.

Run it where Chromium is: ``python docs/browser_pictures.py``.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import cryomamba
from cryomamba.synth import PhantomSpec, synthesize
from cryomamba.testing import Stack
from cryomamba.volumes import write_volume

sys.path.insert(0, str(Path(__file__).parents[1]))
from docs.screenshots import prepare, save_picture
from tests.gateway.chromium import Tab, tab

SPEC = PhantomSpec(
    shape=(96, 320, 320), voxel_size_A=(10.0, 10.0, 10.0), seed=12, noise=0.7, crowding=0.03, vesicles=12
)
SIZE = (1280, 1000)


async def main() -> None:
    """Take a picture of the form, of a job while its mask grows, and of its results."""
    with tempfile.TemporaryDirectory(prefix="pictures-") as folder:
        home = Path(folder)
        tomogram = home / "vesicles.mrc"
        write_volume(tomogram, synthesize(SPEC).density, SPEC.voxel_size_A)
        with (
            Stack(home / "services", roots=[home]).start().wait_ready() as stack,
            cryomamba.connect(stack.http_url) as client,
        ):
            client.submit(tomogram, engine="particles", name="vesicles, particles of 250 Å").wait()
            async with tab(f"{stack.http_url}/#/new", home / "profile") as page:
                await prepare(page, *SIZE)
                await choose(page, tomogram)
                await page.until("document.querySelector('.upload')?.dataset.phase === 'done'")
                await page.until("document.querySelector('#volumes .thumbnail img')?.naturalWidth > 0")
                await save_picture(page, "browser-new")
                await page.value("document.getElementById('start').click()")
                await page.until("!!document.getElementById('job')")
                await page.until("document.getElementById('preview-kind')?.textContent === 'Live preview'")
                await page.until("document.querySelector('#job-status progress')?.value > 0.6")
                await save_picture(page, "browser-job")
                await page.until("document.querySelectorAll('.plot').length === 2")
                await page.until("document.getElementById('layer')?.value === 'labels/mask'")
                await page.value("document.getElementById('results').scrollIntoView()")
                await save_picture(page, "browser-results")


async def choose(page: Tab, path: Path) -> None:
    """Choose a file in the browser's dialog."""
    await page.until("!!document.querySelector('#engines input:checked')")
    found = await page.call("Runtime.evaluate", expression="document.getElementById('files-input')")
    await page.call("DOM.setFileInputFiles", files=[str(path)], objectId=found["result"]["objectId"])


if __name__ == "__main__":
    asyncio.run(main())
