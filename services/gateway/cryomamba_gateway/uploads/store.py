"""All uploads and files of a home folder, as the gateway's routes use them."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from cryomamba.atomic import disk_full_error, disk_full_translated
from cryomamba.errors import AccessError, ErrorCode, InvalidRequestError, NotFoundError
from cryomamba.models.files import FileRecord, PartReceipt, UploadRequest, UploadStatus, label_of
from cryomamba.settings import Settings
from cryomamba_gateway.uploads.finish import finish
from cryomamba_gateway.uploads.partial_upload import PartialUpload, UploadManifest
from cryomamba_gateway.uploads.plan import PartPlan, plan_parts
from cryomamba_gateway.uploads.receive import ChunkReader, checksums_of, read_chunks, write_at
from cryomamba_gateway.uploads.upload_directory import UploadDirectory, finished, no_such_upload
from cryomamba_server.uploaded_files import no_such_file, remove_upload

T = TypeVar("T")
THREADS: Final = 4
GB: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What may be uploaded, in bytes, pieces and hours."""

    file_bytes: int
    quota_bytes: int
    reserve_bytes: int
    unfinished: int
    hours: float

    @classmethod
    def from_settings(cls, settings: Settings) -> UploadLimits:
        """Return the limits that the environment names."""
        return cls(
            file_bytes=int(settings.upload_max_gb * GB),
            quota_bytes=int(settings.upload_quota_gb * GB),
            reserve_bytes=settings.disk_reserve,
            unfinished=settings.uploads_per_token,
            hours=settings.upload_hours,
        )


class UploadStore:
    """Uploads on disk; for one event loop, beside any number of other gateways over the same folder.

    Callers are told apart by `owner`: a name sees its own uploads and files alone, None sees all of them.

    Parameters
    ----------
    folder : Path
        ``<home>/uploads``.
    limits : UploadLimits
    """

    def __init__(self, folder: Path, limits: UploadLimits) -> None:
        self.limits = limits
        self._shelves = UploadDirectory(folder, limits.hours)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="uploads")
        self._admitting = asyncio.Lock()
        self._finishing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def begin(self, request: UploadRequest, *, owner: str = "", whole: bool = False) -> UploadStatus:
        """Begin an upload, or find the one that the same owner began with the same SHA-256.

        With `whole` it is a new one of a single part.

        Raises
        ------
        InvalidRequestError
            ``too_large``.
        AccessError
            ``rate_limited``: too many unfinished uploads; ``forbidden``: the owner's quota is used up.
        UnavailableError
            ``insufficient_storage``: the disk has no room.
        """
        async with self._admitting:
            return await self._run(lambda: self._begin(request, owner, whole=whole))

    def _begin(self, request: UploadRequest, owner: str, *, whole: bool) -> UploadStatus:
        total = request.total_size_bytes
        plan = PartPlan(total, total) if whole else plan_parts(total, request.chunk_size_bytes)
        if plan.total > self.limits.file_bytes:
            raise InvalidRequestError(
                f"The file has {plan.total:,} bytes; {self.limits.file_bytes:,} are allowed.",
                code=ErrorCode.TOO_LARGE,
                hint="Bin the tomogram, or put the file where the server can read it by path.",
            )
        unfinished, files = list(self._shelves.uploads(owner)), list(self._shelves.records(owner))
        if request.sha256 is not None and not whole:
            known = self._known(request.sha256, plan, unfinished, files)
            if known is not None:
                return known
        used = sum(u.plan.total for u in unfinished) + sum(record.size_bytes for record in files)
        self._require_room(plan.total, used, len(unfinished))
        ticket = UploadManifest(
            upload_id=str(uuid.uuid4()),
            owner=owner,
            filename=label_of(request.filename),
            total_size_bytes=plan.total,
            chunk_size_bytes=plan.chunk,
            sha256=request.sha256,
            created_at=datetime.now(UTC),
        )
        with disk_full_translated():
            return self._shelves.status(PartialUpload.create(self._shelves.incoming / ticket.upload_id, ticket))

    def _known(
        self, digest: str, plan: PartPlan, unfinished: list[PartialUpload], files: list[FileRecord]
    ) -> UploadStatus | None:
        for record in files:
            if (record.sha256, record.size_bytes) == (digest, plan.total):
                return finished(record)
        for upload in unfinished:
            if (upload.ticket.sha256, upload.plan) == (digest, plan):
                return self._shelves.status(upload)
        return None

    def _require_room(self, nbytes: int, used: int, unfinished: int) -> None:
        if unfinished >= self.limits.unfinished:
            raise AccessError(
                f"There are {unfinished} unfinished uploads already.",
                code=ErrorCode.RATE_LIMITED,
                hint="Complete or delete one of them first.",
                retryable=True,
            )
        if used + nbytes > self.limits.quota_bytes:
            raise AccessError(
                f"Your files take {used:,} of {self.limits.quota_bytes:,} bytes; there is no room for {nbytes:,} more.",
                hint="Delete files that are not needed any more.",
            )
        self._shelves.incoming.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self._shelves.incoming).free - self.limits.reserve_bytes
        if nbytes > free:
            raise disk_full_error()

    async def status(self, upload_id: str, *, owner: str | None = None) -> UploadStatus:
        """Return what is there of an upload, finished or not.

        Raises
        ------
        NotFoundError
            There is no such upload.
        """
        return await self._run(lambda: self._shelves.look_up(upload_id, owner))

    async def receive(
        self, upload_id: str, index: int, body: AsyncIterator[bytes], *, owner: str | None = None
    ) -> PartReceipt:
        """Take in a part; memory stays far below a megabyte whatever its size.

        Raises
        ------
        NotFoundError
            There is no such upload.
        InvalidRequestError
            There is no such part, or it has another size.
        ConflictError
            The part is there with other bytes.
        UnavailableError
            Nothing came for a while, or the disk is full.
        """
        upload = await self._run(lambda: self._shelves.find(upload_id, owner))
        size = upload.plan.size(index)
        pieces = read_chunks(body, size)
        with disk_full_translated():
            try:
                if await self._run(lambda: upload.marker(index)) is not None:
                    checksums = await checksums_of(pieces, self._threads)
                    await self._run(lambda: upload.require_same(index, checksums))
                else:
                    checksums = await write_at(upload.data, upload.plan.offset(index), pieces, self._threads)
                    await self._run(lambda: upload.mark(index, checksums))
            except FileNotFoundError:
                raise no_such_upload(upload_id) from None
        return PartReceipt(upload_id=upload_id, part_number=index, received_bytes=size, etag=checksums.etag)

    async def receive_whole(
        self, status: UploadStatus, body: AsyncIterator[bytes], *, owner: str | None = None
    ) -> None:
        """Take in all parts from one body; those that came before it broke off are there.

        Raises
        ------
        NotFoundError, InvalidRequestError, ConflictError, UnavailableError
            As :meth:`receive` does.
        """
        portions = ChunkReader(body)
        for index in range(status.part_count):
            async with aclosing(portions.take(status.part_size(index))) as part:
                await self.receive(status.upload_id, index, part, owner=owner)

    async def complete(self, upload_id: str, *, owner: str | None = None) -> FileRecord:
        """Make a file of an upload; completing it again gives the same file.

        Raises
        ------
        NotFoundError
            There is no such upload.
        ConflictError
            Parts are missing, or the checksums do not fit.
        VolumeError
            The file is not a volume; the upload is gone then.
        UnavailableError
            The disk is full.
        """
        async with self._finishing[upload_id]:
            try:
                with disk_full_translated():
                    return await self._run(lambda: self._complete(upload_id, owner))
            finally:
                self._finishing.pop(upload_id, None)

    def _complete(self, upload_id: str, owner: str | None) -> FileRecord:
        record = self._shelves.record(upload_id, owner)
        if record is not None:
            return record
        try:
            return finish(self._shelves.find(upload_id, owner), self._shelves.files)
        except FileNotFoundError:
            # Another gateway was faster, or the upload was removed meanwhile.
            record = self._shelves.record(upload_id, owner)
            if record is None:
                raise no_such_upload(upload_id) from None
            return record

    async def abort(self, upload_id: str, *, owner: str | None = None) -> None:
        """Remove an unfinished upload.

        Raises
        ------
        NotFoundError
            There is none.
        """
        await self._run(lambda: self._shelves.find(upload_id, owner).remove())

    async def discard(self, upload_id: str) -> None:
        """Remove an upload if it is still unfinished."""
        with suppress(NotFoundError):
            await self.abort(upload_id)

    async def files(self, *, owner: str | None = None) -> list[FileRecord]:
        """Return the finished files, newest first."""
        found = await self._run(lambda: list(self._shelves.records(owner)))
        return sorted(found, key=lambda record: record.created_at, reverse=True)

    async def file(self, file_id: str, *, owner: str | None = None) -> FileRecord:
        """Return a file.

        Raises
        ------
        NotFoundError
            There is no such file.
        """
        record = await self._run(lambda: self._shelves.record(file_id, owner))
        if record is None:
            raise no_such_file(file_id)
        return record

    async def delete(self, file_id: str, *, owner: str | None = None) -> None:
        """Remove a file; content that another file has too stays.

        Raises
        ------
        NotFoundError
            There is no such file.
        """
        await self.file(file_id, owner=owner)
        await self._run(lambda: remove_upload(self._shelves.files / file_id))

    async def sweep(self) -> int:
        """Remove what was abandoned, and return how many uploads that were."""
        return await self._run(self._shelves.sweep)

    def close(self) -> None:
        """End the threads; what they are at is finished first."""
        self._threads.shutdown(wait=True)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
