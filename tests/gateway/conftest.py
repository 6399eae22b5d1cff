"""A real broker, a real gateway on a socket, and a worker that uses the bus but computes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
import pytest_asyncio
import zmq.asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from cryomamba.client.bus_requester import BusRequester
from cryomamba.endpoints import BusEndpoints
from cryomamba.engines.info import EngineInfo
from cryomamba.errors import ErrorCode
from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import Artifact, JobError, JobRecord, Progress
from cryomamba.settings import Settings
from cryomamba.testing import DEADLINE_S
from cryomamba.wire.buffers import Codec
from cryomamba.wire.envelope import encode
from cryomamba.wire.messages import PREVIEW, PROGRESS
from cryomamba.wire.preview import encode_frame
from cryomamba.wire.requests import Claim, Claimed, Fail, Finish, ProgressReport, WorkerHello
from cryomamba.wire.topics import preview_topic
from cryomamba.wire.webframe import SUBPROTOCOL
from cryomamba_broker.delivery_policy import DeliveryPolicy
from cryomamba_broker.server import Broker
from cryomamba_gateway.server import serve
from cryomamba_server.signing import UrlSigner

Mask = npt.NDArray[np.uint8]
ANY_PORT = "tcp://127.0.0.1:0"
ENGINES = (
    EngineInfo(
        name="demo",
        summary="Computes nothing",
        parameters={
            "type": "object",
            "properties": {"seconds": {"type": "number", "minimum": 0}},
            "additionalProperties": False,
        },
        needs_volume=False,
        default=True,
    ),
)


class Worker:
    """Claims jobs, publishes frames and finishes, as an inference service does."""

    def __init__(self, endpoints: BusEndpoints, artifacts: Path) -> None:
        self.name = f"worker-{uuid.uuid4().hex[:8]}"
        self.channel = BusRequester(endpoints.jobs, src=self.name)
        self.artifacts = artifacts
        self._context = zmq.asyncio.Context()
        self._frames = self._context.socket(zmq.XPUB)
        self._frames.setsockopt(zmq.LINGER, 0)
        self._frames.connect(endpoints.preview_in)

    async def start(self) -> None:
        hello = WorkerHello(worker=self.name, host="here", pid=1, version="0", engines=ENGINES)
        await self.channel.request("worker.hello", hello)
        # The broker's own subscription: from here on no frame is lost.
        await self._frames.recv()

    async def claim(self) -> JobRecord:
        """Take the next job."""
        reply = await self.channel.request("job.claim", Claim(worker=self.name, engines=("demo",)), timeout=DEADLINE_S)
        record = Claimed.model_validate(reply.body).job
        assert record is not None
        return record

    async def publish(
        self,
        job: JobRecord,
        mask: npt.NDArray[np.uint8],
        *,
        final: bool = False,
        codec: Codec = "deflate",
        scale: tuple[int, int, int] = (2, 2, 2),
    ) -> PreviewFrame:
        """Publish a frame and return it."""
        z, y, x = (size * factor for size, factor in zip(mask.shape, scale, strict=True))
        frame = PreviewFrame(
            job_id=job.job_id,
            mask=mask,
            scale=scale,
            volume_shape=(z, y, x),
            voxel_size_A=(10.0, 10.0, 10.0),
            progress=1.0 if final else 0.5,
            engine="demo",
            labels={1: "ball"},
            attempt=job.attempt,
            final=final,
        )
        body, spec, part = encode_frame(frame, codec=codec)
        topic = preview_topic(job.job_id)
        envelope = self.channel.envelopes.envelope(
            PREVIEW, body, ts=time.time(), topic=topic, job=job.job_id, attempt=job.attempt, buffers=(spec,)
        )
        await self._frames.send_multipart([topic, encode(envelope), part])
        return frame

    async def progress(self, job: JobRecord, fraction: float, **more: Any) -> None:
        far = Progress(fraction=fraction, done_tiles=1, total_tiles=2, stage="tiles", **more)
        await self.channel.request(
            PROGRESS, ProgressReport(job=job.job_id, worker=self.name, attempt=job.attempt, progress=far)
        )

    async def finish(self, job: JobRecord, files: Mapping[str, bytes], **found: Any) -> None:
        """Write the files and report the job as finished, with what was `found`: warnings and estimates."""
        folder = self.artifacts / job.job_id
        folder.mkdir(parents=True, exist_ok=True)
        artifacts = []
        for name, content in files.items():
            (folder / name).write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            artifacts.append(Artifact(name=name, size_bytes=len(content), sha256=digest))
        request = Finish(job=job.job_id, worker=self.name, attempt=job.attempt, artifacts=tuple(artifacts), **found)
        await self.channel.request("job.finish", request)

    async def fail(self, job: JobRecord, error: JobError) -> None:
        await self.channel.request("job.fail", Fail(job=job.job_id, worker=self.name, attempt=job.attempt, error=error))

    async def close(self) -> None:
        self._frames.close()
        self._context.term()
        await self.channel.close()


class WebSocketClient:
    """A WebSocket client that waits for expected messages."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.subprotocol = connection.subprotocol

    async def send(self, sent: str | bytes | dict[str, Any]) -> None:
        await self._connection.send(json.dumps(sent) if isinstance(sent, dict) else sent)

    async def read_until(self, expected: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Read JSON messages up to the first that fulfils a condition, and return them all."""
        found: list[dict[str, Any]] = []
        async with asyncio.timeout(DEADLINE_S):
            while not found or not expected(found[-1]):
                raw = await self._connection.recv()
                assert isinstance(raw, str)
                found.append(json.loads(raw))
        return found

    async def read_type(self, type_: str) -> dict[str, Any]:
        """Read JSON messages up to the first of a type and return it."""
        return (await self.read_until(lambda message: message["type"] == type_))[-1]

    async def read_preview(self, seq: int) -> dict[str, Any]:
        """Read JSON messages up to the preview of a number."""
        return (await self.read_until(lambda m: (m["type"], m["seq"]) == ("preview", seq)))[-1]

    async def read_frame(self) -> bytes:
        """Read up to the first binary frame."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                raw = await self._connection.recv()
                if isinstance(raw, bytes):
                    return raw

    async def read_all(self) -> list[str | bytes]:
        """Read all messages to the end."""
        found: list[str | bytes] = []
        async with asyncio.timeout(DEADLINE_S):
            with contextlib.suppress(ConnectionClosed):
                while True:
                    found.append(await self._connection.recv())
        return found

    async def closed(self) -> int | None:
        """Read to the end and return the close code."""
        async with asyncio.timeout(DEADLINE_S):
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await self._connection.recv()
            await self._connection.wait_closed()
        return self._connection.close_code


class Services:
    """Broker, gateway and worker of one test."""

    def __init__(self, home: Path, stack: AsyncExitStack) -> None:
        self.settings = Settings(
            home=home,
            gateway_port=0,
            # The workers here report only at their start, and one that is silent for two leases is no longer listed.
            lease_s=3600,
            roots=(home.parent,),
            bus_jobs=ANY_PORT,
            bus_preview_in=ANY_PORT,
            bus_preview_out=ANY_PORT,
            bus_events=ANY_PORT,
        )
        self.delivery_policy: DeliveryPolicy | None = None
        self._stack = stack
        self._broker: Broker | None = None
        self.url = ""
        self.http: httpx.AsyncClient

    @property
    def broker(self) -> Broker:
        assert self._broker is not None
        return self._broker

    async def start_broker(self) -> Broker:
        self._broker = Broker(self.settings, delivery_policy=self.delivery_policy)
        return await self._broker.__aenter__()

    async def stop_broker(self) -> None:
        if self._broker is not None:
            await self._broker.__aexit__(None, None, None)
            self._broker = None

    async def start_gateway(self, **changes: Any) -> str:
        settings = self.settings.model_copy(update=changes)
        self.url = await self._stack.enter_async_context(running_gateway(settings))
        self.http = await self._stack.enter_async_context(
            httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=DEADLINE_S)
        )
        return self.url

    def running(self, settings: Settings) -> AbstractAsyncContextManager[str]:
        """Run another gateway."""
        return running_gateway(settings)

    def signer(self) -> UrlSigner:
        """Sign links as the gateway does."""
        return UrlSigner(self.settings.keys)

    def other_gateway(self, home: Path) -> AbstractAsyncContextManager[str]:
        """Run another gateway without access to the broker's disk."""
        ends = {f"bus_{name}": endpoint for name, endpoint in self.broker.endpoints.model_dump().items()}
        return running_gateway(Settings(home=home, gateway_port=0, **ends))

    async def start_worker(self) -> Worker:
        worker = Worker(self.broker.endpoints, self.settings.artifacts)
        self._stack.push_async_callback(worker.close)
        await worker.start()
        return worker

    async def submit(self, **body: Any) -> JobRecord:
        reply = await self.http.post("/v1/jobs", json=body or {"volume": {"shape": [8, 8, 8]}})
        assert reply.status_code == 201, reply.text
        return JobRecord.model_validate_json(reply.content)

    @asynccontextmanager
    async def socket(self, path: str, *, binary: bool = False, **more: Any) -> AsyncIterator[WebSocketClient]:
        subprotocols = [Subprotocol(SUBPROTOCOL)] if binary else None
        address = self.url.replace("http", "ws", 1) + path
        async with connect(address, subprotocols=subprotocols, max_size=2**24, proxy=None, **more) as connection:
            yield WebSocketClient(connection)


@asynccontextmanager
async def running_gateway(settings: Settings) -> AsyncIterator[str]:
    """Run a gateway in this event loop and yield its URL."""
    stop = asyncio.Event()
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(settings, stop, ready=ready))
    waited: set[asyncio.Future[Any]] = {task, ready}
    await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    try:
        yield ready.result()
    finally:
        stop.set()
        await task


@pytest_asyncio.fixture(loop_scope="session")
async def idle_services(tmp_path: Path) -> AsyncIterator[Services]:
    """Services of the test's own; none is started yet."""
    async with AsyncExitStack() as stack:
        services = Services(tmp_path / "home", stack)
        stack.push_async_callback(services.stop_broker)
        yield services


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def _shared_services(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Services]:
    async with AsyncExitStack() as stack:
        services = Services(tmp_path_factory.mktemp("shared") / "home", stack)
        stack.push_async_callback(services.stop_broker)
        await services.start_broker()
        await services.start_gateway()
        yield services


@pytest_asyncio.fixture(loop_scope="session")
async def services(_shared_services: Services) -> AsyncIterator[Services]:
    """Broker and gateway, shared by the tests; at the start of a test no job is pending or running."""
    yield _shared_services
    for state in ("pending", "running"):
        for job in (await _shared_services.http.get("/v1/jobs", params={"state": state, "limit": 500})).json()["jobs"]:
            await _shared_services.http.delete(f"/v1/jobs/{job['job_id']}")


@pytest_asyncio.fixture(loop_scope="session")
async def worker(services: Services) -> AsyncIterator[Worker]:
    """A worker that waits for jobs."""
    worker = Worker(services.broker.endpoints, services.settings.artifacts)
    await worker.start()
    yield worker
    for job in (await services.http.get("/v1/jobs", params={"state": "running"})).json()["jobs"]:
        error = JobError(code=ErrorCode.CANCELLED, message="The test has ended.")
        await worker.fail(JobRecord.model_validate(job), error)
    await worker.close()


@pytest.fixture
def ball() -> npt.NDArray[np.uint8]:
    """A small mask with two labels."""
    z, y, x = np.ogrid[-1:1:8j, -1:1:10j, -1:1:12j]
    return np.where(z**2 + y**2 + x**2 < 0.5, np.where(z < 0, 1, 2), 0).astype(np.uint8)


@pytest.fixture(scope="session")
def services_class() -> type[Services]:
    """To make services with other settings."""
    return Services
