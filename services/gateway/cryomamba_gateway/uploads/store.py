"""Uploads and files in the data directory: the interface that the gateway's routes use."""

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

from cryomamba.access.visibility import Visibility
from cryomamba.errors import AccessError, ErrorCode, InvalidRequestError, NotFoundError
from cryomamba.models.files import FileRecord, PartReceipt, UploadRequest, UploadStatus, label_of
from cryomamba.settings import Settings
from cryomamba.system_errors import disk_full_error, system_errors_translated
from cryomamba_gateway.uploads.assemble import assemble, verify_and_use
from cryomamba_gateway.uploads.part_plan import PartPlan, plan_parts
from cryomamba_gateway.uploads.partial_upload import PartialUpload, UploadManifest
from cryomamba_gateway.uploads.receive import BodySplitter, checksums_of, read_blocks, write_at
from cryomamba_gateway.uploads.upload_directory import UploadDirectory, finished_status, no_such_upload
from cryomamba_server.uploaded_files import no_such_file, remove_upload

T = TypeVar("T")
THREADS: Final = 4
GB: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Limits for uploads.

    Attributes
    ----------
    file_bytes, quota_bytes, reserve_bytes : int
        Size of a file, size of all files of an owner, and space on the disk that is kept free.
    unfinished : int
        Unfinished uploads of an owner.
    hours : float
        Without a new part, until an unfinished upload is removed.
    """

    file_bytes: int
    quota_bytes: int
    reserve_bytes: int
    unfinished: int
    hours: float

    @classmethod
    def from_settings(cls, settings: Settings) -> UploadLimits:
        """Return the configured limits."""
        return cls(
            file_bytes=int(settings.upload_max_gb * GB),
            quota_bytes=int(settings.upload_quota_gb * GB),
            reserve_bytes=settings.disk_reserve,
            unfinished=settings.uploads_per_token,
            hours=settings.upload_hours,
        )


class UploadStore:
    """Uploads on disk. For one event loop; any number of gateways may use the same directory.

    The visibility that each call requires says whose uploads and files it may use.

    Parameters
    ----------
    folder : Path
        ``uploads`` in the data directory.
    limits : UploadLimits
    """

    def __init__(self, folder: Path, limits: UploadLimits) -> None:
        self.limits = limits
        self._directory = UploadDirectory(folder, limits.hours)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="uploads")
        self._admission = asyncio.Lock()
        self._assembly: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def begin(self, request: UploadRequest, *, owner: str = "", whole: bool = False) -> UploadStatus:
        """Start an upload, or return the one that the same owner started with the same SHA-256.

        With `whole`, always start a new one with a single part.

        Raises
        ------
        InvalidRequestError
            ``too_large``.
        AccessError
            ``rate_limited``: too many unfinished uploads; ``forbidden``: the owner's quota is exhausted.
        UnavailableError
            ``insufficient_storage``: the disk is full.
        """
        async with self._admission:
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
        # On an open server all uploads have the same owner, whose name is empty.
        owned = Visibility(owner)
        uploads, files = list(self._directory.uploads(owned)), self._directory.records(owned)
        if request.sha256 is not None and not whole:
            known = self._known(request.sha256, plan, uploads, files)
            if known is not None:
                return known
        used = sum(upload.plan.total for upload in uploads) + sum(record.size_bytes for record in files)
        self._require_space(plan.total, used, len(uploads))
        manifest = UploadManifest(
            upload_id=str(uuid.uuid4()),
            owner=owner,
            filename=label_of(request.filename),
            total_size_bytes=plan.total,
            chunk_size_bytes=plan.chunk,
            sha256=request.sha256,
            created_at=datetime.now(UTC),
        )
        with system_errors_translated():
            created = PartialUpload.create(self._directory.incoming / manifest.upload_id, manifest)
            return self._directory.status(created)

    def _known(
        self, digest: str, plan: PartPlan, uploads: list[PartialUpload], files: list[FileRecord]
    ) -> UploadStatus | None:
        for record in files:
            if (record.sha256, record.size_bytes) == (digest, plan.total):
                return finished_status(record)
        for upload in uploads:
            if (upload.manifest.sha256, upload.plan) == (digest, plan):
                return self._directory.status(upload)
        return None

    def _require_space(self, nbytes: int, used: int, unfinished: int) -> None:
        if unfinished >= self.limits.unfinished:
            raise AccessError(
                f"There are already {unfinished} unfinished uploads.",
                code=ErrorCode.RATE_LIMITED,
                hint="Complete or delete one of them first.",
                retryable=True,
            )
        if used + nbytes > self.limits.quota_bytes:
            raise AccessError(
                f"Your quota of {self.limits.quota_bytes:,} bytes has no space for {nbytes:,} more: {used:,} are used.",
                hint="Delete files that are no longer needed.",
            )
        self._directory.incoming.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self._directory.incoming).free - self.limits.reserve_bytes
        if nbytes > free:
            raise disk_full_error()

    async def status(self, upload_id: str, visibility: Visibility) -> UploadStatus:
        """Return the status of an upload, finished or not.

        Raises
        ------
        NotFoundError
            There is no such upload.
        """

        def status() -> UploadStatus:
            record = self._directory.record(upload_id, visibility)
            if record is not None:
                return finished_status(record)
            return self._directory.status(self._directory.upload(upload_id, visibility))

        return await self._run(status)

    async def receive(
        self, upload_id: str, index: int, body: AsyncIterator[bytes], visibility: Visibility
    ) -> PartReceipt:
        """Receive a part; takes far less than a megabyte of memory, whatever the part's size.

        Raises
        ------
        NotFoundError
            There is no such upload.
        InvalidRequestError
            There is no such part, or it has another size.
        ConflictError
            The part was received before with different content.
        UnavailableError
            The disk is full.
        """
        upload = await self._run(lambda: self._directory.upload(upload_id, visibility))
        size = upload.plan.size(index)
        blocks = read_blocks(body, size)
        with system_errors_translated():
            try:
                if await self._run(lambda: upload.marker(index)) is not None:
                    checksums = await checksums_of(blocks, self._threads)
                    await self._run(lambda: upload.require_same(index, checksums))
                else:
                    checksums = await write_at(upload.data, upload.plan.offset(index), blocks, self._threads)
                    await self._run(lambda: upload.mark(index, checksums))
            except FileNotFoundError:
                raise no_such_upload(upload_id) from None
        return PartReceipt(upload_id=upload_id, part_number=index, received_bytes=size, etag=checksums.etag)

    async def receive_whole(self, status: UploadStatus, body: AsyncIterator[bytes], visibility: Visibility) -> None:
        """Receive all parts from one body; if it breaks off, the complete parts are kept.

        Raises
        ------
        NotFoundError, InvalidRequestError, ConflictError, UnavailableError
            As :meth:`receive` does.
        """
        splitter = BodySplitter(body)
        for index in range(status.part_count):
            async with aclosing(splitter.part(status.part_size(index))) as part:
                await self.receive(status.upload_id, index, part, visibility)

    async def complete(self, upload_id: str, visibility: Visibility) -> FileRecord:
        """Assemble the file of an upload; completing it again returns the same file.

        Raises
        ------
        NotFoundError
            There is no such upload.
        ConflictError
            Parts are missing, or checksums differ.
        VolumeError
            The file is not a volume; the upload is removed.
        UnavailableError
            The disk is full.
        """
        async with self._assembly[upload_id]:
            try:
                with system_errors_translated():
                    return await self._run(lambda: self._complete(upload_id, visibility))
            finally:
                self._assembly.pop(upload_id, None)

    def _complete(self, upload_id: str, visibility: Visibility) -> FileRecord:
        record = self._directory.record(upload_id, visibility)
        if record is not None:
            return record
        try:
            return assemble(self._directory.upload(upload_id, visibility), self._directory)
        except FileNotFoundError:
            # Another gateway was faster, or the upload was removed.
            record = self._directory.record(upload_id, visibility)
            if record is None:
                raise no_such_upload(upload_id) from None
            return record

    async def use(self, upload_id: str, visibility: Visibility, use: Callable[[Path, str], T]) -> T:
        """Verify an upload that has all its parts, hand its content to a function in a thread, and remove it.

        Parameters
        ----------
        use : callable
            Called with the path of the content and the file's name; if it raises, the upload stays.

        Raises
        ------
        NotFoundError
            There is no such upload.
        ConflictError
            Parts are missing, or checksums differ.
        """

        def verified() -> T:
            upload = self._directory.upload(upload_id, visibility)
            return verify_and_use(upload, lambda path: use(path, upload.manifest.filename))

        async with self._assembly[upload_id]:
            try:
                return await self._run(verified)
            finally:
                self._assembly.pop(upload_id, None)

    async def abort(self, upload_id: str, visibility: Visibility) -> None:
        """Remove an unfinished upload.

        Raises
        ------
        NotFoundError
            There is no such upload.
        """
        await self._run(lambda: self._directory.upload(upload_id, visibility).remove())

    async def discard(self, upload_id: str) -> None:
        """Remove an upload if it is still unfinished."""
        with suppress(NotFoundError):
            await self.abort(upload_id, Visibility.everything())

    async def files(self, visibility: Visibility) -> list[FileRecord]:
        """Return the finished files, newest first."""
        records = await self._run(lambda: self._directory.records(visibility))
        return sorted(records, key=lambda record: record.created_at, reverse=True)

    async def file(self, file_id: str, visibility: Visibility) -> FileRecord:
        """Return a finished file.

        Raises
        ------
        NotFoundError
            There is no such file.
        """
        record = await self._run(lambda: self._directory.record(file_id, visibility))
        if record is None:
            raise no_such_file(file_id)
        return record

    async def delete(self, file_id: str, visibility: Visibility) -> None:
        """Remove a file; another file with the same content is not affected.

        Raises
        ------
        NotFoundError
            There is no such file.
        """

        def delete() -> None:
            if self._directory.record(file_id, visibility) is None:
                raise no_such_file(file_id)
            remove_upload(self._directory.files / file_id)

        await self._run(delete)

    async def sweep(self) -> int:
        """Remove abandoned uploads and return their number."""
        return await self._run(self._directory.sweep)

    def close(self) -> None:
        """End the threads after their present work."""
        self._threads.shutdown(wait=True)

    async def _run(self, work: Callable[[], T]) -> T:
        with system_errors_translated():
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
