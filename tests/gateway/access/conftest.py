"""Services that require tokens, and tokens of all kinds."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import pytest_asyncio

from cryomamba.testing import DEADLINE_S
from cryomamba_server.tokens import Scope, TokenStore

if TYPE_CHECKING:
    from tests.gateway.conftest import Services


class SecuredServices:
    """Services whose gateway requires tokens, with clients of several people.

    Attributes
    ----------
    ada, bob, reader, admin : httpx.AsyncClient
        Ada and Bob may write, the reader (with Ada's name) may only read, the administrator may do everything.
    """

    def __init__(self, services: Services, tokens: TokenStore) -> None:
        self.services = services
        self.tokens = tokens
        self.ada: httpx.AsyncClient
        self.bob: httpx.AsyncClient
        self.reader: httpx.AsyncClient
        self.admin: httpx.AsyncClient

    def token(self, owner: str, *scopes: Scope, days: float = 1) -> str:
        return self.tokens.create(owner, scopes or (Scope.WRITE,), days=days)[0]

    def client(self, token: str | None) -> httpx.AsyncClient:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.AsyncClient(base_url=self.services.url, headers=headers, trust_env=False, timeout=DEADLINE_S)


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def _secured(
    tmp_path_factory: pytest.TempPathFactory, services_class: type[Services]
) -> AsyncIterator[SecuredServices]:
    async with AsyncExitStack() as stack:
        services = services_class(tmp_path_factory.mktemp("secured") / "home", stack)
        stack.push_async_callback(services.stop_broker)
        secured = SecuredServices(services, TokenStore(services.settings.keys))
        tokens = {"ada": secured.token("ada"), "bob": secured.token("bob"), "reader": secured.token("ada", Scope.READ)}
        tokens["admin"] = secured.token("root", Scope.ADMIN)
        await services.start_broker()
        await services.start_worker()
        await services.start_gateway(
            requests_per_minute=100_000, sockets_per_token=3, gateway_hosts=("em.example.org",)
        )
        for name, token in tokens.items():
            setattr(secured, name, await stack.enter_async_context(secured.client(token)))
        yield secured


@pytest_asyncio.fixture(loop_scope="session")
async def secured(_secured: SecuredServices) -> SecuredServices:
    """Services that require tokens, shared by the tests."""
    return _secured


@pytest.fixture(scope="session")
def pem_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for this machine, and its key."""
    folder = tmp_path_factory.mktemp("pem")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(cert), "-days", "1", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return cert, key
