"""What an upload sends, and when it gives up; tests/gateway/routers/test_uploads.py runs it against a gateway."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from cryomamba.client import upload as module
from cryomamba.client.upload import Upload
from cryomamba.errors import AccessError, ConflictError, ErrorCode, UnavailableError, VolumeError
from cryomamba.models.files import FileRecord, UploadStatus
from cryomamba.volumes import inspect, write_volume

PART = 1024


class Gateway:
    """The part of a gateway that an upload talks to, in memory."""

    def __init__(self, path: Path) -> None:
        self.content = path.read_bytes()
        self.parts: dict[int, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.fail_next: list[Exception] = []
        digest = hashlib.sha256(self.content).hexdigest()
        self.file = FileRecord(
            file_id="f",
            filename=path.name,
            size_bytes=len(self.content),
            sha256=digest,
            metadata=inspect(path),
            created_at=datetime.now(UTC),
        )
        self.complete = False

    async def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        self.requests.append((method, path))
        if self.fail_next:
            raise self.fail_next.pop(0)
        if "/part/" in path:
            self.parts[int(path.rpartition("/")[2])] = options["content"]
        if path.endswith("/complete"):
            joined = b"".join(self.parts[index] for index in sorted(self.parts))
            if joined != self.content:
                raise ConflictError("Parts are missing.", retryable=True)
            self.complete = True
            return httpx.Response(200, content=self.file.model_dump_json())
        return httpx.Response(200, content=self.status().model_dump_json())

    def status(self) -> UploadStatus:
        count = -(-len(self.content) // PART)
        return UploadStatus(
            upload_id="u",
            filename="t",
            total_size_bytes=len(self.content),
            chunk_size_bytes=PART,
            part_count=count,
            received_parts=tuple(self.parts),
            received_bytes=sum(map(len, self.parts.values())),
            expires_at=datetime.now(UTC),
            file=self.file if self.complete else None,
        )


@pytest.fixture
def tomogram(tmp_path: Path) -> Path:
    path = tmp_path / "t1.mrc"
    write_volume(path, np.random.default_rng(1).standard_normal((4, 16, 20), np.float32), 9.0)
    return path


async def test_only_missing_parts_are_sent(tomogram: Path) -> None:
    """What the gateway has already is neither read again for sending nor sent."""
    gateway = Gateway(tomogram)
    gateway.parts = {0: gateway.content[:PART], 2: gateway.content[2 * PART : 3 * PART]}
    reported: list[tuple[int, int]] = []
    uploaded = await Upload(gateway.send, tomogram, progress=lambda *done: reported.append(done)).run()
    assert (uploaded.file, uploaded.new) == (gateway.file, True)
    sent = {path for method, path in gateway.requests if method == "PUT"}
    assert sent == {f"/v1/uploads/u/part/{n}" for n in range(gateway.status().part_count)} - {
        "/v1/uploads/u/part/0",
        "/v1/uploads/u/part/2",
    }
    assert reported[0] == (2 * PART, len(gateway.content))
    assert reported[-1] == (len(gateway.content),) * 2


async def test_a_known_file_is_not_sent_at_all(tomogram: Path) -> None:
    """One request tells that it is there."""
    gateway = Gateway(tomogram)
    gateway.complete = True
    uploaded = await Upload(gateway.send, tomogram).run()
    assert (uploaded.file, uploaded.new) == (gateway.file, False)
    assert gateway.requests == [("POST", "/v1/uploads/init")]


async def test_a_part_that_was_lost_is_sent_again(tomogram: Path) -> None:
    """The gateway tells at the end that something is missing."""
    gateway = Gateway(tomogram)
    real = gateway.send
    lost = False

    async def losing(method: str, path: str, **options: Any) -> httpx.Response:
        nonlocal lost
        reply = await real(method, path, **options)
        if path.endswith("/part/1") and not lost:
            lost = True
            del gateway.parts[1]
        return reply

    assert (await Upload(losing, tomogram).run()).file == gateway.file


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (UnavailableError("Away."), True),
        (AccessError("Too many.", code=ErrorCode.RATE_LIMITED, retryable=True), True),
        (AccessError("Who?", code=ErrorCode.UNAUTHORIZED), False),
        (UnavailableError("Full.", code=ErrorCode.INSUFFICIENT_STORAGE), False),
    ],
)
async def test_it_waits_for_what_passes(
    error: Exception, again: bool, tomogram: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart and a rate limit pass; a missing right and a full disk do not."""
    monkeypatch.setattr(module, "PATIENCE_S", 5.0)
    gateway = Gateway(tomogram)
    gateway.fail_next = [error]
    if again:
        assert (await Upload(gateway.send, tomogram).run()).new
    else:
        with pytest.raises(type(error)):
            await Upload(gateway.send, tomogram).run()


async def test_a_file_that_changes_meanwhile_is_a_conflict(tomogram: Path) -> None:
    """Half of one file and half of another are never joined."""
    gateway = Gateway(tomogram)

    def truncate(done: int, total: int) -> None:
        if done == total:
            tomogram.write_bytes(gateway.content[:PART])

    with pytest.raises(ConflictError) as changed:
        await Upload(gateway.send, tomogram, reading=truncate).run()
    assert changed.value.code is ErrorCode.CHECKSUM_MISMATCH


@pytest.mark.parametrize("keep", [True, False])
async def test_a_cancelled_upload_is_kept_or_not(keep: bool, tomogram: Path) -> None:
    """Kept, it can be resumed; else the gateway is asked to delete the parts."""
    gateway = Gateway(tomogram)
    real, sending = gateway.send, asyncio.Event()

    async def stuck(method: str, path: str, **options: Any) -> httpx.Response:
        if "/part/" in path:
            sending.set()
            await asyncio.Event().wait()
        return await real(method, path, **options)

    uploading = asyncio.ensure_future(Upload(stuck, tomogram, keep=keep).run())
    await sending.wait()
    uploading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await uploading
    assert (("DELETE", "/v1/uploads/u") in gateway.requests) is not keep


async def test_what_cannot_be_read_is_not_begun(tmp_path: Path, tomogram: Path) -> None:
    """A missing and an empty file are errors before any request."""
    gateway = Gateway(tomogram)
    (tmp_path / "empty.mrc").touch()
    for name, code in (("nothing.mrc", ErrorCode.VOLUME_NOT_FOUND), ("empty.mrc", ErrorCode.VOLUME_UNREADABLE)):
        with pytest.raises(VolumeError) as raised:
            await Upload(gateway.send, tmp_path / name).run()
        assert raised.value.code is code
    assert gateway.requests == []
