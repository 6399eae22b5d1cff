"""Whether an attempt that has failed concerns the worker alone, so that another worker may run the job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from cryomamba.engines.artifacts import SCORES
from cryomamba.errors import CryoMambaError, ErrorCode
from cryomamba.models.jobs import JobError, JobRecord, VolumeSummary
from cryomamba.models.masks import MaskSummary
from cryomamba.volumes.allowed_paths import resolve_below
from cryomamba_broker.admission import VolumeRoots
from cryomamba_broker.placement import Placement
from cryomamba_server.uploaded_files import uploaded_volume

NOT_SEEN: Final = frozenset({ErrorCode.VOLUME_NOT_FOUND, ErrorCode.PATH_FORBIDDEN})
_OF_WORKER: Final = frozenset({ErrorCode.ENGINE_UNAVAILABLE, ErrorCode.UNKNOWN_MODEL})


def are_files_visible(record: JobRecord, roots: VolumeRoots) -> bool:
    """Whether the broker sees the volume and the mask of a job; blocks."""
    try:
        return all(_path(source, roots).is_file() for source in (record.volume, record.within) if _is_file(source))
    except (CryoMambaError, OSError):
        return False


def not_seen_reason(record: JobRecord) -> str:
    """Return why a job waits whose files no worker sees."""
    names = [source.path or source.name for source in (record.volume, record.within) if source is not None]
    return f"No worker can access {' and '.join(names)}: the folder has to be mounted on the host of a worker."


def concerns_worker(error: JobError, params: Mapping[str, Any]) -> bool:
    """Whether an error says that this worker cannot run the job: an engine, a model or a device is missing."""
    without_device = error.code is ErrorCode.INVALID_PARAMETERS and params.get("device") not in {None, "cpu"}
    return error.code in _OF_WORKER or without_device


def has_larger(error: JobError, others: Placement, job: tuple[str, str, str], memory_bytes: int) -> bool:
    """Whether a job that ran out of memory can run on another worker that has more.

    Parameters
    ----------
    others : Placement
        Without the worker that failed.
    job : tuple of str
        Its id, its engine and its model.
    memory_bytes : int
        Of the worker that failed.
    """
    return error.code is ErrorCode.OUT_OF_MEMORY and others.larger_than(memory_bytes).can_run(*job)


def _is_file(source: VolumeSummary | MaskSummary | None) -> bool:
    return source is not None and (source.path or source.file_id or source.job_id) is not None


def _path(source: VolumeSummary | MaskSummary | None, roots: VolumeRoots) -> Path:
    if source is None:
        raise ValueError("there is no file")
    if source.job_id is not None:
        name = source.name if isinstance(source, MaskSummary) else SCORES.name
        return resolve_below(f"{source.job_id}/{name}", (roots.artifacts,))
    if source.file_id is not None:
        return uploaded_volume(roots.uploads, source.file_id)
    allowed: Sequence[Path] = roots.allowed
    return resolve_below(source.path or "", allowed, closed=roots.forbidden)
