"""The page with the keyboard alone, and what axe finds on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.gateway.chromium import tab
from tests.gateway.web.page_actions import AXE, SERIOUS, STATISTICS, click, drop, enter, press, show, tab_to

from cryomamba.errors import ErrorCode
from cryomamba.models.jobs import JobError
from cryomamba.volumes import write_volume
from cryomamba_server.tokens import Scope, TokenStore

if TYPE_CHECKING:
    from tests.gateway.conftest import Services

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.browser]


async def test_a_job_is_run_and_deleted_with_the_keyboard_alone(idle_services: Services, tmp_path: Path) -> None:
    """From the empty list to the form, to the running job, to its end, and back."""
    services = idle_services
    await services.start_broker()
    worker = await services.start_worker()
    url = await services.start_gateway()
    async with tab(url, tmp_path / "profile") as page:
        await page.until("!!document.getElementById('no-jobs')")
        await tab_to(page, "#no-jobs a")
        await press(page, "Enter")
        await page.until("document.querySelector('#engines input:checked')?.value === 'demo'")
        await tab_to(page, "#engines input")
        await tab_to(page, "#start")
        await press(page, "Enter")
        await page.until("!!document.getElementById('job-name')")
        job = await worker.claim()
        await worker.progress(job, 0.5)
        await page.until("document.getElementById('job-status').textContent.includes('50 %')")
        await tab_to(page, "#cancel")
        await press(page, "Enter")
        await page.until("document.getElementById('job-status').textContent.includes('Stopping')")
        await page.until("document.activeElement.matches('.actions')")
        await worker.fail(job, JobError(code=ErrorCode.CANCELLED, message="The job was cancelled."))
        await page.until("!!document.getElementById('delete')")
        await tab_to(page, "#delete")
        await press(page, "Enter")
        await page.until("!!document.querySelector('dialog[open]')")
        await tab_to(page, "#confirm-delete")
        await press(page, "Enter")
        await page.until("!!document.getElementById('no-jobs')")
        await page.until("document.activeElement.id === 'content'")
    assert (await services.http.get("/v1/jobs")).json()["jobs"] == []


async def test_no_page_has_a_serious_accessibility_problem(idle_services: Services, tmp_path: Path) -> None:
    """axe finds none at three widths, light and dark, on the pages for jobs in every state, the form and the server."""
    if not AXE.exists():
        pytest.skip("The page's packages are not installed ('make web' installs them)")
    services = idle_services
    await services.start_broker()
    worker = await services.start_worker()
    url = await services.start_gateway()
    done = await services.submit(volume={"shape": [8, 8, 8]}, name="done")
    failing = await services.submit(volume={"shape": [8, 8, 8]}, name="failed")
    await worker.finish(await worker.claim(), {"mask.mrc": b"", "stats.json": STATISTICS}, estimates={"noise": 0.4})
    await worker.fail(await worker.claim(), JobError(code=ErrorCode.ENGINE_FAILED, message="The engine failed."))
    running = await services.submit(volume={"shape": [8, 8, 8]}, name="running")
    await worker.progress(await worker.claim(), 0.4)
    await services.submit(volume={"shape": [8, 8, 8]}, name="pending")
    fragments = ["#/jobs", *(f"#/jobs/{one.job_id}" for one in (done, failing, running)), "#/new", "#/server"]
    async with tab(url, tmp_path / "profile") as page:
        await page.until("document.querySelectorAll('#jobs li').length === 4")
        await page.value(f"{AXE.read_text(encoding='utf-8')}; 0")
        for width, theme in ((360, "light"), (1280, "dark"), (2560, "light"), (360, "dark")):
            await page.call(
                "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
            )
            await page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
            for fragment in fragments:
                await show(page, fragment)
                await page.until("!!document.querySelector('#jobs, #job-status, #engines input, #workers li')")
                assert await page.value(SERIOUS) == [], (width, theme, fragment)
                assert await page.value("document.documentElement.scrollWidth <= innerWidth"), (width, fragment)


async def test_what_shows_only_for_a_while_is_accessible_too(idle_services: Services, tmp_path: Path) -> None:
    """axe finds nothing serious on the form to sign in, while a file is sent, and in the question before a deletion."""
    if not AXE.exists():
        pytest.skip("The page's packages are not installed ('make web' installs them)")
    services = idle_services
    token, _ = TokenStore(services.settings.keys).create("ada", [Scope.WRITE], days=1)
    await services.start_broker()
    worker = await services.start_worker()
    url = await services.start_gateway()
    services.http.headers["Authorization"] = f"Bearer {token}"
    job = await services.submit(volume={"shape": [8, 8, 8]}, name="first")
    await worker.finish(await worker.claim(), {"mask.mrc": b"mask"})
    path = tmp_path / "large.mrc"
    write_volume(path, np.zeros((64, 64, 64), np.float32), 10.0)
    async with tab(url, tmp_path / "profile") as page:
        await page.resize(360, 740)
        for theme in ("light", "dark"):
            await page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
            await page.until("!!document.getElementById('sign-in')")
            await page.value(f"{AXE.read_text(encoding='utf-8')}; 0")
            assert await page.value(SERIOUS) == [], ("sign in", theme)
        await enter(page, "#token", token)
        await click(page, "#sign-in button")
        await page.until("document.querySelectorAll('#jobs li').length === 1")

        await show(page, "#/new")
        await page.until("!!document.querySelector('#engines input:checked')")
        await page.call("Network.enable")
        # So slow that the file is on its way for all of the test.
        await page.call(
            "Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=1000
        )
        await drop(page, [path])
        await page.until("document.querySelector('.upload')?.dataset.phase === 'sending'")
        for theme in ("light", "dark"):
            await page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
            assert await page.value(SERIOUS) == [], ("upload", theme)
        assert await page.value("document.querySelector('.upload').dataset.phase") == "sending"
        await show(page, f"#/jobs/{job.job_id}")
        await page.until("!!document.getElementById('uploads')")
        assert await page.value(SERIOUS) == [], "upload, on another page"
        await click(page, "#delete")
        await page.until("!!document.querySelector('dialog[open]')")
        for theme in ("light", "dark"):
            await page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
            assert await page.value(SERIOUS) == [], ("delete", theme)
