"""How a tomogram gets to the server: by its path where the server can read the same file, else by an upload."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from cryomamba.client import calls
from cryomamba.client.calls import KEY_MAX
from cryomamba.client.transport import ProgressCallback, Transport
from cryomamba.errors import ConflictError, CryoMambaError, ErrorCode, InvalidRequestError
from cryomamba.geometry import Shape
from cryomamba.models.jobs import JobRecord, SubmitRequest, VolumeSource
from cryomamba.printable import file_text, is_unicode
from cryomamba.volumes import inspect

UploadMode = Literal["auto", "never", "always"]

NOT_VISIBLE: Final = frozenset({ErrorCode.PATH_FORBIDDEN, ErrorCode.VOLUME_NOT_FOUND})


def is_not_visible(error: CryoMambaError) -> bool:
    """Whether a job was refused because the server cannot see the file, so that an upload would help."""
    return error.code in NOT_VISIBLE


async def submit(transport: Transport, request: SubmitRequest) -> JobRecord:
    """Submit a job; a caller that is cancelled meanwhile leaves no job behind."""
    submitting = asyncio.ensure_future(transport.call(calls.submit_job(request)))
    try:
        return await asyncio.shield(submitting)
    except asyncio.CancelledError:
        with contextlib.suppress(CryoMambaError):
            await transport.call(calls.cancel_job((await submitting).job_id))
        raise


@dataclass(frozen=True, slots=True)
class VolumeSubmission:
    """A tomogram to be segmented on a server.

    Attributes
    ----------
    transport : Transport
    path : path
        On this machine, or one that only the server can read.
    request : callable
        Makes the request for a volume's source.
    progress, reading : callable, optional
        Called with bytes done and bytes in all: `reading` while the checksum is computed, then `progress` during the
        upload.
    keep : bool
        Whether the parts of a cancelled upload stay on the server, so that it can be resumed.
    """

    transport: Transport
    path: str | os.PathLike[str]
    request: Callable[[VolumeSource], SubmitRequest]
    progress: ProgressCallback | None = None
    reading: ProgressCallback | None = None
    keep: bool = True

    async def run(self, mode: UploadMode) -> JobRecord:
        """Submit the job, after an upload where it is needed.

        Parameters
        ----------
        mode : {'auto', 'never', 'always'}
            ``auto`` uploads the file if the server has none under its path, may not read it, or has another one there
            (of another shape), and if this client can send files. A path that is not UTF-8 is always uploaded.

        Raises
        ------
        VolumeError, InvalidRequestError
            The server cannot read the file and it cannot be uploaded either.
        ConflictError
            ``volume_not_found``: under this path the server has another file.
        """
        if mode == "always" or (mode == "auto" and self.transport.takes_files and not is_unicode(self.path)):
            return await self._by_upload()
        try:
            return await self._by_path()
        except CryoMambaError as error:
            if mode == "never" or not is_not_visible(error) or not self.transport.takes_files:
                raise
            if not await asyncio.to_thread(Path(self.path).is_file):
                raise
            # With a key of its own, for the key of the job that was cancelled would return that one.
            suffix = "-upload" if isinstance(error, ConflictError) else ""
        return await self._by_upload(suffix)

    async def _by_path(self) -> JobRecord:
        if not is_unicode(self.path):
            raise InvalidRequestError(
                f"The path '{file_text(self.path)}' is not UTF-8, so a server cannot be asked for it.",
                hint="Rename the file, or upload it through a gateway (http://…).",
            )
        path, shape = await asyncio.to_thread(_local, self.path)
        record = await submit(self.transport, self.request(VolumeSource(path=path)))
        if shape is not None and record.volume.shape != shape:
            # It may have ended already.
            with contextlib.suppress(CryoMambaError):
                await self.transport.call(calls.cancel_job(record.job_id))
            raise ConflictError(
                f"The server has another file under the path of {Path(path).name}.",
                code=ErrorCode.VOLUME_NOT_FOUND,
                hint="Upload the tomogram.",
            )
        return record

    async def _by_upload(self, key_suffix: str = "") -> JobRecord:
        uploaded = await self.transport.upload(
            Path(self.path), progress=self.progress, reading=self.reading, keep=self.keep
        )
        request = self.request(VolumeSource(file_id=uploaded.file.file_id))
        key = f"{request.client_key}{key_suffix}"[-KEY_MAX:]
        return await submit(self.transport, request.model_copy(update={"client_key": key}))


def _local(path: str | os.PathLike[str]) -> tuple[str, Shape | None]:
    """Return a path as the server should look it up, and the shape of a volume that this machine has there."""
    local = Path(path)
    try:
        # A relative path would mean another file on the server.
        return (str(local.absolute()), inspect(local).shape) if local.is_file() else (os.fspath(path), None)
    except CryoMambaError:
        return str(local.absolute()), None
