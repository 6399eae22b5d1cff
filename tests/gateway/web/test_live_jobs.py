"""Real jobs of real services in the page's viewer: the mask grows over the density, also across a killed gateway."""

from __future__ import annotations

import io
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from tests.gateway.chromium import Tab, tab
from tests.gateway.web.viewing import Pixels, canvas, change, section, show_plainly

import cryomamba
from cryomamba.models.jobs import PreviewOptions
from cryomamba.stack import Stack
from cryomamba.synth import PhantomSpec, synthesize
from cryomamba.testing import wait_until_async
from cryomamba.volumes import write_volume

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.system, pytest.mark.browser, pytest.mark.slow]

SIDE = 192
SPEC = PhantomSpec(
    shape=(96, SIDE, SIDE), voxel_size_A=(10.0, 10.0, 10.0), seed=4, noise=0.5, crowding=0.02, vesicles=4
)


async def coloured(page: Tab, axis: str = "z") -> int:
    """Return how many pixels of a section are not grey: those of the mask."""
    pixels = (await section(page, axis, SIDE, SIDE)).astype(int)
    return int(np.count_nonzero(np.ptp(pixels, axis=2) > 20))


async def until_more(page: Tab, than: int) -> int:
    """Wait until more of the section is mask, and return how much."""

    async def count() -> int:
        found = await coloured(page)
        return found if found > than else 0

    return await wait_until_async(count, what=f"more than {than} pixels of the mask")


async def until_different(page: Tab, than: Pixels) -> None:
    """Wait until the section has changed and shows a mask; the demo engine's moves."""

    async def changed() -> bool:
        return not np.array_equal(await section(page, "z", SIDE, SIDE), than) and await coloured(page) > 0

    await wait_until_async(changed, what="another preview")


async def test_the_mask_grows_over_the_density_while_a_job_runs(tmp_path: Path) -> None:
    """The tomogram is there from the start; the mask appears on it, changes while tiles are done, and is the file's."""
    write_volume(tmp_path / "ts.mrc", synthesize(SPEC).density, SPEC.voxel_size_A)
    with (
        Stack(tmp_path / "services", roots=[tmp_path]).start().wait_ready() as stack,
        cryomamba.connect(stack.http_url) as client,
    ):
        job = client.submit(tmp_path / "ts.mrc", engine="membrane", preview=PreviewOptions(interval_s=0.05))
        async with tab(f"{stack.http_url}/#/jobs/{job.job_id}", tmp_path / "profile") as page:
            await page.until(f"{canvas('z')} !== null")
            await show_plainly(page, "z")
            await until_dense(page)
            await until_more(page, 0)
            first = await section(page, "z", SIDE, SIDE)
            await until_different(page, first)
            await page.until("document.getElementById('job-status')?.textContent.includes('Done')")
            await page.until("document.getElementById('layer')?.value === 'labels/mask'")
            path = f"/v1/jobs/{job.job_id}/volumes/mask.mrc/slice?axis=z&index={SPEC.shape[0] // 2}"
            async with httpx.AsyncClient(base_url=stack.http_url, trust_env=False) as http:
                image = Image.open(io.BytesIO((await http.get(path)).content)).convert("RGBA")
            expected = int(np.count_nonzero(np.asarray(image)[..., 3]))

            async def drawn() -> bool:
                # Where mask and density are equally bright, a colour is hard to tell from a grey.
                return 0.8 * expected < await coloured(page) <= expected

            await wait_until_async(drawn, what="the mask of the file in place of the preview")


async def test_a_threshold_that_was_tried_becomes_a_job_and_a_mask_limits_another(tmp_path: Path) -> None:
    """The first has the name and the minimum volume of its job; the second measures its share of the mask."""
    write_volume(tmp_path / "ts.mrc", synthesize(SPEC).density, SPEC.voxel_size_A)
    with (
        Stack(tmp_path / "services", roots=[tmp_path]).start().wait_ready() as stack,
        cryomamba.connect(stack.http_url) as client,
    ):
        params = {"min_volume_nm3": 3000}
        job = client.submit(tmp_path / "ts.mrc", engine="membrane", name="night", params=params).wait()
        async with tab(f"{stack.http_url}/#/jobs/{job.job_id}", tmp_path / "profile") as page:
            await page.until("document.getElementById('try-threshold') !== null")
            await page.value("document.getElementById('try-threshold').click()")
            await change(page, "#threshold", "150")
            button = "document.querySelector('#threshold').closest('fieldset').querySelector('button')"
            assert "3 000" in (await page.value(f"{button}.previousSibling.textContent")).replace("\u202f", " ")
            await page.value(f"{button}.click()")
            await page.until(f"location.hash !== '#/jobs/{job.job_id}'")
            await page.until("document.getElementById('job-status')?.textContent.includes('Done')")
            made = client.record((await page.value("location.hash")).rpartition("/")[2])
            assert (made.name, made.volume.job_id) == ("night", job.job_id)
            assert made.params == {"high": 150, "min_volume_nm3": 3000}

            await page.value("location.hash = '#/new'")
            await page.until("!!document.getElementById('within')")
            await page.value("document.querySelector('#engines input[value=threshold]').click()")
            await page.value("document.getElementById('show-server').click()")
            await page.until("!!document.querySelector('#server-files input')")
            await page.value("document.querySelector('#server-files input').click()")
            await change(page, "#within", "job")
            await change(page, "#within-search", "no-such-job")
            await page.until("document.body.textContent.includes('No job with a mask matches')")
            await change(page, "#within-search", job.job_id)
            await page.until(f"!!document.querySelector('option[value=\"{job.job_id}\"]')")
            await change(page, "[aria-label='Job whose mask is used']", job.job_id)
            await page.value("document.getElementById('start').click()")
            await page.until("document.getElementById('job-facts')?.textContent.includes('within ')")
            await page.until("document.getElementById('statistics')?.textContent.includes('Share of the region')")
            limited = client.record((await page.value("location.hash")).rpartition("/")[2])
            assert limited.within is not None
            assert (limited.engine, limited.within.job_id) == ("threshold", job.job_id)


async def until_dense(page: Tab) -> None:
    """Wait until the section has the greys of a tomogram."""

    async def dense() -> bool:
        return len(np.unique((await section(page, "z", SIDE, SIDE))[..., 0])) > 100

    await wait_until_async(dense, what="the density")


async def test_two_visitors_see_a_job_go_on_after_the_gateway_was_killed(tmp_path: Path) -> None:
    """Both pages say that the connection is lost, come back by themselves, and show the newest mask until the end."""
    with (
        Stack(tmp_path / "services", roots=[tmp_path]).start().wait_ready() as stack,
        cryomamba.connect(stack.bus_url) as client,
    ):
        shape = (96, SIDE, SIDE)
        job = client.submit(engine="demo", shape=shape, params={"seconds": 600})
        url = f"{stack.http_url}/#/jobs/{job.job_id}"
        async with tab(url, tmp_path / "one") as one, tab(url, tmp_path / "other") as other:
            pages = (one, other)
            for page in pages:
                await page.until(f"{canvas('z')} !== null")
                await show_plainly(page, "z")
                await until_more(page, 0)
            before = [await section(page, "z", SIDE, SIDE) for page in pages]
            stack.kill("gateway")
            for page in pages:
                await page.until("document.getElementById('notice').textContent.includes('connection')")
            stack.start("gateway").wait_ready()
            for page, seen in zip(pages, before, strict=True):
                await page.until("document.getElementById('notice').textContent === ''")
                await until_different(page, seen)
            job.cancel()
            for page in pages:
                await page.until("document.getElementById('job-status')?.textContent.includes('Cancelled')")
                assert await coloured(page) > 0, "what was computed stays there"
