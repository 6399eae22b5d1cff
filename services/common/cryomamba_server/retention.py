"""What a server keeps although nobody needs it any more: found first, removed only when asked."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from cryomamba.access.keys import key_for
from cryomamba.access.roles import Role
from cryomamba.client import calls
from cryomamba.client.bus_transport import BusTransport
from cryomamba.endpoints import ConnectionFile
from cryomamba.errors import ConflictError, NotFoundError
from cryomamba.models.files import FileRecord
from cryomamba.models.jobs import JobRecord, JobState
from cryomamba.settings import Settings
from cryomamba_server.uploaded_files import read_record, remove_upload
from cryomamba_server.workspace import remove, stale

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that may go.

    Attributes
    ----------
    kind : str
        ``job`` (ended long ago), ``files`` (of a job that is gone, or that ended without a result), ``work`` (of an
        attempt that nobody works on), or ``upload`` (a file that was sent long ago and that no job needs).
    name : str
        A job's id, with the attempt of ``work``; a file's id of ``upload``.
    path : Path
        The folder; of a job, it need not be there.
    nbytes : int
        What the folder holds.
    record : JobRecord or None
        Of a job.
    file : FileRecord or None
        Of an upload.
    """

    kind: Literal["job", "files", "work", "upload"]
    name: str
    path: Path
    nbytes: int
    record: JobRecord | None = None
    file: FileRecord | None = None


async def find_leftovers(settings: Settings, *, days: float, now: datetime | None = None) -> list[Leftover]:
    """Look what this home keeps although it may go; nothing is changed.

    Parameters
    ----------
    settings : Settings
        Of the home.
    days : float
        Jobs that ended longer ago may go, and files that were sent longer ago and that no younger job has used.
    now : datetime, optional

    Raises
    ------
    UnavailableError
        No broker runs with this home: it alone knows the jobs.
    """
    before = (now or datetime.now(UTC)) - timedelta(days=days)
    # Folders before jobs: a folder that was there before its job was looked for belongs to one that is gone.
    folders = sorted(path for path in settings.artifacts.glob("*") if path.is_dir())
    jobs = {record.job_id: record for record in await _all_jobs(settings)}
    old = [job for job in jobs.values() if job.completed_at is not None and job.completed_at < before]
    gone = {job.job_id for job in old}
    found = [
        Leftover("job", job.job_id, path := settings.artifacts / job.job_id, folder_nbytes(path), job) for job in old
    ]
    found += [
        Leftover("files", path.name, path, folder_nbytes(path))
        for path in folders
        if path.name not in gone and not _may_hold_files(jobs.get(path.name))
    ]
    found += [
        Leftover("work", f"{path.parent.name}/{path.name}", path, folder_nbytes(path)) for path in stale(settings.work)
    ]
    needed = {job.volume.file_id for job in jobs.values() if job.job_id not in gone}
    return found + [leftover for leftover in _old_uploads(settings.uploads, before) if leftover.name not in needed]


def _old_uploads(uploads: Path, before: datetime) -> Iterator[Leftover]:
    # Unfinished ones are the gateway's own business: it removes them after CRYOMAMBA_UPLOAD_HOURS.
    for path in sorted((uploads / "files").glob("[!.]*")):
        file = read_record(path)
        if file is not None and file.created_at < before:
            yield Leftover("upload", path.name, path, folder_nbytes(path), file=file)


async def remove_leftovers(settings: Settings, leftovers: Iterable[Leftover]) -> int:
    """Remove what was found and return how many went; a job that has been tried again since stays."""
    transport = _transport(settings)
    removed = 0
    try:
        for leftover in leftovers:
            match leftover.kind:
                case "job":
                    try:
                        await transport.call(calls.delete_job(leftover.name))
                    except (ConflictError, NotFoundError):
                        continue
                case "files":
                    shutil.rmtree(leftover.path, ignore_errors=True)
                case "work":
                    remove(leftover.path)
                case "upload":
                    with suppress(NotFoundError):
                        remove_upload(leftover.path)
            removed += 1
    finally:
        await transport.close()
    return removed


def folder_nbytes(folder: Path) -> int:
    """Return how many bytes the files below a folder have; 0 if there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _may_hold_files(job: JobRecord | None) -> bool:
    # An attempt that was cut off between giving its files their names and saying so leaves them to a job that failed.
    return job is not None and job.state not in {JobState.FAILED, JobState.CANCELLED}


async def _all_jobs(settings: Settings) -> list[JobRecord]:
    transport = _transport(settings)
    jobs: list[JobRecord] = []
    cursor: str | None = None
    try:
        while True:
            page = await transport.call(calls.list_jobs(state=None, limit=_PAGE, cursor=cursor))
            jobs += page.jobs
            cursor = page.cursor
            if cursor is None:
                return jobs
    finally:
        await transport.close()


def _transport(settings: Settings) -> BusTransport:
    endpoints = ConnectionFile.read(settings.connection_file).endpoints
    return BusTransport(endpoints.jobs, endpoints=endpoints, key=key_for(settings, Role.ADMIN))
