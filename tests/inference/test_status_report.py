"""What a worker reports of itself."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import pytest
from tests.descriptors import few_descriptors

from cryomamba.testing import wait_until_async
from cryomamba_inference import status_report
from cryomamba_inference.limits import resident_nbytes
from cryomamba_inference.status_report import StatusReport


class Requester:
    """Counts reports in place of the broker."""

    def __init__(self) -> None:
        self.reports: list[Any] = []

    async def request(self, _type: str, body: Any, *, timeout: float) -> None:  # noqa: ASYNC109, ARG002
        self.reports.append(body)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on descriptors")
async def test_a_worker_without_descriptors_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports that cannot be measured are left out, and come again once there is a descriptor."""
    monkeypatch.setattr(status_report, "INTERVAL_S", 0.01)
    report, requester, tries = StatusReport("w"), Requester(), 0
    measure = report.measure

    async def counted() -> Any:
        nonlocal tries
        tries += 1
        return await measure()

    async def tried(count: int) -> bool:
        return tries >= count or reporting.done()

    async def reported() -> bool:
        return bool(requester.reports) or reporting.done()

    monkeypatch.setattr(report, "measure", counted)
    reporting = asyncio.create_task(report.send_repeatedly(requester))  # type: ignore[arg-type]
    await wait_until_async(lambda: tried(1), what="a thread that measures")
    with few_descriptors():
        requester.reports.clear()
        before = tries
        assert resident_nbytes(os.getpid()) == 0
        await wait_until_async(lambda: tried(before + 3), what="tries without descriptors")
    await wait_until_async(reported, what="a report")
    assert not reporting.done()
    assert requester.reports[-1].memory_bytes > 0
    reporting.cancel()
