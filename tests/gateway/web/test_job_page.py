"""The page about a job in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.gateway.chromium import tab
from tests.gateway.web.page_actions import STATISTICS, tomogram

if TYPE_CHECKING:
    from tests.gateway.conftest import Services

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.browser]


async def test_a_finished_job_is_described_in_full(idle_services: Services, tmp_path: Path) -> None:
    """Estimates are never cut off, a thickness is in ångström, each file has the name that it is saved under, and a
    long name without spaces does not widen the page.
    """
    services = idle_services
    await services.start_broker()
    worker = await services.start_worker()
    url = await services.start_gateway()
    job = await services.submit(volume={"path": str(tomogram(tmp_path))}, engine="demo", name="a" * 200)
    estimates = {"contrast": "dark", "tilt_range_deg": 60.4, "lower_threshold": 108}
    files = {"mask.mrc": b"x", "stats.json": STATISTICS}
    await worker.finish(await worker.claim(), files, estimates=estimates)
    async with tab(f"{url}/#/jobs/{job.job_id}", tmp_path / "profile") as page:
        for width in (360, 1280, 2560):
            await page.resize(width, 900)
            await page.until(f"innerWidth === {width} && document.querySelectorAll('.plot').length === 2")
            cut = "[...document.querySelectorAll('.facts dd, .facts dt')].filter((e) => e.scrollWidth > e.clientWidth)"
            assert await page.value(f"{cut}.length") == 0
            assert await page.value("document.documentElement.scrollWidth <= innerWidth"), width
            assert await page.value("document.getElementById('job-estimates').innerText.replaceAll('\\n', ' ')") == (
                "Contrast dark Tilt range ±60.4° Lower threshold 108"
            )
        assert "Mean thickness (Å)40 ± 3" in await page.text("#statistics")
        assert "Median 32 Å" in (await page.text("#results")).replace("\u00a0", " ")
        names = "[...document.querySelectorAll('#files code')].map(({textContent}) => textContent)"
        assert await page.value(names) == ["t1__demo.mrc", "t1__demo_stats.json"]


async def test_the_dashboard_is_linked_while_the_job_runs(idle_services: Services, tmp_path: Path) -> None:
    """A job on a Dask cluster has a link to the scheduler's dashboard, in a tab of its own, and only while it runs."""
    services = idle_services
    await services.start_broker()
    worker = await services.start_worker()
    url = await services.start_gateway()
    job = await services.submit(volume={"shape": [8, 8, 8]}, engine="demo")
    claimed = await worker.claim()
    await worker.progress(claimed, 0.3, dashboard_url="http://127.0.0.1:8787/status")
    async with tab(f"{url}/#/jobs/{job.job_id}", tmp_path / "profile") as page:
        await page.until("document.getElementById('job-dashboard') !== null")
        link = "(({href, target, rel, textContent}) => [href, target, rel, textContent])"
        assert await page.value(f"{link}(document.getElementById('job-dashboard'))") == [
            "http://127.0.0.1:8787/status",
            "_blank",
            "noopener noreferrer",
            "Dask dashboard",
        ]
        await worker.finish(claimed, {"mask.mrc": b"x", "stats.json": STATISTICS})
        await page.until("document.getElementById('job-dashboard') === null")
