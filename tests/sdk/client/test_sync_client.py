"""The synchronous client: the same methods, blocking, from any thread and inside a running event loop."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cryomamba.client import AsyncClient, AsyncJob, Client, Job, connect
from cryomamba.errors import InvalidRequestError, UnavailableError
from cryomamba.models.events import StateEvent
from cryomamba.models.jobs import JobState

if TYPE_CHECKING:
    from tests.gateway.conftest import Mask, Services, Worker

SHAPE = (16, 20, 24)


def public(kind: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(kind) if not name.startswith("_")}


def test_both_clients_have_the_same_methods() -> None:
    """With the same parameters and documentation, so that a request is described once."""
    assert public(AsyncClient) - public(Client) == set()
    assert public(AsyncJob) - {"html", "show"} - public(Job) == set()
    for method in ("submit", "upload", "watch", "download", "jobs"):
        found, wanted = getattr(Client, method), getattr(AsyncClient, method)
        assert inspect.signature(found).parameters.keys() == inspect.signature(wanted).parameters.keys()
    assert Client.submit.__doc__ == AsyncClient.submit.__doc__


def test_addresses_are_checked_before_anything_runs() -> None:
    """No thread is left of a client that could not be made."""
    with pytest.raises(InvalidRequestError):
        connect("ftp://somewhere")


def test_a_server_that_is_away_is_an_error() -> None:
    """And closing twice is none."""
    client = connect("http://127.0.0.1:9")
    with pytest.raises(UnavailableError):
        client.info()
    client.close()
    client.close()


@pytest.fixture
def in_thread() -> Iterator[Callable[..., Any]]:
    """Run something in a thread and await it, as the server of these tests is in this event loop."""
    with ThreadPoolExecutor(1) as threads:

        async def run(work: Callable[..., Any], *args: Any) -> Any:
            return await asyncio.get_running_loop().run_in_executor(threads, work, *args)

        yield run


@pytest.mark.asyncio(loop_scope="session")
async def test_a_job_in_a_notebook(
    services: Services, worker: Worker, ball: Mask, in_thread: Callable[..., Any], tmp_path: Path
) -> None:
    """Each cell is a blocking call, although its thread has a running event loop; the job shows itself."""

    def cell(call: Callable[[], Any]) -> Any:
        async def running_loop() -> Any:
            return call()

        return asyncio.run(running_loop())

    def first() -> tuple[Client, Job]:
        client = cell(lambda: connect(services.url))
        return client, cell(lambda: client.submit(shape=SHAPE, name="mine"))

    client, job = await in_thread(first)
    assert isinstance(job, Job)
    assert "pending" in await in_thread(cell, job._repr_html_)
    claimed = await worker.claim()
    await worker.publish(claimed, ball, final=True)
    labels = [{"label": 1, "name": "ball", "voxels": 3}]
    await worker.finish(claimed, {"mask.mrc": b"mask", "stats.json": json.dumps({"labels": labels}).encode()})
    assert await in_thread(cell, job.wait) is job
    shown = await in_thread(cell, job._repr_html_)
    assert "completed" in shown
    assert "data:image/png" in shown
    assert await in_thread(cell, job.statistics) == labels
    assert (await in_thread(job.download, tmp_path)).read_bytes() == b"mask"
    states = [e.record.state for e in await in_thread(lambda: list(job.watch())) if isinstance(e, StateEvent)]
    assert states == [JobState.COMPLETED]
    assert [found.job_id for found in await in_thread(lambda: client.jobs(limit=1))] == [job.job_id]
    await in_thread(client.close)
    assert "completed" in await in_thread(job._repr_html_)
