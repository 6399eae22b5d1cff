"""Submitting a tomogram by its path, or by an upload if the server cannot read the file."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from cryomamba.client import AsyncClient
from cryomamba.errors import ConflictError, CryoMambaError, ErrorCode
from cryomamba.models.jobs import JobRecord
from napari_cryomamba.models.submission import JobSubmission

NOT_VISIBLE = frozenset({ErrorCode.PATH_FORBIDDEN, ErrorCode.VOLUME_NOT_FOUND})


def is_not_visible(error: CryoMambaError) -> bool:
    """Whether a job was refused because the server cannot see the file, so that an upload would help."""
    return error.code in NOT_VISIBLE


async def submit_path(client: AsyncClient, submission: JobSubmission) -> JobRecord:
    """Submit a job for a file that the server reads by its path.

    Raises
    ------
    VolumeError, InvalidRequestError
        The server cannot see the file, or may not read it; see :func:`is_not_visible`.
    ConflictError
        The server has a file of another shape under the same path; counts as not visible.
    """
    record = await client.submit(submission.source.path, **submission.fields)
    if record.volume.shape != submission.source.meta.shape:
        # It may have ended already.
        with contextlib.suppress(CryoMambaError):
            await client.cancel(record.job_id)
        raise ConflictError(
            "The server has a different file under this path.",
            code=ErrorCode.VOLUME_NOT_FOUND,
            hint="Upload the tomogram instead.",
        )
    return record


async def upload_and_submit(
    client: AsyncClient,
    submission: JobSubmission,
    progress: Callable[[int, int], None],
    reading: Callable[[int, int], None],
) -> JobRecord:
    """Upload a file and submit a job for it; if this is cancelled, the server deletes the parts it has.

    Both callbacks get bytes done and in all: `reading` while the checksum is computed, then `progress`.

    Raises
    ------
    CryoMambaError
        The file cannot be read or sent, or the job is refused.
    """
    file = await client.upload(submission.source.path, progress=progress, reading=reading, keep=False)
    return await client.submit(file_id=file.file_id, **submission.fields)
