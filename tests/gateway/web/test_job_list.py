"""The list of jobs in a browser: searching it, filtering it, and how it stays up to date."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.gateway.chromium import tab
from tests.gateway.web.page_actions import click, enter
from websockets.asyncio.client import connect

from cryomamba.errors import ErrorCode
from cryomamba.models.jobs import JobError
from cryomamba_server.tokens import Scope, TokenStore

if TYPE_CHECKING:
    from tests.gateway.conftest import Services

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.browser]


async def test_two_hundred_jobs_are_listed_searched_and_returned_to(idle_services: Services, tmp_path: Path) -> None:
    """Only rows near the window are drawn, all can be reached and found, and the list opens at the job chosen last."""
    services = idle_services
    await services.start_broker()
    await services.start_worker()
    url = await services.start_gateway()
    ids = [(await services.submit(volume={"shape": [8, 8, 8]}, name=f"sample{n:03}")).job_id for n in range(200)]
    await services.http.delete(f"/v1/jobs/{ids[7]}")
    async with tab(url, tmp_path / "profile") as page:
        await page.until("document.querySelectorAll('#jobs li').length > 5")
        assert await page.value("document.querySelectorAll('#jobs li').length") < 60
        # The end is at the bottom, once the older jobs are loaded, too.
        await page.until(
            "scrollTo(0, document.body.scrollHeight), document.querySelector('#jobs li:last-child a')"
            ".textContent === 'sample000'"
        )
        assert await page.value("document.querySelector('#jobs li:last-child').ariaPosInSet") == "200"
        assert await page.text(".filters .summary") == "200 jobs"

        await click(page, f"[data-job='{ids[3]}'] a")
        await page.until("document.getElementById('job-name')?.textContent === 'sample003'")
        assert await page.value("location.hash") == f"#/jobs/{ids[3]}"
        await click(page, ".neighbours a")
        row = f"document.querySelector('[data-job=\"{ids[3]}\"]')"
        await page.until(
            f"{row}?.getBoundingClientRect().bottom <= innerHeight && {row}.contains(document.activeElement)"
        )

        await enter(page, "#search", "SAMPLE01")
        await page.until("document.querySelectorAll('#jobs li').length === 10")
        await enter(page, "#search", "")
        await enter(page, "#filter-state", "cancelled")
        await page.until("document.querySelectorAll('#jobs li').length === 1")
        assert await page.text("#jobs a") == "sample007"
        assert await page.value("location.hash") == "#/jobs?state=cancelled"
        await click(page, ".filters .summary button")
        await page.until("document.querySelectorAll('#jobs li').length > 5")


async def test_a_filter_is_asked_of_the_gateway(idle_services: Services, tmp_path: Path) -> None:
    """An address shows old jobs without those between; jobs come and go with their state; pages follow in order."""
    services = idle_services
    await services.start_broker()
    worker = await services.start_worker()
    url = await services.start_gateway()
    ids = [(await services.submit(volume={"shape": [8, 8, 8]}, name=f"sample{n:03}")).job_id for n in range(430)]
    await services.http.delete(f"/v1/jobs/{ids[3]}")
    asked = (
        "performance.getEntriesByType('resource').map(({name}) => decodeURIComponent(name.split('/v1/jobs?')[1] ?? ''))"
        ".filter(Boolean)"
    )
    names = "[...document.querySelectorAll('#jobs a')].map(({textContent}) => textContent).join()"
    async with tab(f"{url}/#/jobs?state=cancelled&search=Sample&period=day", tmp_path / "profile") as page:
        await page.until(f"{names} === 'sample003'")
        assert await page.value("document.getElementById('search').value") == "Sample"
        filtered = [query for query in await page.value(asked) if "search" in query]
        assert len(filtered) == 1
        assert filtered[0].startswith("search=Sample&state=cancelled&created_after=2")
        assert not [query for query in await page.value(asked) if "cursor" in query]

        await enter(page, "#search", "")
        await enter(page, "#filter-period", "any")
        await enter(page, "#filter-state", "running")
        await page.until("document.querySelector('.jobs').textContent.includes('No job matches.')")
        job = await worker.claim()
        await page.until(f"{names} === 'sample000'")
        await worker.progress(job, 0.5)
        await page.until("document.querySelector('#jobs').textContent.includes('50 %')")
        await worker.fail(job, JobError(code=ErrorCode.INTERNAL, message="It broke."))
        await page.until(f"{names} === ''")

        await enter(page, "#filter-state", "pending")
        last = "document.querySelector('#jobs li:last-child')"
        await page.until(f"scrollTo(0, document.body.scrollHeight), {last}?.textContent.includes('sample001')")
        assert await page.value(f"{last}.ariaPosInSet") == "428"
        assert await page.text(".filters .summary") == "428 jobsShow all"
        assert len([query for query in await page.value(asked) if "state=pending&limit=200&cursor=" in query]) >= 2

        # Days stay in the address; a name may come with one.
        await enter(page, "#filter-period", "dates")
        await enter(page, "#filter-to", "2020-01-31")
        await page.until("document.querySelector('.jobs').textContent.includes('No job matches.')")
        assert await page.value("location.hash") == "#/jobs?state=pending&to=2020-01-31"
        await page.value("location.hash = '#/jobs?name=sample007'")
        await page.until(f"{names} === 'sample007'")
        assert "named “sample007”" in await page.text(".filters .summary")


async def test_a_tab_beyond_the_limit_is_told_why(idle_services: Services, tmp_path: Path) -> None:
    """The 33rd tab of a token lists the jobs, says why it gets no updates, and gets them once another is closed."""
    services = idle_services
    token, _ = TokenStore(services.settings.keys).create("ada", [Scope.WRITE], days=1)
    await services.start_broker()
    await services.start_worker()
    url = await services.start_gateway()
    services.http.headers["Authorization"] = f"Bearer {token}"
    await services.submit(volume={"shape": [8, 8, 8]}, name="first")
    address, headers = f"{url.replace('http', 'ws', 1)}/v1/ws", {"Authorization": f"Bearer {token}"}
    limit = services.settings.sockets_per_token
    tabs = [await connect(address, additional_headers=headers, proxy=None) for _ in range(limit)]
    for one in tabs:
        # An answer shows that the connection is counted.
        await one.send('{"type": "ping"}')
        await one.recv()
    try:
        async with tab(url, tmp_path / "profile") as page:
            await page.until("!!document.getElementById('token')")
            await enter(page, "#token", token)
            await click(page, "#sign-in button")
            await page.until("document.getElementById('notice').textContent.includes('already has')")
            notice = await page.text("#notice")
            assert notice.startswith(
                f"This page gets no live updates: this token already has {limit} connections open."
            )
            assert "Close another tab" in notice
            await page.until("document.querySelector('#jobs a')?.textContent === 'first'")
            await tabs.pop().close()
            await page.until("document.getElementById('notice').textContent === ''")
    finally:
        for one in tabs:
            await one.close()
