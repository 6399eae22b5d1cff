"""Uploads on disk: parts, restarts, completion, limits."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryomamba.access.visibility import Visibility
from cryomamba.errors import AccessError, ConflictError, CryoMambaError, ErrorCode, InvalidRequestError, NotFoundError
from cryomamba.models.files import FileRecord, UploadRequest, UploadStatus, label_of
from cryomamba.printable import printable
from cryomamba.volumes import write_volume
from cryomamba_gateway.uploads import store as store_module
from cryomamba_gateway.uploads.part_plan import plan_parts
from cryomamba_gateway.uploads.receive import read_blocks
from cryomamba_gateway.uploads.store import UploadLimits, UploadStore
from cryomamba_server.uploaded_files import read_record, uploaded_volume

if TYPE_CHECKING:
    from tests.conftest import DiskOrder

ALL = Visibility.everything()
CHUNK = 4096
LIMITS = UploadLimits(file_bytes=10**8, quota_bytes=10**6, reserve_bytes=0, unfinished=8, hours=24)
StoreMaker = Callable[..., UploadStore]


@pytest.fixture
def make_store(tmp_path: Path) -> Iterator[StoreMaker]:
    with ExitStack() as ending:

        def make(limits: UploadLimits = LIMITS) -> UploadStore:
            made = UploadStore(tmp_path / "uploads", limits)
            ending.callback(made.close)
            return made

        yield make


@pytest.fixture
def store(make_store: StoreMaker) -> UploadStore:
    return make_store()


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    path = tmp_path / "source.mrc"
    write_volume(path, np.random.default_rng(5).normal(size=(12, 20, 24)).astype(np.float32), 8.0)
    return path.read_bytes()


async def body(data: bytes, piece: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), piece):
        yield data[start : start + piece]


def part(data: bytes, status: UploadStatus, index: int) -> bytes:
    return data[index * status.chunk_size_bytes :][: status.chunk_size_bytes]


async def begin(store: UploadStore, data: bytes, **more: object) -> UploadStatus:
    fields = {"filename": "ts.mrc", "total_size_bytes": len(data), "chunk_size_bytes": CHUNK, **more}
    return await store.begin(UploadRequest.model_validate(fields), owner="ada")


async def send(store: UploadStore, status: UploadStatus, data: bytes, *indices: int) -> None:
    for index in indices or range(status.part_count):
        await store.receive(status.upload_id, index, body(part(data, status, index)), ALL)


async def test_a_finished_file_survives_a_power_cut(store: UploadStore, content: bytes, disk_order: DiskOrder) -> None:
    """Manifest, data and record are on the disk before they get their names, and the names before the response."""
    status = await begin(store, content)
    await send(store, status, content)
    await store.complete(status.upload_id, ALL)
    # Ticket, folder of the upload, record, volume, folder of the file.
    assert disk_order.check() == 5


async def test_a_part_is_on_the_disk_before_it_is_acknowledged(
    store: UploadStore, content: bytes, disk_order: DiskOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First its data, then the marker that says so, then the marker's name."""
    synced = os.fdatasync

    def recording(descriptor: int) -> None:
        synced(descriptor)
        disk_order.add_sync(descriptor)

    monkeypatch.setattr(os, "fdatasync", recording)
    status = await begin(store, content)
    disk_order.calls.clear()
    await send(store, status, content, 1)
    folder = tmp_path / "uploads" / "incoming" / status.upload_id
    files = (folder / "data", folder / "parts" / "1", folder / "parts")
    assert [inode for _, inode, _ in disk_order.calls] == [path.stat().st_ino for path in files]


async def test_a_file_appears_with_its_bytes_and_header(store: UploadStore, content: bytes, tmp_path: Path) -> None:
    """The parts in any order make the file, and its record has the header's metadata."""
    status = await begin(store, content)
    await send(store, status, content, *reversed(range(status.part_count)))
    record = await store.complete(status.upload_id, ALL)
    assert record.sha256 == hashlib.sha256(content).hexdigest()
    assert (record.metadata.shape, record.metadata.name) == ((12, 20, 24), "ts.mrc")
    assert uploaded_volume(tmp_path / "uploads", record.file_id).read_bytes() == content
    assert await store.files(Visibility.of("ada")) == [record]


async def test_parts_arrive_at_the_same_time(store: UploadStore, content: bytes) -> None:
    """All parts sent in parallel make the same file."""
    status = await begin(store, content)
    await asyncio.gather(*(send(store, status, content, index) for index in range(status.part_count)))
    assert (await store.complete(status.upload_id, ALL)).sha256 == hashlib.sha256(content).hexdigest()


async def test_a_new_process_resumes_an_upload(make_store: StoreMaker, content: bytes) -> None:
    """Another store on the same folder knows the received parts and accepts the others."""
    first = make_store()
    status = await begin(first, content)
    await send(first, status, content, 0, 2)
    second = make_store()
    found = await second.status(status.upload_id, Visibility.of("ada"))
    assert found.received_parts == (0, 2)
    assert found.received_bytes == 2 * CHUNK
    await send(second, status, content, *(set(range(status.part_count)) - {0, 2}))
    assert (await second.complete(status.upload_id, ALL)).sha256 == hashlib.sha256(content).hexdigest()


async def test_an_interrupted_part_is_not_received(store: UploadStore, content: bytes) -> None:
    """After half a part the upload is unchanged, and the whole part can be sent."""
    status = await begin(store, content)
    with pytest.raises(InvalidRequestError):
        await store.receive(status.upload_id, 0, body(content[: CHUNK // 2]), ALL)
    assert (await store.status(status.upload_id, ALL)).received_parts == ()
    await send(store, status, content)
    assert (await store.complete(status.upload_id, ALL)).size_bytes == len(content)


async def test_a_part_may_be_repeated_but_not_changed(store: UploadStore, content: bytes) -> None:
    """The same bytes again are accepted; other bytes are a conflict and change nothing."""
    status = await begin(store, content)
    await send(store, status, content, 0)
    await send(store, status, content, 0)
    with pytest.raises(ConflictError):
        await store.receive(status.upload_id, 0, body(bytes(CHUNK)), ALL)
    await send(store, status, content, *range(1, status.part_count))
    assert (await store.complete(status.upload_id, ALL)).sha256 == hashlib.sha256(content).hexdigest()


async def test_two_writers_of_a_part_make_a_correct_file_or_none(store: UploadStore, content: bytes) -> None:
    """A part that does not match its checksum must be sent again, whoever wrote last."""
    status = await begin(store, content)
    outcomes = await asyncio.gather(
        store.receive(status.upload_id, 0, body(part(content, status, 0), 64), ALL),
        store.receive(status.upload_id, 0, body(bytes(CHUNK), 64), ALL),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 1
    await send(store, status, content, *range(1, status.part_count))
    try:
        record = await store.complete(status.upload_id, ALL)
        assert record.sha256 in {
            hashlib.sha256(content).hexdigest(),
            hashlib.sha256(bytes(CHUNK) + content[CHUNK:]).hexdigest(),
        }
    except ConflictError as error:
        assert error.code is ErrorCode.CHECKSUM_MISMATCH
        assert (await store.status(status.upload_id, ALL)).received_parts == tuple(range(1, status.part_count))
    except CryoMambaError as error:
        assert error.code is ErrorCode.VOLUME_UNREADABLE


async def test_a_slow_writer_cannot_change_a_finished_file(store: UploadStore, content: bytes, tmp_path: Path) -> None:
    """While a part is being received the upload cannot be completed, and a finished file accepts no more bytes."""
    status = await begin(store, content)
    arriving, going = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield bytes(CHUNK - 1)
        arriving.set()
        await going.wait()
        yield b"\0"

    late = asyncio.ensure_future(store.receive(status.upload_id, 0, slow(), ALL))
    await arriving.wait()
    await send(store, status, content)
    with pytest.raises(ConflictError) as caught:
        await store.complete(status.upload_id, ALL)
    assert caught.value.retryable
    going.set()
    with pytest.raises(ConflictError):
        await late
    with pytest.raises(ConflictError) as damaged:
        await store.complete(status.upload_id, ALL)
    assert damaged.value.details["missing_parts"] == [0]
    await send(store, status, content, 0)
    record = await store.complete(status.upload_id, ALL)
    with pytest.raises(NotFoundError):
        await store.receive(record.file_id, 0, body(bytes(CHUNK)), ALL)
    assert uploaded_volume(tmp_path / "uploads", record.file_id).read_bytes() == content


async def test_a_part_damaged_on_disk_is_sent_again(store: UploadStore, content: bytes, tmp_path: Path) -> None:
    """It counts as missing, and no other part does."""
    status = await begin(store, content)
    await send(store, status, content)
    with (tmp_path / "uploads" / "incoming" / status.upload_id / "data").open("r+b") as file:
        file.seek(CHUNK + 5)
        file.write(b"rot")
    with pytest.raises(ConflictError) as caught:
        await store.complete(status.upload_id, ALL)
    assert (caught.value.code, caught.value.details["missing_parts"]) == (ErrorCode.CHECKSUM_MISMATCH, [1])
    await send(store, status, content, 1)
    assert (await store.complete(status.upload_id, ALL)).sha256 == hashlib.sha256(content).hexdigest()


async def test_a_file_must_match_the_announced_checksum(store: UploadStore, content: bytes) -> None:
    """The SHA-256 of the whole file is compared."""
    status = await begin(store, content, sha256="0" * 64)
    await send(store, status, content)
    with pytest.raises(ConflictError) as caught:
        await store.complete(status.upload_id, ALL)
    assert caught.value.code is ErrorCode.CHECKSUM_MISMATCH
    assert await store.files(ALL) == []


async def test_a_file_that_is_not_a_volume_is_removed(store: UploadStore, tmp_path: Path) -> None:
    """It does not become a file, and its disk space is released."""
    data = os.urandom(3 * CHUNK)
    status = await begin(store, data)
    await send(store, status, data)
    with pytest.raises(CryoMambaError) as caught:
        await store.complete(status.upload_id, ALL)
    assert caught.value.code is ErrorCode.VOLUME_UNREADABLE
    assert not list((tmp_path / "uploads" / "incoming").iterdir())
    assert await store.files(ALL) == []


async def test_missing_parts_are_named(store: UploadStore, content: bytes) -> None:
    """An incomplete upload cannot be completed."""
    status = await begin(store, content)
    await send(store, status, content, 1)
    with pytest.raises(ConflictError) as caught:
        await store.complete(status.upload_id, ALL)
    assert caught.value.details["missing_parts"] == [0, *range(2, status.part_count)]


async def test_completing_again_gives_the_same_file(store: UploadStore, content: bytes) -> None:
    """For a client that missed the response, and for two requests at once."""
    status = await begin(store, content)
    await send(store, status, content)
    both = await asyncio.gather(store.complete(status.upload_id, ALL), store.complete(status.upload_id, ALL))
    assert both[0] == both[1] == await store.complete(status.upload_id, ALL)
    assert (await store.status(status.upload_id, ALL)).file == both[0]


@pytest.mark.parametrize("moment", ["rename", "rmtree"])
async def test_a_crash_during_completion_is_recovered(
    make_store: StoreMaker, content: bytes, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Whatever the last step before the crash, completing again makes the correct file."""

    class CrashError(BaseException):
        """Stands for the end of the process."""

    def crash(*_: object, **__: object) -> None:
        raise CrashError

    store = make_store()
    status = await begin(store, content)
    await send(store, status, content)
    with monkeypatch.context() as patch:
        if moment == "rename":
            patch.setattr(Path, "rename", crash)
        else:
            patch.setattr(shutil, "rmtree", crash)
        with pytest.raises(CrashError):
            await store.complete(status.upload_id, ALL)
    record = await make_store().complete(status.upload_id, ALL)
    assert record.sha256 == hashlib.sha256(content).hexdigest()
    assert [found.file_id for found in await store.files(ALL)] == [record.file_id]


async def test_the_same_content_is_stored_once(store: UploadStore, content: bytes, tmp_path: Path) -> None:
    """Two uploads with the same content share it on disk; removing one keeps the other."""
    records = []
    for owner in ("ada", "bob"):
        request = UploadRequest(filename=f"{owner}.mrc", total_size_bytes=len(content))
        status = await store.begin(request, owner=owner)
        await send(store, status, content)
        records.append(await store.complete(status.upload_id, ALL))
    first, second = (uploaded_volume(tmp_path / "uploads", record.file_id) for record in records)
    assert first.samefile(second)
    await store.delete(records[0].file_id, ALL)
    assert second.read_bytes() == content


async def test_a_known_digest_is_found_again(store: UploadStore, content: bytes) -> None:
    """With a SHA-256 an interrupted upload is resumed, and a finished file is not sent again; for its owner only."""
    digest = hashlib.sha256(content).hexdigest()
    status = await begin(store, content, sha256=digest)
    await send(store, status, content, 0)
    again = await begin(store, content, sha256=digest)
    assert (again.upload_id, again.received_parts) == (status.upload_id, (0,))
    await send(store, status, content)
    record = await store.complete(status.upload_id, ALL)
    assert (await begin(store, content, sha256=digest)).file == record
    other = UploadRequest(filename="x", total_size_bytes=len(content), sha256=digest)
    assert (await store.begin(other, owner="bob")).file is None


async def test_each_record_is_read_once(store: UploadStore, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting uploads does not read the records of finished files again."""
    status = await begin(store, content)
    await send(store, status, content)
    record = await store.complete(status.upload_id, ALL)
    reads: list[str] = []

    def counted(folder: Path) -> FileRecord | None:
        reads.append(folder.name)
        return read_record(folder)

    monkeypatch.setattr("cryomamba_gateway.uploads.upload_directory.read_record", counted)
    for _ in range(3):
        await begin(store, content)
    assert reads == [record.file_id]
    await store.delete(record.file_id, ALL)
    assert await store.files(ALL) == []


async def test_others_see_nothing(store: UploadStore, content: bytes) -> None:
    """Uploads and files of another owner do not exist."""
    status = await begin(store, content)
    process = [
        store.status(status.upload_id, Visibility.of("bob")),
        store.receive(status.upload_id, 0, body(content), Visibility.of("bob")),
        store.complete(status.upload_id, Visibility.of("bob")),
        store.abort(status.upload_id, Visibility.of("bob")),
    ]
    for question in process:
        with pytest.raises(NotFoundError):
            await question
    await send(store, status, content)
    record = await store.complete(status.upload_id, Visibility.of("ada"))
    with pytest.raises(NotFoundError):
        await store.delete(record.file_id, Visibility.of("bob"))
    assert await store.files(Visibility.of("bob")) == []


@pytest.mark.parametrize("name", ["..", "../../etc/passwd", "/etc/passwd", ".", "", "a\0b", "incoming", "%2e%2e"])
async def test_an_id_is_never_a_path(store: UploadStore, content: bytes, name: str) -> None:
    """Whatever is sent as an id, there is no such upload and no such file."""
    await begin(store, content)
    for question in (
        store.status(name, ALL),
        store.complete(name, ALL),
        store.abort(name, ALL),
        store.delete(name, ALL),
    ):
        with pytest.raises(NotFoundError):
            await question
    with pytest.raises(NotFoundError):
        await store.receive(name, 0, body(b"x"), ALL)


@given(st.text(max_size=300))
def test_a_name_is_a_label(name: str) -> None:
    """No name keeps a separator or an unprintable character, and none is empty or long."""
    label = label_of(name)
    assert 0 < len(label) <= 200
    assert not set(label) & set("/\\")
    assert printable(label) == label
    assert label.encode()


async def test_limits_are_checked_at_the_start(make_store: StoreMaker, content: bytes) -> None:
    """Too large, over the quota, too many at once, and a full disk."""
    size = len(content)
    cases = {
        ErrorCode.TOO_LARGE: UploadLimits(size - 1, 10**9, 0, 8, 24),
        ErrorCode.FORBIDDEN: UploadLimits(size, size - 1, 0, 8, 24),
        ErrorCode.RATE_LIMITED: UploadLimits(size, 10**9, 0, 0, 24),
        ErrorCode.INSUFFICIENT_STORAGE: UploadLimits(size, 10**9, 2**62, 8, 24),
    }
    for code, limits in cases.items():
        with pytest.raises(CryoMambaError) as caught:
            await begin(make_store(limits), content)
        assert caught.value.code is code


async def test_a_full_disk_is_an_error(store: UploadStore, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC while space is reserved is 'insufficient_storage', and leaves nothing."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(CryoMambaError) as caught:
        await begin(store, content)
    assert caught.value.code is ErrorCode.INSUFFICIENT_STORAGE
    assert await store.files(ALL) == []


async def test_the_quota_includes_unfinished_uploads(make_store: StoreMaker, content: bytes) -> None:
    """Of two uploads that fit only one by one, the second is refused; removing the first makes space."""
    store = make_store(UploadLimits(10**8, len(content) + 10, 0, 8, 24))
    status = await begin(store, content)
    with pytest.raises(AccessError):
        await begin(store, content)
    await store.abort(status.upload_id, ALL)
    await begin(store, content)


async def test_abandoned_uploads_are_swept(make_store: StoreMaker, content: bytes, tmp_path: Path) -> None:
    """An upload without a new part for the time limit is removed; newer ones and finished files are kept."""
    store = make_store()
    old, young, done = [await begin(store, content) for _ in range(3)]
    await send(store, done, content)
    await store.complete(done.upload_id, ALL)
    for path in (tmp_path / "uploads" / "incoming" / old.upload_id).rglob("*"):
        os.utime(path, (0, 0))
    assert await store.sweep() == 1
    with pytest.raises(NotFoundError):
        await store.status(old.upload_id, ALL)
    assert (await store.status(young.upload_id, ALL)).file is None
    assert (await store.status(done.upload_id, ALL)).file is not None


async def test_an_endless_body_is_refused() -> None:
    """Excess bytes are refused when they arrive, not at the end."""
    given_out = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given_out
        while True:
            given_out += 1
            yield bytes(100)

    with pytest.raises(InvalidRequestError) as caught:
        await anext(read_blocks(endless(), 150))
    assert (caught.value.code, given_out) == (ErrorCode.TOO_LARGE, 2)


@given(st.integers(1, 2**60), st.one_of(st.none(), st.integers(1024, 2**30)))
def test_parts_cover_a_file_exactly(total: int, expected: int | None) -> None:
    """Consecutive parts have no gaps, and there are at most 10,000."""
    plan = plan_parts(total, expected)
    assert 1 <= plan.count <= 10_000
    assert plan.offset(plan.count - 1) + plan.size(plan.count - 1) == total
    assert all(plan.size(index) == plan.chunk for index in range(min(plan.count - 1, 3)))
    with pytest.raises(InvalidRequestError):
        plan.size(plan.count)


def test_the_store_uses_few_threads() -> None:
    """However many clients send at once."""
    assert store_module.THREADS <= 8
