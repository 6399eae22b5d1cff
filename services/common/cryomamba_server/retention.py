"""Retention: find the files that a server no longer needs, and remove them on request."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from cryomamba.access.keys import key_for
from cryomamba.access.roles import Role
from cryomamba.client import AsyncClient, calls
from cryomamba.client.bus_transport import BusTransport
from cryomamba.endpoints import ConnectionFile
from cryomamba.errors import ConflictError, NotFoundError
from cryomamba.models.files import FileRecord
from cryomamba.models.jobs import JobRecord, JobState
from cryomamba.settings import Settings
from cryomamba_server.uploaded_files import read_record, remove_upload
from cryomamba_server.workspace import remove_workspace, stale_workspaces


@dataclass(frozen=True, slots=True)
class Leftover:
    """An item that is no longer needed.

    Attributes
    ----------
    kind : str
        ``job``: an expired job. ``files``: artifacts whose job is deleted, failed or cancelled. ``work``: unfinished
        files that no process works on. ``upload``: an expired upload that no job needs.
    name : str
        Job id; for ``work`` with the number of the attempt; for ``upload`` the file id.
    path : Path
        The folder, which a job need not have.
    nbytes : int
        Size of the folder.
    record : JobRecord or None
        Of a ``job``.
    file : FileRecord or None
        Of an ``upload``.
    """

    kind: Literal["job", "files", "work", "upload"]
    name: str
    path: Path
    nbytes: int
    record: JobRecord | None = None
    file: FileRecord | None = None


async def find_leftovers(settings: Settings, *, days: float, now: datetime | None = None) -> list[Leftover]:
    """Return what the server with these settings no longer needs; nothing is changed.

    Parameters
    ----------
    settings : Settings
    days : float
        Jobs expire this long after they ended; uploads, this long after they were sent, unless a job that is kept uses
        them.
    now : datetime, optional

    Raises
    ------
    UnavailableError
        No broker runs with this data directory: only it knows the jobs.
    """
    before = (now or datetime.now(UTC)) - timedelta(days=days)
    # Folders are listed before jobs, so a folder without a job belongs to a deleted job, not to a new one.
    folders = sorted(path for path in settings.artifacts.glob("*") if path.is_dir())
    jobs = {record.job_id: record for record in await all_jobs(settings)}
    old = [job for job in jobs.values() if job.completed_at is not None and job.completed_at < before]
    gone = {job.job_id for job in old}
    found = [
        Leftover("job", job.job_id, path := settings.artifacts / job.job_id, folder_nbytes(path), job) for job in old
    ]
    found += [
        Leftover("files", path.name, path, folder_nbytes(path))
        for path in folders
        if path.name not in gone and not _may_have_files(jobs.get(path.name))
    ]
    found += [
        Leftover("work", f"{path.parent.name}/{path.name}", path, folder_nbytes(path))
        for path in stale_workspaces(settings.work)
    ]
    kept = [job for job in jobs.values() if job.job_id not in gone]
    needed = {source.file_id for job in kept for source in (job.volume, job.within) if source is not None}
    return found + [leftover for leftover in _old_uploads(settings.uploads, before) if leftover.name not in needed]


def _old_uploads(uploads: Path, before: datetime) -> Iterator[Leftover]:
    # The gateway itself removes unfinished uploads, after CRYOMAMBA_UPLOAD_HOURS.
    for path in sorted((uploads / "files").glob("[!.]*")):
        file = read_record(path)
        if file is not None and file.created_at < before:
            yield Leftover("upload", path.name, path, folder_nbytes(path), file=file)


async def remove_leftovers(settings: Settings, leftovers: Iterable[Leftover]) -> int:
    """Remove leftovers and return how many were removed; a job that has been retried since is kept."""
    removed = 0
    async with _client(settings) as client:
        for leftover in leftovers:
            match leftover.kind:
                case "job":
                    try:
                        await client.transport.call(calls.delete_job(leftover.name))
                    except (ConflictError, NotFoundError):
                        continue
                case "files":
                    shutil.rmtree(leftover.path, ignore_errors=True)
                case "work":
                    remove_workspace(leftover.path)
                case "upload":
                    with suppress(NotFoundError):
                        remove_upload(leftover.path)
            removed += 1
    return removed


def folder_nbytes(folder: Path) -> int:
    """Return the total size of the files below a folder; 0 if there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _may_have_files(job: JobRecord | None) -> bool:
    # An attempt that was cut off between publishing its files and reporting them leaves them to a failed job.
    return job is not None and job.state not in {JobState.FAILED, JobState.CANCELLED}


async def all_jobs(settings: Settings) -> list[JobRecord]:
    """Return the jobs of all owners, with the data directory's own key."""
    async with _client(settings) as client:
        return [job.record for job in await client.jobs(limit=sys.maxsize)]


def _client(settings: Settings) -> AsyncClient:
    endpoints = ConnectionFile.read(settings.connection_file).endpoints
    return AsyncClient(BusTransport(endpoints.jobs, endpoints=endpoints, key=key_for(settings, Role.ADMIN)))
