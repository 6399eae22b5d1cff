"""Make the pictures of the viewer's page: real services, a synthetic tomogram, and a browser that looks on.

Run it where Chromium is: ``python docs/viewer_picture.py``.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import cryomamba
from cryomamba.models.jobs import PreviewOptions
from cryomamba.synth import PhantomSpec, synthesize
from cryomamba.testing import Stack
from cryomamba.volumes import write_volume

sys.path.insert(0, str(Path(__file__).parents[1]))
from docs.screenshots import prepare, save_picture
from tests.gateway.chromium import tab
from tests.gateway.web.viewing import SOFTWARE_WEBGL, canvas, change

SPEC = PhantomSpec(
    shape=(160, 320, 320), voxel_size_A=(10.0, 10.0, 10.0), seed=12, noise=0.7, crowding=0.03, vesicles=12
)
READY = "performance.getEntriesByType('resource').some(({name}) => name.includes('/0/c/'))"


async def main() -> None:
    """Segment, and take pictures while the mask grows and of its surfaces."""
    with tempfile.TemporaryDirectory(prefix="picture-") as folder:
        home = Path(folder)
        tomogram = home / "vesicles.mrc"
        write_volume(tomogram, synthesize(SPEC).density, SPEC.voxel_size_A)
        with (
            Stack(home / "services", roots=[home]).start().wait_ready(timeout=60) as stack,
            cryomamba.connect(stack.http_url) as client,
        ):
            job = client.submit(
                tomogram, engine="membrane", name="vesicles, membranes", preview=PreviewOptions(interval_s=0.1)
            )
            async with tab(f"{stack.http_url}/#/jobs/{job.job_id}", home / "profile", *SOFTWARE_WEBGL) as page:
                await prepare(page, 1440, 900)
                await page.until(f"{canvas('z')} !== null && {READY}")
                await change(page, "#slab", "5")
                await change(page, "#low-pass", "1")
                await page.until("document.querySelector('#job progress')?.value > 0.5")
                await save_picture(page, "viewer")
                await page.until("document.getElementById('layer')?.value === 'labels/mask'")
                await page.value("[...document.querySelectorAll('.segmented button')].at(-1).click()")
                await page.until(f"Number({canvas('3d')}?.dataset.triangles) > 1000")
                await page.call(
                    "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}]
                )
                await save_picture(page, "viewer-3d")


if __name__ == "__main__":
    asyncio.run(main())
