"""A locked gateway and tokens of all kinds."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import pytest_asyncio

from cryomamba_server.tokens import Scope, TokenStore

if TYPE_CHECKING:
    from tests.gateway.conftest import House


class Locked:
    """A house whose gateway wants tokens, with clients of several people.

    Attributes
    ----------
    ada, bob, guest, admin : httpx.AsyncClient
        Ada and Bob may write, the guest (with Ada's name) may only look, the administrator may do everything.
    """

    def __init__(self, house: House, tokens: TokenStore) -> None:
        self.house = house
        self.tokens = tokens
        self.ada: httpx.AsyncClient
        self.bob: httpx.AsyncClient
        self.guest: httpx.AsyncClient
        self.admin: httpx.AsyncClient

    def token(self, owner: str, *scopes: Scope, days: float = 1) -> str:
        return self.tokens.create(owner, scopes or (Scope.WRITE,), days=days)[0]

    def client(self, token: str | None) -> httpx.AsyncClient:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.AsyncClient(base_url=self.house.url, headers=headers, trust_env=False, timeout=20)


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def _locked(tmp_path_factory: pytest.TempPathFactory, house_class: type[House]) -> AsyncIterator[Locked]:
    async with AsyncExitStack() as stack:
        house = house_class(tmp_path_factory.mktemp("locked") / "home", stack)
        stack.push_async_callback(house.stop_broker)
        locked = Locked(house, TokenStore(house.settings.keys))
        tokens = {"ada": locked.token("ada"), "bob": locked.token("bob"), "guest": locked.token("ada", Scope.READ)}
        tokens["admin"] = locked.token("root", Scope.ADMIN)
        await house.start_broker()
        await house.start_worker()
        await house.start_gateway(requests_per_minute=100_000, sockets_per_token=3, gateway_hosts=("em.example.org",))
        for name, token in tokens.items():
            setattr(locked, name, await stack.enter_async_context(locked.client(token)))
        yield locked


@pytest_asyncio.fixture(loop_scope="session")
async def locked(_locked: Locked) -> Locked:
    """A locked house, shared by the tests."""
    return _locked


@pytest.fixture(scope="session")
def pem_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for this machine by its own word, and its key."""
    folder = tmp_path_factory.mktemp("pem")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(cert), "-days", "1", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return cert, key
