"""10,000 queued jobs, 10,000 idle peers with keys, 100,000 topics and 10,000 idle connections: what they take.

The bus has keys and the gateway tokens. The jobs belong to five people, who may have 20,000 topics each. Each peer
subscribes to the events of ten of its owner's jobs and then does nothing; the idle connections have no token and come
from sixty addresses. After each step, the memory and descriptors of broker and gateway are read, and a client with a
token asks for a page of the job list, a hundred times. ``JOBS``, ``PEERS``, ``TOPICS`` (of each peer) and
``CONNECTIONS`` are set in the environment.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import numpy as np
import psutil
import zmq
from benchmarks.load.worker import ENGINE, bus_endpoints
from benchmarks.unauthenticated import attacker

from cryomamba.access.keys import KeyFile
from cryomamba.access.roles import Role
from cryomamba.client.bus_requester import BusRequester, keep_alive
from cryomamba.client.bus_transport import BusTransport
from cryomamba.client.calls import submit_job
from cryomamba.engines.info import EngineInfo
from cryomamba.errors import UnavailableError
from cryomamba.models.jobs import SubmitRequest, VolumeSource
from cryomamba.testing import Stack, wait_until
from cryomamba.wire.requests import WorkerHello
from cryomamba.wire.topics import event_topic
from cryomamba_server.bus_keys import BusKeys
from cryomamba_server.tokens import Scope, TokenStore

JOBS = int(os.environ.get("JOBS", "10000"))
PEERS = int(os.environ.get("PEERS", "10000"))
TOPICS = int(os.environ.get("TOPICS", "10"))
CONNECTIONS = int(os.environ.get("CONNECTIONS", "10000"))
REQUESTS = 100
AT_ONCE = 64
OWNERS = 5
QUIET_CPU = 0.5
TIMEOUT_S = 1800.0


def peers(key_file: Path, endpoint: str, jobs_file: Path, count: int) -> None:
    """Connect so many peers, each subscribed to its topics, report, and wait until the process is ended."""
    key, jobs = KeyFile.read(key_file), jobs_file.read_text(encoding="utf-8").split()
    context = zmq.Context()
    context.set(zmq.MAX_SOCKETS, count + 8)
    opened = []
    for number in range(count):
        peer = context.socket(zmq.SUB)
        keep_alive(peer)
        key.secure(peer)
        for topic in range(TOPICS):
            peer.subscribe(event_topic(jobs[(number * TOPICS + topic) % len(jobs)]))
        peer.connect(endpoint)
        opened.append(peer)
        if len(opened) % 100 == 0:
            time.sleep(0.2)
    print("opened", flush=True)
    sys.stdin.read()


@contextmanager
def idle_peers(folder: Path, endpoint: str, broker: psutil.Process) -> Iterator[None]:
    """Hold all peers, in a process for each owner, once the broker has accepted them and is quiet."""
    before, count = broker.num_fds(), PEERS // OWNERS
    with ExitStack() as stack:
        for number in range(OWNERS):
            files = [str(folder / f"{number}.key"), endpoint, str(folder / f"{number}.txt")]
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "benchmarks.idle_peers", *files, str(count)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            process.stdout.readline()
        wait_until(lambda: broker.num_fds() >= before + PEERS, timeout=TIMEOUT_S, what="all peers to be connected")
        wait_until(lambda: is_quiet(broker), timeout=TIMEOUT_S, what="the broker to be quiet")
        yield


def is_quiet(process: psutil.Process) -> bool:
    """Whether a process uses less than half of a core during two seconds."""
    return process.cpu_percent(interval=2.0) < QUIET_CPU * 100


async def submit_jobs(stack: Stack, keys: list[KeyFile], worker_key: KeyFile) -> list[list[str]]:
    """Queue all jobs, and return the ids of each owner's."""
    endpoints = bus_endpoints(stack)
    worker = BusRequester(endpoints.jobs, src="w", key=worker_key)
    info = EngineInfo(name=ENGINE, summary="Never starts", parameters={"type": "object"}, needs_volume=False)
    await worker.request("worker.hello", WorkerHello(worker="w", host="here", pid=1, version="0", engines=(info,)))
    await worker.close()
    places = asyncio.Semaphore(AT_ONCE)

    async def submit(transport: BusTransport) -> str:
        async with places:
            key = str(uuid.uuid4())
            request = SubmitRequest(volume=VolumeSource(shape=(64, 64, 64)), engine=ENGINE, client_key=key)
            while True:
                with suppress(UnavailableError):
                    return (await transport.call(submit_job(request))).job_id

    found = []
    for key in keys:
        transport = BusTransport(endpoints.jobs, endpoints=endpoints, key=key)
        found.append(await asyncio.gather(*(submit(transport) for _ in range(JOBS // OWNERS))))
        await transport.close()
    return found


def report(stack: Stack, token: str, label: str) -> None:
    """Print memory and descriptors of both services, and how long requests with a token take."""
    times, answered = [], 0
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=stack.http_url, headers=headers, trust_env=False, timeout=60) as client:
        for _ in range(REQUESTS):
            started = time.perf_counter()
            answered += client.get("/v1/jobs", params={"limit": 20}).is_success
            times.append(1e3 * (time.perf_counter() - started))
    cells = ""
    for service in ("broker", "gateway"):
        process = psutil.Process(stack.processes[service].pid)
        cells += f"{process.memory_info().rss / 1e6:>12.0f}{process.num_fds():>8}"
    print(f"{label:<44}{cells}{answered:>10}{np.median(times):>10.0f}{np.percentile(times, 99):>9.0f}", flush=True)


def main() -> None:
    if len(sys.argv) == 5:
        key_file, endpoint, jobs_file, count = sys.argv[1:]
        peers(Path(key_file), endpoint, Path(jobs_file), int(count))
        return
    with tempfile.TemporaryDirectory(prefix="cryomamba-idle-peers-") as name:
        folder = Path(name)
        home = folder / "home"
        token, _ = TokenStore(home / "keys").create("ada", (Scope.READ,), days=1)
        keys = BusKeys(home / "keys")
        keys.init()
        made = [
            keys.add(f"key{number}", Role.CLIENT, file=folder / f"{number}.key", owner=owner)
            for number, owner in enumerate(("ada", "bob", "cleo", "dan", "eve"))
        ]
        worker = keys.add("spare", Role.WORKER, file=folder / "spare.key")
        with Stack(home, env={"CRYOMAMBA_REQUESTS_PER_MINUTE": "100000"}) as stack:
            stack.start("broker", "gateway")
            wait_until((home / "gateway.json").exists, timeout=TIMEOUT_S, what="the gateway")
            services = "".join(f"{name + ' MB':>12}{'fds':>8}" for name in ("broker", "gateway"))
            print(f"{'':<44}{services}{'answered':>10}{'median ms':>10}{'99 % ms':>9}")
            report(stack, token, "at rest")
            jobs = asyncio.run(submit_jobs(stack, made, worker))
            report(stack, token, f"{JOBS} queued jobs")
            for number, ids in enumerate(jobs):
                (folder / f"{number}.txt").write_text(" ".join(ids), encoding="utf-8")
            broker = psutil.Process(stack.processes["broker"].pid)
            with idle_peers(folder, bus_endpoints(stack).events, broker):
                report(stack, token, f"and {PEERS} idle peers, {PEERS * TOPICS} topics")
                os.environ["CONNECTIONS"] = str(CONNECTIONS)
                with attacker(stack.http_url):
                    report(stack, token, f"and {CONNECTIONS} connections without a token")
            report(stack, token, "while all of them leave")
            wait_until(lambda: is_quiet(broker), timeout=TIMEOUT_S, what="the broker to be quiet")
            report(stack, token, "when all have gone")


if __name__ == "__main__":
    main()
