"""Make the picture of the viewer's page: real services, a synthetic tomogram, and a browser that looks on.

Run it where Chromium is: ``python docs/viewer_picture.py``.
"""

from __future__ import annotations

import asyncio
import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

import cryomamba
from cryomamba.synth import PhantomSpec, synthesize
from cryomamba.testing import Stack
from cryomamba.volumes import write_volume

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.gateway.chromium import tab

IMAGE = Path(__file__).parent / "images" / "viewer.png"
SPEC = PhantomSpec(
    shape=(160, 320, 320), voxel_size_A=(10.0, 10.0, 10.0), seed=12, noise=0.7, crowding=0.03, vesicles=12
)


async def main() -> None:
    """Segment, and take the picture while the mask grows."""
    with tempfile.TemporaryDirectory(prefix="picture-") as folder:
        home = Path(folder)
        tomogram = home / "vesicles.mrc"
        write_volume(tomogram, synthesize(SPEC).density, SPEC.voxel_size_A)
        with (
            Stack(home / "services", roots=[home]).start().wait_ready(timeout=60) as stack,
            cryomamba.connect(stack.http_url) as client,
        ):
            client.submit(tomogram, engine="threshold", name="vesicles, by a threshold").wait()
            job = client.submit(tomogram, engine="membrane", name="vesicles, membranes", preview={"interval_s": 0.1})
            async with tab(f"{stack.http_url}/#{job.job_id}", home / "profile") as page:
                await page.until("document.querySelector('.selected progress')?.value > 0.5")
                picture = Image.open(io.BytesIO(await page.picture())).convert("RGB")
                picture.quantize(128, dither=Image.Dither.NONE).save(IMAGE, optimize=True)


if __name__ == "__main__":
    asyncio.run(main())
