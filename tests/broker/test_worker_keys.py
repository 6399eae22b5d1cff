"""An attempt belongs to the key that claimed it: another worker's key can neither report on it nor publish for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import zmq
from tests.broker.locked_bus import DEMO, LockedBus

from cryomamba.access.roles import Role
from cryomamba.client import calls
from cryomamba.client.bus_transport import BusTransport
from cryomamba.errors import CryoMambaError, ErrorCode, InvalidRequestError
from cryomamba.models.jobs import Artifact, JobState
from cryomamba.testing import wait_until_async
from cryomamba.wire.envelope import EnvelopeFactory
from cryomamba_broker.artifacts import accept_files
from cryomamba_broker.server import Broker
from cryomamba_server.attempt_files import attempt_folder

REPORTS: dict[str, dict[str, Any]] = {
    "job.renew": {},
    "job.progress": {"progress": {"fraction": 0.5}},
    "job.finish": {"artifacts": []},
    "job.fail": {"error": {"code": "engine_failed", "message": "No."}},
    "job.release": {},
}


async def refusal(caller: BusTransport, type_: str, body: dict[str, Any]) -> ErrorCode:
    with pytest.raises(CryoMambaError) as caught:
        await caller.requester.request(type_, body)
    return caught.value.code


async def test_another_workers_key_is_refused(bus: LockedBus) -> None:
    """Whatever name and attempt it states, also after it has ended, and a claim in the other's name takes nothing."""
    submitted = await bus.ada.call(calls.submit_job(DEMO))
    job = await bus.claimed()
    other = bus.transport(bus.key("other", Role.WORKER))
    attempt = {"job": job.job_id, "worker": "w", "attempt": job.attempt}
    for type_, fields in REPORTS.items():
        assert await refusal(other, type_, {**attempt, **fields}) is ErrorCode.FORBIDDEN, type_
    claim = {"worker": "w", "engines": ["demo"], "wait_s": 0}
    assert await refusal(other, "job.claim", claim) is ErrorCode.FORBIDDEN
    hello = {"worker": "w", "host": "h", "pid": 1, "version": "0", "engines": []}
    assert await refusal(other, "worker.hello", hello) is ErrorCode.FORBIDDEN
    record = await bus.ada.call(calls.get_job(submitted.job_id))
    assert (record.state, record.attempt, record.progress.fraction) == (JobState.RUNNING, 1, 0.0)
    await bus.worker.requester.request("job.finish", {**attempt, "artifacts": []})
    assert await refusal(other, "job.finish", {**attempt, "artifacts": []}) is ErrorCode.FORBIDDEN
    assert (await bus.ada.call(calls.get_job(submitted.job_id))).state is JobState.COMPLETED


async def test_the_key_is_remembered_across_restarts(bus: LockedBus) -> None:
    """A broker that has never seen the worker refuses the other key too: the store has the key of each attempt."""
    await bus.ada.call(calls.submit_job(DEMO))
    job = await bus.claimed()
    # What a broker knows after its start: no worker has said hello, and the leases are in the store.
    bus.broker.core.workers.prune(float("inf"))
    bus.broker.core.workers._silent.clear()
    other = bus.transport(bus.key("other", Role.WORKER))
    attempt = {"job": job.job_id, "worker": "w", "attempt": job.attempt}
    for type_, fields in REPORTS.items():
        assert await refusal(other, type_, {**attempt, **fields}) is ErrorCode.FORBIDDEN, type_
    claim = {"worker": "w", "engines": ["demo"], "wait_s": 0}
    assert await refusal(other, "job.claim", claim) is ErrorCode.FORBIDDEN
    running = await bus.broker.core.store.call(lambda store: store.leases.running())
    assert bus.worker_key is not None
    assert running == {(job.job_id, 1): bus.worker_key.public_key}


async def test_frames_of_another_workers_key_are_dropped(bus: LockedBus) -> None:
    """Nobody sees them, whatever attempt they name; those of the worker itself are forwarded."""
    await bus.ada.call(calls.submit_job(DEMO))
    job = await bus.claimed()
    own, stamp = bus.socket(bus.worker_key, bus.broker.endpoints.preview_in, zmq.PUB), EnvelopeFactory("w")
    await bus.show(own, stamp, job)
    foreign = bus.socket(bus.key("other", Role.WORKER), bus.broker.endpoints.preview_in, zmq.PUB)
    forwarded, dropped = bus.broker.counters.frames, bus.broker.counters.malformed

    async def refused() -> bool:
        await bus.send_frame(foreign, stamp, job)
        return bus.broker.counters.malformed > dropped

    await wait_until_async(refused, what="a frame that is dropped")
    assert bus.broker.counters.frames == forwarded
    await bus.show(own, stamp, job)


async def is_gone(path: Path) -> bool:
    return not await asyncio.to_thread(path.exists)


def published(folder: Path, **files: bytes) -> list[Artifact]:
    """Write files as attempt 2 of job 'job' publishes them."""
    source = attempt_folder(folder, "job", 2)
    source.mkdir(parents=True)
    for name, content in files.items():
        (source / name).write_bytes(content)
    return [Artifact(name=name, size_bytes=len(content)) for name, content in files.items()]


def test_accepted_files_get_their_names_and_others_go(tmp_path: Path) -> None:
    """What an earlier attempt has left is removed; after an interruption the same request continues."""
    for name in (".attempt-1", ".attempt-3"):
        (tmp_path / "job" / name).mkdir(parents=True)
        (tmp_path / "job" / name / "mask").write_bytes(b"other")
    (tmp_path / "job" / "old").write_bytes(b"old")
    artifacts = published(tmp_path, mask=b"mask", table=b"table")
    (tmp_path / "job" / ".attempt-2" / "mask").rename(tmp_path / "job" / "mask")
    for _ in range(2):
        accept_files(tmp_path, "job", 2, artifacts)
        assert {path.name: path.read_bytes() for path in (tmp_path / "job").iterdir()} == {
            "mask": b"mask",
            "table": b"table",
        }


def test_a_job_without_files_needs_no_folder(tmp_path: Path) -> None:
    """A list without files is accepted, whether there is a folder or not."""
    accept_files(tmp_path, "job", 2, [])
    published(tmp_path)
    accept_files(tmp_path, "job", 2, [])
    assert list((tmp_path / "job").iterdir()) == []


@pytest.mark.parametrize("wrong", ["missing", "size", "link", "folder", "twice", "linked folder", "linked job"])
def test_files_that_are_not_there_are_refused(tmp_path: Path, wrong: str) -> None:
    """A list that does not describe what the attempt has published completes no job, and moves nothing."""
    artifacts = published(tmp_path, mask=b"mask", table=b"table")
    source, secret = attempt_folder(tmp_path, "job", 2), tmp_path / "secret"
    secret.write_bytes(b"mask")
    match wrong:
        case "missing":
            (source / "mask").unlink()
        case "size":
            (source / "mask").write_bytes(b"longer")
        case "link":
            (source / "mask").unlink()
            (source / "mask").symlink_to(secret)
        case "folder":
            (source / "mask").unlink()
            (source / "mask").mkdir()
        case "twice":
            artifacts = [artifacts[0], *artifacts]
        case "linked folder":
            source.rename(tmp_path / "elsewhere")
            source.symlink_to(tmp_path / "elsewhere")
        case "linked job":
            (tmp_path / "job").rename(tmp_path / "elsewhere")
            (tmp_path / "job").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidRequestError):
        accept_files(tmp_path, "job", 2, artifacts)
    assert not (tmp_path / "job" / "mask").exists()
    assert not (tmp_path / "job" / "table").exists()


def test_a_file_of_another_size_does_not_replace_one_that_was_moved(tmp_path: Path) -> None:
    """A file that was moved before an interruption stays, if the attempt has put another in its place since."""
    artifacts = published(tmp_path, mask=b"mask")
    source = attempt_folder(tmp_path, "job", 2)
    (tmp_path / "job" / "mask").write_bytes(b"mask")
    (source / "mask").write_bytes(b"longer")
    with pytest.raises(InvalidRequestError):
        accept_files(tmp_path, "job", 2, artifacts)
    assert (tmp_path / "job" / "mask").read_bytes() == b"mask"


async def test_a_job_is_not_completed_by_files_that_do_not_exist(bus: LockedBus) -> None:
    """The worker's report is refused, and the job still runs."""
    await bus.ada.call(calls.submit_job(DEMO))
    job = await bus.claimed()
    artifact = Artifact(name="mask.mrc", size_bytes=4).model_dump(mode="json")
    finish = {"job": job.job_id, "worker": "w", "attempt": 1, "artifacts": [artifact]}
    assert await refusal(bus.worker, "job.finish", finish) is ErrorCode.BAD_REQUEST
    folder = attempt_folder(bus.broker.settings.artifacts, job.job_id, 1)
    folder.mkdir(parents=True)
    (folder / "mask.mrc").write_bytes(b"mask")
    await bus.worker.requester.request("job.finish", finish)
    assert [path.name for path in folder.parent.iterdir()] == ["mask.mrc"]


async def test_files_of_an_attempt_that_fails_are_removed(bus: LockedBus) -> None:
    """Those of a failed attempt, and of one whose lease is returned, with the job's folder if it is empty."""
    for ending, fields in (("job.fail", REPORTS["job.fail"]), ("job.release", {})):
        await bus.ada.call(calls.submit_job(DEMO))
        job = await bus.claimed()
        folder = attempt_folder(bus.broker.settings.artifacts, job.job_id, job.attempt)
        folder.mkdir(parents=True)
        (folder / "mask.mrc").write_bytes(b"mask")
        attempt = {"job": job.job_id, "worker": "w", "attempt": job.attempt}
        await bus.worker.requester.request(ending, {**attempt, **fields})
        await wait_until_async(partial(is_gone, folder.parent), what="the files to be removed")


async def test_leftovers_are_removed_when_a_broker_starts(
    start_broker: Callable[..., Awaitable[Broker]], tmp_path: Path
) -> None:
    """A worker that died while it published, after its lease was lost, leaves nothing for long."""
    left = attempt_folder(tmp_path / "home" / "artifacts", "job", 3)
    left.mkdir(parents=True)
    (left / "mask.mrc").write_bytes(b"mask")
    await start_broker()
    await wait_until_async(partial(is_gone, left.parent), what="the files to be removed")
