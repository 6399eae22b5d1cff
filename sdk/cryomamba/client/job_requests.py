"""What can be asked of a job by its id."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator
from pathlib import Path

from cryomamba.client import calls
from cryomamba.client.save_artifact import save
from cryomamba.client.transport import ProgressCallback, Transport
from cryomamba.engines.artifacts import MASK
from cryomamba.errors import CryoMambaError
from cryomamba.masks.strokes import Strokes
from cryomamba.models.events import Event
from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import Artifact, JobRecord
from cryomamba.wire.requests import ReviseRequest


class JobRequests:
    """The requests about one job, for one event loop; the handle of a job and programs that hold ids use them."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    async def record(self, job_id: str) -> JobRecord:
        """Return a job as it stands."""
        return await self.transport.call(calls.get_job(job_id))

    async def cancel(self, job_id: str) -> JobRecord:
        """Cancel a job; a final one raises :class:`~cryomamba.errors.ConflictError`."""
        return await self.transport.call(calls.cancel_job(job_id))

    async def retry(self, job_id: str) -> JobRecord:
        """Put a failed or cancelled job back into the queue."""
        return await self.transport.call(calls.retry_job(job_id))

    async def focus(self, job_id: str, position: tuple[float, float, float]) -> None:
        """Have tiles around a tomogram voxel (z, y, x) computed first."""
        await self.transport.call(calls.focus_job(job_id, position))

    async def set_strokes(self, job_id: str, strokes: Strokes) -> JobRecord:
        """Have a job that was submitted with strokes trained on these instead, which are all that is painted now.

        A running job trains again at once and begins with the section under the view; its mask is that of the last
        strokes.

        Raises
        ------
        ConflictError
            The job has ended: submit another one with these strokes.
        InvalidRequestError
            It was submitted without strokes, or the tomogram has another shape.
        """
        return await self.transport.call(calls.set_strokes(job_id, strokes))

    def watch(self, job_id: str, *, previews: bool = True) -> AsyncGenerator[Event, None]:
        """Follow a job: the present state and the newest preview at once, then what happens, to its end.

        The last event is the final :class:`~cryomamba.models.events.StateEvent`. Previews and progress that were not
        fetched in time are replaced by newer ones. Disconnects are reported as
        :class:`~cryomamba.models.events.ConnectionEvent`; the client reconnects.
        """
        return self.transport.watch(job_id, previews=previews)

    async def preview(self, job_id: str) -> PreviewFrame:
        """Return the newest preview of a job."""
        return await self.transport.preview(job_id)

    async def download(
        self,
        job_id: str,
        name: str = MASK.name,
        to: str | os.PathLike[str] | None = None,
        *,
        progress: ProgressCallback | None = None,
    ) -> Path:
        """Download a finished file; it appears when it is complete and its SHA-256 is right.

        Parameters
        ----------
        job_id, name : str
        to : path, optional
            A file or a folder; the working folder if not given.
        progress : callable, optional
            Called with bytes done and bytes in all.

        Returns
        -------
        pathlib.Path
            The file.

        Raises
        ------
        ConflictError
            ``checksum_mismatch``: the content does not match the job's record.
        """
        record = await self.record(job_id)
        artifact = next((a for a in record.artifacts if a.name == name), None) or Artifact(name=name, size_bytes=0)
        target = Path(to) if to is not None else Path(name)
        if target.is_dir():
            target = target / name
        await save(self.transport.artifact(job_id, name), target, artifact, progress)
        return target

    async def revise(
        self, job_id: str, mask: str | os.PathLike[str], *, note: str = "", progress: ProgressCallback | None = None
    ) -> JobRecord:
        """Store a corrected mask with its job, as an artifact ``mask_r1.mrc`` and so on; the first mask stays.

        Parameters
        ----------
        job_id : str
            A completed job.
        mask : path
            An MRC file of whole numbers and of the tomogram's shape on this machine; over a direct connection the
            broker must be able to read it by the same path.
        note : str
            What was changed, for people.
        progress : callable, optional
            Called with bytes sent and bytes in all.

        Returns
        -------
        JobRecord
            With the new mask as the last of its ``revisions``; content that one of them has already adds none.

        Raises
        ------
        ConflictError
            The job has no mask, or too many revisions.
        VolumeError
            The file is not a mask of this job.
        """
        job = calls.job_ref(job_id).job
        if not self.transport.takes_files:
            return await self.transport.call(calls.revise_job(ReviseRequest(job=job, path=str(mask), note=note)))
        uploaded = await self.transport.upload(Path(mask), progress=progress, keep=False)
        request = ReviseRequest(job=job, file_id=uploaded.file.file_id, note=note)
        record = await self.transport.call(calls.revise_job(request))
        if uploaded.new:
            # The gateway has copied it.
            with contextlib.suppress(CryoMambaError):
                await self.transport.call(calls.delete_file(uploaded.file.file_id))
        return record
