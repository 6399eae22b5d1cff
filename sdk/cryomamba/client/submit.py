"""How files get to the server: by their paths where the server can read the same files, else by an upload."""

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
from cryomamba.masks.region import WITHIN
from cryomamba.models.jobs import JobRecord, SubmitRequest, VolumeSource
from cryomamba.models.masks import MaskSource
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
class JobSubmission:
    """A tomogram, and a mask of it if there is one, to be segmented on a server.

    Attributes
    ----------
    transport : Transport
    tomogram : path or None
        On this machine, or one that only the server can read; None if there is a `source`.
    source : VolumeSource or None
        What the server has already.
    mask : path, MaskSource or None
        The mask that limits the job to a region: a path like that of the tomogram, or what the server has already.
    request : callable
        Makes the request for the sources of volume and mask.
    progress, reading : callable, optional
        Called with bytes done and bytes in all: `reading` while the checksum is computed, then `progress` during the
        upload.
    keep : bool
        Whether the parts of a cancelled upload stay on the server, so that it can be resumed.
    """

    transport: Transport
    tomogram: str | os.PathLike[str] | None
    source: VolumeSource | None
    mask: str | os.PathLike[str] | MaskSource | None
    request: Callable[[VolumeSource, MaskSource | None], SubmitRequest]
    progress: ProgressCallback | None = None
    reading: ProgressCallback | None = None
    keep: bool = True

    async def run(self, mode: UploadMode) -> JobRecord:
        """Submit the job, after uploads where they are needed.

        Parameters
        ----------
        mode : {'auto', 'never', 'always'}
            ``auto`` uploads a file if the server has none under its path, may not read it, or has another one there
            (of another shape), and if this client can send files. A path that is not UTF-8 is always uploaded.

        Raises
        ------
        VolumeError, InvalidRequestError
            The server cannot read a file and it cannot be uploaded either, or the mask does not fit the tomogram.
        ConflictError
            ``volume_not_found``: under this path the server has another file.
        """
        volume, shape = await self._first_source(mode)
        mask, suffix = await self._first_mask(mode), ""
        while True:
            try:
                return await self._submit(volume, mask, shape, suffix)
            except CryoMambaError as error:
                named = mask if _concerns_mask(error) else volume
                if mode == "never" or not is_not_visible(error) or not self.transport.takes_files:
                    raise
                if named is None or named.path is None or not await asyncio.to_thread(Path(named.path).is_file):
                    raise
                # With a key of its own, for the key of the job that was cancelled would return that one.
                suffix = "-upload" if isinstance(error, ConflictError) else suffix
            if named is mask:
                mask = await self._uploaded_mask()
            else:
                volume, shape = await self._uploaded_tomogram(), None

    async def _submit(
        self, volume: VolumeSource, mask: MaskSource | None, shape: Shape | None = None, key_suffix: str = ""
    ) -> JobRecord:
        request = self.request(volume, mask)
        key = f"{request.client_key}{key_suffix}"[-KEY_MAX:]
        record = await submit(self.transport, request.model_copy(update={"client_key": key}))
        if shape is not None and record.volume.shape != shape:
            # It may have ended already.
            with contextlib.suppress(CryoMambaError):
                await self.transport.call(calls.cancel_job(record.job_id))
            raise ConflictError(
                f"The server has another file under the path of {Path(volume.path or '').name}.",
                code=ErrorCode.VOLUME_NOT_FOUND,
                hint="Upload the tomogram.",
            )
        return record

    async def _first_source(self, mode: UploadMode) -> tuple[VolumeSource, Shape | None]:
        """Return the tomogram as it is named first, and the shape of a file that this machine has under that name."""
        if self.source is not None or self.tomogram is None:
            return self.source or VolumeSource(), None
        if self._is_uploaded_first(self.tomogram, mode):
            return await self._uploaded_tomogram(), None
        path, shape = await asyncio.to_thread(_local, self.tomogram)
        return VolumeSource(path=path), shape

    async def _first_mask(self, mode: UploadMode) -> MaskSource | None:
        if self.mask is None or isinstance(self.mask, MaskSource):
            return self.mask
        if self._is_uploaded_first(self.mask, mode):
            return await self._uploaded_mask()
        return MaskSource(path=await asyncio.to_thread(_absolute, self.mask))

    def _is_uploaded_first(self, path: str | os.PathLike[str], mode: UploadMode) -> bool:
        return mode == "always" or (mode == "auto" and self.transport.takes_files and not is_unicode(path))

    async def _uploaded_tomogram(self) -> VolumeSource:
        return VolumeSource(file_id=await self._upload(Path(self.tomogram or "")))

    async def _uploaded_mask(self) -> MaskSource | None:
        if self.mask is None or isinstance(self.mask, MaskSource):
            return self.mask
        return MaskSource(file_id=await self._upload(Path(self.mask)))

    async def _upload(self, path: Path) -> str:
        uploaded = await self.transport.upload(path, progress=self.progress, reading=self.reading, keep=self.keep)
        return uploaded.file.file_id


def _concerns_mask(error: CryoMambaError) -> bool:
    fields = error.details.get("fields")
    return isinstance(fields, list) and any(isinstance(one, dict) and one.get("field") == WITHIN for one in fields)


def _absolute(path: str | os.PathLike[str]) -> str:
    """Return a path as the server should look it up: a relative path of this machine would mean another file there."""
    if not is_unicode(path):
        raise InvalidRequestError(
            f"The path '{file_text(path)}' is not UTF-8, so a server cannot be asked for it.",
            hint="Rename the file, or upload it through a gateway (http://…).",
        )
    return str(Path(path).absolute()) if Path(path).is_file() else os.fspath(path)


def _local(path: str | os.PathLike[str]) -> tuple[str, Shape | None]:
    """Return a path as the server should look it up, and the shape of a volume that this machine has there."""
    absolute = _absolute(path)
    try:
        return absolute, inspect(absolute).shape if Path(absolute).is_file() else None
    except CryoMambaError:
        return absolute, None
