"""Checks of a submit before it is queued. File headers are read, so this must run in a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable

from cryomamba.access.visibility import Visibility
from cryomamba.engines.artifacts import SCORES
from cryomamba.engines.info import EngineInfo
from cryomamba.engines.registry import NO_SUCH_PARAMETER, parameter_problems, unknown_engine
from cryomamba.engines.strokes import STROKES, takes_strokes
from cryomamba.errors import CryoMambaError, ErrorCode, InvalidRequestError, NotFoundError, UnavailableError
from cryomamba.geometry import Shape, Spacing
from cryomamba.masks.strokes import read_strokes
from cryomamba.models.files import FileRecord
from cryomamba.models.jobs import RETHRESHOLD, SubmitRequest, VolumeSource, VolumeSummary
from cryomamba.volumes.allowed_paths import resolve_below, verify_opened
from cryomamba.volumes.file_version import FileVersion
from cryomamba.volumes.mrc import inspect, open_volume
from cryomamba.volumes.statistics import check_finite_sample
from cryomamba_broker.store import NewJob
from cryomamba_broker.store.rows import truncate
from cryomamba_server.uploaded_files import no_such_file, read_record, uploaded_volume

DEMO_VOXEL_A: Final[Spacing] = (10.0, 10.0, 10.0)
PATH_MAX_BYTES: Final = 4096
_WARNINGS_MAX: Final = 8
_PROBLEMS_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class VolumeRoots:
    """The folders from which volumes may be read.

    Attributes
    ----------
    allowed : sequence of Path
        The allowed input directories, for volumes that are given by path.
    artifacts, uploads : Path
        Finished files of jobs, and uploaded files.
    forbidden : sequence of Path
        Folders of the server that no path may lead to, even below an allowed directory.
    """

    allowed: Sequence[Path]
    artifacts: Path
    uploads: Path
    forbidden: Sequence[Path] = ()


def admit(request: SubmitRequest, engines: Sequence[EngineInfo], roots: VolumeRoots, visibility: Visibility) -> NewJob:
    """Check a submit and return the job that it makes.

    Parameters
    ----------
    visibility : Visibility
        Whose uploaded files may be used.

    Raises
    ------
    NotFoundError
        There is no visible uploaded file with this id, or the job whose scores are wanted has none.
    UnavailableError
        ``no_worker``: no worker has ever connected, so no engine is known.
    InvalidRequestError
        The engine, a parameter or the volume is not valid; see the code.
    """
    engine = choose_engine(request, engines)
    check_parameters(engine, request.params)
    source = request.volume
    if source.shape is not None:
        return NewJob(request, engine.name, _demo_summary(source, source.shape, engine))
    if source.file_id is not None:
        return NewJob(request, engine.name, _upload_summary(source, source.file_id, roots.uploads, visibility))
    if source.job_id is not None:
        return NewJob(request, engine.name, _scores_summary(source, source.job_id, roots.artifacts))
    return NewJob(request, engine.name, _file_summary(source, source.path or "", roots.allowed, roots.forbidden))


def choose_engine(request: SubmitRequest, engines: Sequence[EngineInfo]) -> EngineInfo:
    """Return the engine that a request names, or the default one.

    For a request with a shape alone, engines that need no volume come first; for one with the scores of a job, the
    engine that applies another threshold is taken.

    Raises
    ------
    UnavailableError
        ``no_worker``: no worker has ever connected.
    InvalidRequestError
        ``unknown_engine`` or ``engine_unavailable``.
    """
    if not engines:
        raise UnavailableError(
            "No inference service has connected yet, so the server cannot segment anything.",
            code=ErrorCode.NO_WORKER,
            hint="Ask whoever runs the server to start an inference service.",
        )
    named = request.engine or (RETHRESHOLD if request.volume.job_id is not None else None)
    if named is not None:
        return _named(named, engines)
    ready = [info for info in engines if info.available]
    ready.sort(key=lambda info: not info.default)
    if request.volume.shape is not None:
        ready.sort(key=lambda info: info.needs_volume)
    if not ready:
        raise InvalidRequestError(
            "No engine can run on this server.",
            code=ErrorCode.ENGINE_UNAVAILABLE,
            hint="'cryomamba engines' lists what each engine needs.",
        )
    return ready[0]


def _named(name: str, engines: Iterable[EngineInfo]) -> EngineInfo:
    known = {info.name: info for info in engines}
    info = known.get(name)
    if info is None:
        raise unknown_engine(name, sorted(known))
    if not info.available:
        raise InvalidRequestError(
            f"The engine '{name}' cannot run here: {info.reason}".rstrip(": "),
            code=ErrorCode.ENGINE_UNAVAILABLE,
            hint=info.hint,
        )
    return info


def check_parameters(engine: EngineInfo, params: dict[str, Any]) -> None:
    """Check parameters against the engine's JSON schema.

    Raises
    ------
    InvalidRequestError
        ``invalid_parameters``; the message names the first that does not fit, the details all.
    """
    # With an empty registry, references in a schema are not fetched over the network.
    validator = Draft202012Validator(engine.parameters, registry=Registry())
    try:
        errors = sorted(validator.iter_errors(params), key=lambda error: [str(part) for part in error.absolute_path])
    except (Unresolvable, RecursionError):
        raise InvalidRequestError(
            f"The parameters of '{engine.name}' cannot be checked: the engine's schema is not valid.",
            code=ErrorCode.ENGINE_UNAVAILABLE,
            hint="Report this to the authors of the engine.",
        ) from None
    problems = [problem for error in errors[:_PROBLEMS_MAX] for problem in _problems(error)]
    if problems:
        raise parameter_problems(engine.name, problems[:_PROBLEMS_MAX], engine.parameters.get("properties", {}))
    if takes_strokes(engine.parameters) and params.get(STROKES) is not None:
        # Whether packed voxels are inside of the tomogram, for example, no schema can say.
        read_strokes(params[STROKES])


def _problems(error: ValidationError) -> list[dict[str, str]]:
    above = [str(part) for part in error.absolute_path]
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        allowed = error.schema.get("properties", {}) if isinstance(error.schema, dict) else {}
        names = [str(name) for name in error.instance if name not in allowed]
        return [{"field": truncate(".".join([*above, name]), 100), "problem": NO_SUCH_PARAMETER} for name in names]
    return [{"field": truncate(".".join(above), 100) or "params", "problem": truncate(error.message, 200)}]


def _demo_summary(volume: VolumeSource, shape: Shape, engine: EngineInfo) -> VolumeSummary:
    if engine.needs_volume:
        raise InvalidRequestError(
            f"The engine '{engine.name}' needs a tomogram, but only a shape was given.",
            hint="Give the path of a tomogram, or choose an engine that needs none, such as 'demo'.",
        )
    return VolumeSummary(name="demo", shape=shape, voxel_size_A=volume.voxel_size_A or DEMO_VOXEL_A)


def _scores_summary(volume: VolumeSource, job_id: str, artifacts: Path) -> VolumeSummary:
    try:
        path = resolve_below(f"{job_id}/{SCORES.name}", (artifacts,))
    except CryoMambaError:
        raise NotFoundError(
            "There is no job with this id that has a score map.",
            hint="The record of a completed job lists its files; some engines write no score map.",
        ) from None
    found = OpenedFile(partial(verify_opened, path=path, roots=(artifacts,)))
    meta = inspect(path, voxel_size_A=volume.voxel_size_A, check=found.check)
    return VolumeSummary(
        name=f"{SCORES.name} of job {job_id[:8]}",
        shape=meta.shape,
        voxel_size_A=meta.voxel_size_A,
        job_id=job_id,
        dtype=meta.dtype,
        version=found.version.content().to_text() if found.version else None,
    )


def _file_summary(
    volume: VolumeSource, path: str, allowed: Sequence[Path], forbidden: Sequence[Path] = ()
) -> VolumeSummary:
    if len(path.encode("utf-8", "replace")) > PATH_MAX_BYTES:
        raise InvalidRequestError("The path is too long.", code=ErrorCode.PATH_FORBIDDEN)
    real = resolve_below(path, allowed, closed=forbidden)

    check = partial(verify_opened, path=real, roots=allowed, closed=forbidden)
    found = OpenedFile(check)
    meta = inspect(real, voxel_size_A=volume.voxel_size_A, check=found.check)
    # A compressed file would have to be decompressed whole; the worker does that anyway, and checks the voxels.
    if meta.compression is None:
        with open_volume(real, check=check) as opened:
            check_finite_sample(opened)
    return VolumeSummary(
        name=truncate(meta.name, 255),
        shape=meta.shape,
        voxel_size_A=meta.voxel_size_A,
        path=path,
        dtype=meta.dtype,
        warnings=tuple(truncate(warning.message, 300) for warning in meta.warnings[:_WARNINGS_MAX]),
        version=found.version.to_text() if found.version else None,
    )


class OpenedFile:
    """Checks a file as it is opened, and notes its version: that of the header from which the job is described."""

    def __init__(self, check: Callable[[int], None]) -> None:
        self._check = check
        self.version: FileVersion | None = None

    def check(self, descriptor: int) -> None:
        """Check an open file; may raise to refuse it."""
        self._check(descriptor)
        self.version = FileVersion.of(descriptor)


def find_upload(uploads: Path, file_id: str, visibility: Visibility) -> tuple[Path, FileRecord | None]:
    """Return the path and record of an uploaded volume.

    Raises
    ------
    NotFoundError
        There is no visible file with this id.
    """
    path = uploaded_volume(uploads, file_id)
    record = read_record(path.parent)
    if not visibility.includes(record.owner if record else ""):
        raise no_such_file(file_id)
    return path, record


def _upload_summary(volume: VolumeSource, file_id: str, uploads: Path, visibility: Visibility) -> VolumeSummary:
    path, record = find_upload(uploads, file_id, visibility)
    summary = _file_summary(volume, str(path), (uploads,))
    name = summary.name if record is None else truncate(record.filename, 255)
    # Nobody changes an uploaded file, but a backup may have restored it.
    version = FileVersion.from_text(summary.version or "")
    text = None if version is None else version.content().to_text()
    return summary.model_copy(update={"name": name, "path": None, "file_id": file_id, "version": text})
