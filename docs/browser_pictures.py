"""Make the pictures of the page: real services, synthetic tomograms, and a browser.

Run it where Chromium is: ``python docs/browser_pictures.py``. With names of steps, only these are done: ``python
docs/browser_pictures.py server_page``.
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
    """Do all steps, or those that are named."""
    for step in (job_pages, server_page):
        if step.__name__ in sys.argv[1:] or not sys.argv[1:]:
            with tempfile.TemporaryDirectory(prefix="pictures-") as folder:
                await step(Path(folder))


async def job_pages(home: Path) -> None:
    """Take a picture of the form, of its options, of a job while its mask grows, and of its results."""
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
            await page.value("document.getElementById('priority').scrollIntoView({block: 'center'})")
            await save_picture(page, "browser-options")
            await page.value("document.getElementById('start').click()")
            await page.until("!!document.getElementById('job')")
            await page.until("document.getElementById('preview-kind')?.textContent === 'Live preview'")
            await page.until("document.querySelector('#job-status progress')?.value > 0.6")
            await save_picture(page, "browser-job")
            await page.until("document.querySelectorAll('.plot').length === 2")
            await page.until("document.getElementById('layer')?.value === 'labels/mask'")
            await page.value("document.getElementById('results').scrollIntoView()")
            await save_picture(page, "browser-results")


async def server_page(home: Path) -> None:
    """Take a picture of the workers, of which one is draining, and of the queue."""
    with (
        Stack(home / "services", env={"CRYOMAMBA_SLOTS": "2"}).start().wait_ready() as stack,
        cryomamba.connect(stack.http_url) as client,
    ):
        jobs = [
            client.submit(shape=(64, 64, 64), engine="demo", params={"seconds": 600.0}, name=name, priority=priority)
            for name, priority in (("TS_01", 0), ("TS_02", 0), ("TS_03", 0), ("TS_04, urgent", 1), ("TS_05", -1))
        ]
        async with tab(f"{stack.http_url}/#/server", home / "profile") as page:
            await prepare(page, SIZE[0], 760)
            await page.until("document.querySelectorAll('.worker [data-state=running]').length === 2")
            await page.until("document.querySelectorAll('#queue > li').length === 3")
            await page.until("document.querySelectorAll('.worker-actions').length === 2")
            await page.value("document.querySelector('.worker-actions > button').click()")
            await page.until(
                "[...document.querySelectorAll('.worker .state')].some(one => one.textContent === 'Draining')"
            )
            await save_picture(page, "browser-server")
        for job in jobs:
            job.cancel()


async def choose(page: Tab, path: Path) -> None:
    """Choose a file in the browser's dialog."""
    await page.until("!!document.querySelector('#engines input:checked')")
    found = await page.call("Runtime.evaluate", expression="document.getElementById('files-input')")
    await page.call("DOM.setFileInputFiles", files=[str(path)], objectId=found["result"]["objectId"])


if __name__ == "__main__":
    asyncio.run(main())
