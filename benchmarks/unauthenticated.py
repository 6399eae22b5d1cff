"""6,000 unauthenticated connections, or thousands of requests without a token, beside a client with a token.

An attacker on this machine opens connections from 60 loopback addresses and begins a request on each without completing
it, as fast as it can, and another as soon as the gateway closes one. Meanwhile a client with a token opens a new
connection for each of its requests. Each request should take less than half a second.

Another attacker sends a thousand requests at once (47 kB) on each of 1 and of 16 connections, for the longest answer
that needs no token, again and again. Beside it the client's requests, on a connection that it keeps, should take no
more than twice their time at rest, which is measured in turns with it.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np

from cryomamba.testing import Stack, wait_until
from cryomamba_server.tokens import Scope, TokenStore

CONNECTIONS = int(os.environ.get("CONNECTIONS", "6000"))
ADDRESSES = 60
REQUESTS = int(os.environ.get("REQUESTS", "200"))
TARGET_MS = 500
PIPELINED = (1, 16)
ROUNDS = 4
WHOLE_REQUESTS = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000
PARTIAL_REQUEST = b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nX-Slow: "


async def attack(host: str, port: int) -> None:
    """Open all connections, report, and replace each that is closed, until the process is ended."""
    opened = 0

    async def hold(number: int) -> None:
        nonlocal opened
        while True:
            try:
                source = f"127.0.1.{1 + number % ADDRESSES}"
                reader, writer = await asyncio.open_connection(host, port, local_addr=(source, 0))
                opened += 1
                if opened == CONNECTIONS:
                    print("opened", flush=True)
                writer.write(PARTIAL_REQUEST)
                await reader.read()
                writer.close()
            except OSError:
                await asyncio.sleep(0.01)

    await asyncio.gather(*(hold(number) for number in range(CONNECTIONS)))


async def attack_pipelined(host: str, port: int, connections: int) -> None:
    """Keep a thousand requests under way on each connection, until the process is ended."""

    async def send() -> None:
        reader, writer = await asyncio.open_connection(host, port)
        reading = asyncio.create_task(_discard(reader))
        print("opened", flush=True)
        while not reading.done():
            writer.write(WHOLE_REQUESTS)
            await writer.drain()

    await asyncio.gather(*(send() for _ in range(connections)))


async def _discard(reader: asyncio.StreamReader) -> None:
    while await reader.read(2**20):
        pass


@contextmanager
def attacker(url: str, pipelined: int = 0) -> Iterator[None]:
    """Run the attack in a process of its own, from the moment that all connections have been opened."""
    command = [sys.executable, "-m", "benchmarks.unauthenticated", url, str(pipelined)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield
        finally:
            process.kill()


def latencies_ms(url: str, token: str) -> np.ndarray:
    """Measure requests of a client with a token, each on a new connection."""
    address, found = httpx.URL(url), []
    for _ in range(REQUESTS):
        started = time.perf_counter()
        connection = http.client.HTTPConnection(address.host, address.port, timeout=60)
        connection.request("GET", "/v1/jobs", headers={"Authorization": f"Bearer {token}"})
        reply = connection.getresponse()
        reply.read()
        connection.close()
        found.append(1e3 * (time.perf_counter() - started))
        assert reply.status == 200
    return np.array(found)


def kept_alive_ms(url: str, token: str) -> np.ndarray:
    """Measure requests of a client with a token on one connection."""
    found = []
    with httpx.Client(
        base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=60
    ) as client:
        client.get("/v1/jobs").raise_for_status()
        for _ in range(REQUESTS):
            started = time.perf_counter()
            client.get("/v1/jobs").raise_for_status()
            found.append(1e3 * (time.perf_counter() - started))
    return np.array(found)


def report(label: str, found: np.ndarray, *, rest: np.ndarray | None = None) -> None:
    median, p99 = np.percentile(found, (50, 99))
    ratio = "" if rest is None else f"   {median / np.median(rest):.1f} times its median at rest"
    print(f"{label:18} median {median:6.1f} ms   99 % {p99:6.0f} ms   slowest {found.max():6.0f} ms{ratio}")


def main() -> None:
    if len(sys.argv) == 3:
        address, pipelined = httpx.URL(sys.argv[1]), int(sys.argv[2])
        ends = address.host, address.port or 80
        asyncio.run(attack_pipelined(*ends, pipelined) if pipelined else attack(*ends))
        return
    with tempfile.TemporaryDirectory(prefix="cryomamba-unauthenticated-") as name:
        home = Path(name) / "home"
        token, _ = TokenStore(home / "keys").create("ada", (Scope.READ,), days=1)
        with Stack(home, env={"CRYOMAMBA_REQUESTS_PER_MINUTE": "100000"}) as stack:
            stack.start("broker", "gateway")
            wait_until((stack.home / "gateway.json").exists, timeout=60, what="the gateway")
            report("alone", latencies_ms(stack.http_url, token))
            with attacker(stack.http_url):
                report(f"{CONNECTIONS} attackers", latencies_ms(stack.http_url, token))
            rest = []
            loaded: dict[int, list[np.ndarray]] = {connections: [] for connections in PIPELINED}
            for _ in range(ROUNDS):
                for connections in PIPELINED:
                    rest.append(kept_alive_ms(stack.http_url, token))
                    with attacker(stack.http_url, connections):
                        loaded[connections].append(kept_alive_ms(stack.http_url, token))
            report("kept alive", np.concatenate(rest))
            for connections, found in loaded.items():
                report(f"{connections} x 1000 requests", np.concatenate(found), rest=np.concatenate(rest))
    print(f"target                            slowest {TARGET_MS:6.0f} ms")


if __name__ == "__main__":
    main()
