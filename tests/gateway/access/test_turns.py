"""Requests without a token share the gateway's time, and a client with a token is served between them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cryomamba.testing import DEADLINE_S
from cryomamba_gateway.access.turns import TurnMiddleware, Turns
from cryomamba_server.tokens import Scope, TokenStore

if TYPE_CHECKING:
    from tests.gateway.access.conftest import SecuredServices

in_session = pytest.mark.asyncio(loop_scope="session")
PIPELINED = 1000


class PipeliningClient:
    """Sends many requests at once on one connection, and counts the responses."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.statuses: list[bytes] = []

    @classmethod
    async def connect(cls, url: str, stack: AsyncExitStack, path: str, *, headers: str = "") -> PipeliningClient:
        host, _, port = url.removeprefix("http://").partition(":")
        client = cls(*await asyncio.open_connection(host, int(port)))
        stack.callback(client._writer.close)
        client._writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode() * PIPELINED)
        return client

    async def read(self, count: int) -> None:
        """Read responses up to a number of them."""
        async with asyncio.timeout(DEADLINE_S):
            while len(self.statuses) < count:
                head = await self._reader.readuntil(b"\r\n\r\n")
                self.statuses.append(head.split(b" ")[1])
                lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                await self._reader.readexactly(int(lengths[0].partition(b":")[2]) if lengths else 0)


@in_session
@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/openapi.json", "", b"200"),
        ("/v1/readyz", "", b"200"),
        ("/v1/jobs", "", b"401"),
        ("/v1/jobs", "Authorization: Bearer x\r\n", b"401"),
    ],
    ids=["openapi", "readyz", "no token", "bad token"],
)
async def test_pipelined_requests_do_not_starve_others(
    secured: SecuredServices, path: str, headers: str, status: bytes
) -> None:
    """Beside several connections with a thousand requests each, one with a token is answered long before them."""
    async with AsyncExitStack() as stack:
        attackers = [
            await PipeliningClient.connect(secured.services.url, stack, path, headers=headers) for _ in range(4)
        ]
        for attacker in attackers:
            await attacker.read(2)
        for _ in range(3):
            assert (await secured.ada.get("/v1/jobs")).status_code == 200
        reading = [asyncio.create_task(attacker.read(PIPELINED)) for attacker in attackers]
        assert (await secured.ada.get("/v1/jobs")).status_code == 200
        for task in reading:
            assert not task.done()
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        # They take turns: none is far ahead of another.
        counts = [len(attacker.statuses) for attacker in attackers]
        assert max(counts) < PIPELINED
        assert {found for attacker in attackers for found in attacker.statuses} == {status}


async def test_turns_are_passed_on_in_order_and_others_run_between() -> None:
    """One at a time, first come first served; after each, tasks that need no turn are served."""
    turns, served = Turns(), list[str]()

    async def without_token(number: int) -> None:
        async with turns.turn(None) as granted:
            assert granted
            served.append(f"turn {number}")

    async def with_token() -> None:
        while served.count("other") < 3:
            await asyncio.sleep(0)
            served.append("other")

    await asyncio.gather(*(without_token(number) for number in range(3)), with_token())
    assert [one for one in served if one != "other"] == ["turn 0", "turn 1", "turn 2"]
    assert served.index("other") < served.index("turn 2")


async def test_a_turn_that_waits_for_something_else_is_passed_on() -> None:
    """A request that waits for the broker does not keep the others waiting, nor does one that fails."""
    turns, answered = Turns(), asyncio.Event()

    async def slow() -> None:
        async with turns.turn(None):
            await answered.wait()
        raise ValueError("it fails")

    waiting = asyncio.create_task(slow())
    await asyncio.sleep(0)
    for _ in range(3):
        async with asyncio.timeout(DEADLINE_S), turns.turn(None) as granted:
            assert granted
    answered.set()
    with pytest.raises(ValueError, match="it fails"):
        await waiting
    async with asyncio.timeout(DEADLINE_S), turns.turn(None) as granted:
        assert granted


async def test_a_turn_is_not_lost_with_a_request_that_is_cancelled() -> None:
    """Neither while it waits nor at the moment when its turn has come."""
    turns = Turns()

    async def request() -> None:
        async with turns.turn(None):
            pass

    async with turns.turn(None):
        waiting = [asyncio.create_task(request()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        # The second is cancelled in the same turn of the loop in which it is granted.
        turns._pass_on()
        waiting[1].cancel()
    await asyncio.wait(waiting, timeout=DEADLINE_S)
    assert [task.cancelled() for task in waiting] == [True, True, False]
    async with asyncio.timeout(DEADLINE_S):
        await request()


@in_session
async def test_closed_connections_leave_the_queue(secured: SecuredServices) -> None:
    """Whoever does not wait for the answer gives the place up; those that stay are answered."""
    async with AsyncExitStack() as stack:
        patient = await PipeliningClient.connect(secured.services.url, stack, "/")
        async with AsyncExitStack() as gone:
            for _ in range(50):
                await PipeliningClient.connect(secured.services.url, gone, "/openapi.json")
        await patient.read(200)
        assert set(patient.statuses) == {b"200"}


@pytest.mark.parametrize("type_", ["http", "websocket"])
@pytest.mark.parametrize("with_token", [False, True])
async def test_only_requests_with_a_token_pass_by(tmp_path: Path, type_: str, *, with_token: bool) -> None:
    """While another has the turn, one without a token waits, be it for a WebSocket or not."""
    tokens = TokenStore(tmp_path)
    token, _ = tokens.create("ada", (Scope.READ,), days=1)
    served = asyncio.Event()

    async def app(_scope: object, _receive: object, _send: object) -> None:
        served.set()

    turns = Turns()
    middleware = TurnMiddleware(app, turns=turns, tokens=tokens)
    headers = [(b"authorization", f"Bearer {token}".encode())] if with_token else []
    scope = {"type": type_, "path": "/v1/ws", "headers": headers}
    async with turns.turn(None):
        request = asyncio.create_task(middleware(scope, _nothing, _nothing))
        for _ in range(10):
            await asyncio.sleep(0)
        assert served.is_set() is with_token
    async with asyncio.timeout(DEADLINE_S):
        await request
    assert served.is_set()


async def _nothing(*_arguments: object) -> Any:
    raise AssertionError
