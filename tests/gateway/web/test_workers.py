"""The workers on the page of the server: an administrator drains, resumes and removes one, others only look."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.gateway.chromium import tab
from tests.gateway.web.page_actions import AXE, SERIOUS, click

if TYPE_CHECKING:
    from tests.gateway.conftest import Services

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.browser]


async def test_an_administrator_drains_resumes_and_removes_a_worker(idle_services: Services, tmp_path: Path) -> None:
    """The page shows what the worker does, asks before it is removed, and the server refuses it from then on."""
    services = idle_services
    await services.start_broker()
    url = await services.start_gateway()
    worker = await services.start_worker()
    states = services.broker.core.workers.states
    async with tab(f"{url}/#/server", tmp_path / "profile") as page:
        await page.until("document.querySelector('#workers .state')?.textContent === 'Free'")
        if AXE.exists():
            await page.value(f"{AXE.read_text(encoding='utf-8')}; 0")
            assert await page.value(SERIOUS) == []
        await click(page, "#workers [aria-label^='Drain']")
        await page.until("document.querySelector('#workers .state').textContent === 'Drained'")
        await page.until("document.getElementById('server-summary').textContent.includes('All workers are drained')")
        assert states.is_drained(worker.name)
        await click(page, "#workers [aria-label^='Resume']")
        await page.until("document.querySelector('#workers .state').textContent === 'Free'")
        assert not states.is_drained(worker.name)
        await click(page, "#workers [aria-label^='Remove']")
        await page.until("document.querySelector('#workers dialog').open")
        await click(page, "#workers .confirm-remove")
        await page.until("document.querySelectorAll('#workers li').length === 0")
        assert states.is_drained(worker.name)
    assert len(services.broker.core.workers) == 0
