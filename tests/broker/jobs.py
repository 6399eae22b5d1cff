"""Submitting and claiming jobs, as clients and workers do over the jobs socket."""

from __future__ import annotations

from typing import Any, Final

from cryomamba.client.bus_requester import BusRequester
from cryomamba.models.jobs import JobRecord
from cryomamba.wire.requests import Claimed

DEMO_JOB: Final[dict[str, Any]] = {"volume": {"shape": [8, 8, 8]}, "engine": "demo"}


async def submit_job(client: BusRequester, **fields: Any) -> JobRecord:
    """Submit a job that engine 'demo' can run, with some fields changed."""
    return JobRecord.model_validate((await client.request("job.submit", {**DEMO_JOB, **fields})).body)


async def claim_job(worker: BusRequester, **fields: Any) -> Claimed:
    """Claim a job for worker 'w', with some fields changed."""
    body = {"worker": "w", "engines": ["demo", "threshold"], **fields}
    return Claimed.model_validate((await worker.request("job.claim", body)).body)
