"""Whether jobs of the broker of a data directory need a model."""

from __future__ import annotations

from cryomamba.access.keys import key_for
from cryomamba.access.roles import Role
from cryomamba.client import AsyncClient
from cryomamba.client.bus_transport import BusTransport
from cryomamba.endpoints import ConnectionFile
from cryomamba.errors import ConflictError
from cryomamba.models.jobs import JobState
from cryomamba.settings import Settings


async def require_unused(settings: Settings, model: str) -> None:
    """Check that no job that has not ended needs a model.

    Raises
    ------
    ConflictError
        One does.
    UnavailableError
        No broker runs with this data directory: only it knows the jobs.
    """
    endpoints = ConnectionFile.read(settings.connection_file).endpoints
    transport = BusTransport(endpoints.jobs, endpoints=endpoints, key=key_for(settings, Role.ADMIN))
    async with AsyncClient(transport) as client:
        jobs = await client.jobs(state=(JobState.PENDING, JobState.RUNNING), model=model, limit=1)
    if jobs:
        raise ConflictError(
            f"The model '{model}' is needed by a job that has not ended: {jobs[0].job_id}.",
            hint="Cancel it, or wait until it has ended.",
        )
