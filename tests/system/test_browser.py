"""A visitor's way through the page with real services: from a file on their disk to a mask on it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tests.gateway.chromium import Tab, tab

from cryomamba.synth import PhantomSpec, synthesize
from cryomamba.testing import Stack, wait_until_async
from cryomamba.volumes import write_volume
from cryomamba_gateway.uploads.part_plan import CHUNK_DEFAULT

pytestmark = [pytest.mark.system, pytest.mark.browser, pytest.mark.asyncio]

SPEC = PhantomSpec(shape=(64, 128, 128), voxel_size_A=(10.0, 10.0, 10.0), seed=12, noise=0.7, vesicles=4)
MB = 1_000_000


def answer(stack: Stack, path: str) -> Any:
    """Ask the gateway."""
    return httpx.get(f"{stack.http_url}{path}", trust_env=False).raise_for_status().json()


async def choose(page: Tab, selector: str, path: Path) -> None:
    """Choose a file in the browser's dialog."""
    found = await page.call("Runtime.evaluate", expression=f"document.querySelector({selector!r})")
    await page.call("DOM.setFileInputFiles", files=[str(path)], objectId=found["result"]["objectId"])


async def click(page: Tab, selector: str) -> None:
    """Click an element as soon as it is there."""
    await page.until(f"!!document.querySelector({selector!r})")
    await page.value(f"document.querySelector({selector!r}).click()")


async def test_from_a_file_on_disk_to_a_mask_on_disk(stack: Stack, tmp_path: Path) -> None:
    """Upload, start, a mask that grows, statistics with two plots, and the download of the very mask."""
    tomogram = tmp_path / "vesicles.mrc"
    write_volume(tomogram, synthesize(SPEC).density, SPEC.voxel_size_A)
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    async with tab(f"{stack.http_url}/#/new", tmp_path / "profile") as page:
        await page.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
        await page.until("document.querySelector('#engines input:checked')?.value === 'membrane'")
        await choose(page, "#files-input", tomogram)
        await click(page, "#start")
        await page.until("document.getElementById('job-name')?.textContent === 'vesicles.mrc'")
        # Live frames are drawn while it runs, of whatever fraction is done.
        await page.until("document.querySelector('#job-status progress')?.value > 0")
        await page.until("document.getElementById('job-status').textContent.includes('Done')")
        await page.until("document.querySelectorAll('.plot svg .bar').length > 0")
        assert await page.value("[...document.querySelectorAll('.plot')].map(({id}) => id)") == ["sizes", "thicknesses"]
        assert "membrane" in await page.text("#statistics thead")
        await click(page, "#download-mask")

        async def downloaded() -> list[Path]:
            return [path for path in downloads.iterdir() if path.suffix == ".mrc"]

        (mask,) = await wait_until_async(downloaded, what="the download")
    (job,) = [one for one in answer(stack, "/v1/jobs")["jobs"] if one["volume"]["name"] == "vesicles.mrc"]
    (artifact,) = [one for one in job["artifacts"] if one["name"] == "mask.mrc"]
    assert hashlib.sha256(mask.read_bytes()).hexdigest() == artifact["sha256"]


async def test_an_upload_resumes_after_the_page_was_loaded_again(stack: Stack, tmp_path: Path) -> None:
    """The file is chosen once more, parts that the server has are not sent again, and the file is the same."""
    large = tmp_path / "large.mrc"
    write_volume(large, np.random.default_rng(3).normal(size=(60, 512, 512)).astype(np.float32), 10.0)
    async with tab(f"{stack.http_url}/#/new", tmp_path / "profile") as page:
        await page.call("Network.enable")
        await page.until("!!document.querySelector('#engines input:checked')")
        await throttle(page, 6 * MB)
        await choose(page, "#files-input", large)
        status = "fetch('/v1/uploads/' + JSON.parse(localStorage['cryomamba.uploads'])[0].uploadId)"
        await page.until(f"{status}.then((reply) => reply.json()).then((found) => found.received_parts.length > 0)")
        await page.call("Page.reload")
        await page.until("document.querySelector('.upload')?.dataset.phase === 'needs-file'")
        known = await page.value(f"{status}.then((reply) => reply.json()).then((found) => found.received_parts.length)")
        await throttle(page, -1)
        await page.value("performance.clearResourceTimings()")
        await choose(page, ".upload input[type=file]", large)
        await page.until("document.querySelector('.upload')?.dataset.phase === 'done'")
        sent = await page.value("performance.getEntriesByType('resource').filter(({name}) => /part/.test(name)).length")
    (record,) = [one for one in answer(stack, "/v1/files")["files"] if one["filename"] == "large.mrc"]
    assert record["sha256"] == hashlib.sha256(large.read_bytes()).hexdigest()
    parts = -(-record["size_bytes"] // CHUNK_DEFAULT)
    # One or two of them are sent again, to see that the file is the same.
    assert parts - known < sent <= parts - known + 2


async def throttle(page: Tab, bytes_per_s: int) -> None:
    """Limit the browser's upload; -1 takes the limit away."""
    await page.call(
        "Network.emulateNetworkConditions",
        offline=False,
        latency=0,
        downloadThroughput=-1,
        uploadThroughput=bytes_per_s,
    )
