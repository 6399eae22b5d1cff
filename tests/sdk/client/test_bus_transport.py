"""The transport directly to the broker: how it finds the sockets, and for whom it asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryomamba.access.visibility import Visibility
from cryomamba.client import calls
from cryomamba.client.bus_transport import BusTransport
from cryomamba.errors import InvalidRequestError, NotFoundError
from cryomamba.models.jobs import SubmitRequest, VolumeSource

if TYPE_CHECKING:
    from tests.gateway.conftest import Services, Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_broker_tells_where_it_publishes(services: Services) -> None:
    """The host is that of the address, for the broker knows where it is bound and not how it is reached."""
    port = services.broker.endpoints.jobs.rpartition(":")[2]
    transport = BusTransport(f"tcp://localhost:{port}")
    endpoints = (await transport.subscriber()).endpoints
    assert {endpoint.rpartition(":")[0] for endpoint in endpoints.model_dump().values()} == {"tcp://localhost"}
    await transport.close()


async def test_one_transport_serves_several_owners(services: Services, worker: Worker) -> None:
    """On the same sockets, and each sees its own jobs only."""
    transport = BusTransport(services.broker.endpoints.jobs)
    ada, bob = (transport.on_behalf_of(Visibility.of(name)) for name in ("ada", "bob"))
    request = SubmitRequest(volume=VolumeSource(shape=(8, 8, 8)), owner="ada")
    job = await ada.call(calls.submit_job(request))
    assert (await ada.record(job.job_id)).owner == "ada"
    with pytest.raises(NotFoundError):
        await bob.record(job.job_id)
    assert await ada.subscriber() is await bob.subscriber() is await transport.subscriber()
    await transport.close()


async def test_what_only_a_gateway_does_is_refused(services: Services) -> None:
    """With the way out."""
    transport = BusTransport(services.broker.endpoints.jobs)
    with pytest.raises(InvalidRequestError, match="gateway") as refused:
        await transport.call(calls.list_files())
    assert "http://" in refused.value.hint
    await transport.close()
