"""Reading finished files through the bus."""

from __future__ import annotations

import pytest
from tests.broker.jobs import submit_job

from cryomamba.client.bus_requester import BusRequester
from cryomamba.errors import NotFoundError
from cryomamba.settings import Settings


async def test_only_listed_artifacts_are_read(client: BusRequester, worker: BusRequester, settings: Settings) -> None:
    """A file that the record does not list cannot be read, whatever its name contains."""
    record = await submit_job(client)
    folder = settings.artifacts / record.job_id
    folder.mkdir(parents=True)
    (folder / "other").write_bytes(b"secret")
    for name in ("other", "../../jobs.sqlite", "/etc/hostname", "."):
        with pytest.raises(NotFoundError):
            await client.request("artifact.read", {"job": record.job_id, "name": name, "offset": 0, "length": 10})
