"""A broker, a gateway and a worker that computes nothing, as in the gateway's own tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from tests.gateway.conftest import _shared_services, ball, idle_services, services, worker

from cryomamba.client import AsyncClient, aconnect

if TYPE_CHECKING:
    from tests.gateway.conftest import Services

__all__ = ["_shared_services", "ball", "client", "idle_services", "services", "worker"]


@pytest_asyncio.fixture(loop_scope="session", params=["http", "bus"])
async def client(request: pytest.FixtureRequest, services: Services) -> AsyncIterator[AsyncClient]:
    """The client over one transport and then the other."""
    async with await aconnect(services.url if request.param == "http" else services.broker.endpoints.jobs) as client:
        assert client.transport.name == request.param
        yield client
