"""Segmentation without any service, in the calling process, where the server extra is installed.

The implementation comes through the entry point group ``cryomamba.runners``, so that this package needs none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal, Protocol

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.events import PreviewEvent, ProgressEvent
from cryomamba.records import CANDIDATES, SCORES, EngineInfo, SubmitRequest

GROUP = "cryomamba.runners"
NAME = "local"
LOCAL_JOB = "local"

ExportFormat = Literal["nifti", "nrrd", "scores", "candidates", "instances", "middle", "normals", "csv", "star", "tbl"]
ARTIFACTS: Mapping[ExportFormat, str] = {
    "nifti": "mask.nii.gz",
    "nrrd": "mask.nrrd",
    "scores": SCORES,
    "candidates": CANDIDATES,
    "instances": "instances.mrc",
    "middle": "middle.mrc",
    "normals": "normals.nrrd",
    "csv": "picks.csv",
    "star": "picks.star",
    "tbl": "picks.tbl",
}
ENDINGS: Mapping[ExportFormat, str] = {
    "nifti": ".nii.gz",
    "nrrd": ".nrrd",
    "scores": "_scores.mrc",
    "candidates": "_candidates.csv",
    "instances": "_instances.mrc",
    "middle": "_middle.mrc",
    "normals": "_normals.nrrd",
    "csv": ".csv",
    "star": ".star",
    "tbl": ".tbl",
}
PICKS: tuple[ExportFormat, ...] = ("csv", "star", "tbl")
MAKES = "makes"
"""Key of a parameter in an engine's JSON schema: which of the formats a job has that sets it."""
LocalEvent = ProgressEvent | PreviewEvent


@dataclass(frozen=True, slots=True)
class LocalResult:
    """What a local run has written.

    Attributes
    ----------
    mask : Path
        The mask, an MRC file.
    exports : tuple of Path
        The other files that were asked for, in that order.
    statistics : dict
        What a server writes into ``stats.json``: engine, parameters, voxel size, and for each label voxels, volume,
        centroid and box.
    """

    mask: Path
    exports: tuple[Path, ...]
    statistics: dict[str, Any]


class LocalRunner(Protocol):
    """Runs an engine over a volume in this process."""

    def engines(self) -> tuple[EngineInfo, ...]:
        """Describe the engines that this environment has, by name."""

    def run(
        self,
        source: Path | None,
        request: SubmitRequest,
        *,
        output: Path,
        on_event: Callable[[LocalEvent], None],
        cancelled: Callable[[], bool],
        formats: Sequence[ExportFormat] = (),
    ) -> LocalResult:
        """Segment a volume; blocks until it is done. Several runs may go on at once, each in a thread of its own.

        Parameters
        ----------
        source : Path or None
            The tomogram; any path that this process can read. None for a request that names a shape only.
        request : SubmitRequest
            Engine, parameters, preview options, and the volume's ``voxel_size_A`` and ``shape``; its ``path`` is not
            used.
        output : Path
            Where the mask appears when it is complete; a file that is there is replaced. Its folder exists, and holds
            unfinished files meanwhile.
        on_event : callable
            Called in this thread with progress and previews, whose job is called ``local``.
        cancelled : callable
            Asked often, in this thread, at least between any two tiles.
        formats : sequence of ExportFormat
            Further files next to the mask, named like it with one of ``ENDINGS``: the mask in other formats, and the
            scores that it was cut from; of engines that find places, tables of them, and next to the scores a table of
            the `candidates` that another threshold chooses from; and what the engine's parameters have made besides
            (:class:`~cryomamba.membrane_options.MembraneOptions`).

        Raises
        ------
        VolumeError
            The volume cannot be used.
        InvalidRequestError
            There is no such engine, a parameter does not fit, or a file is asked for that this engine with these
            parameters does not make.
        JobFailedError
            ``cancelled``, or the engine failed. Nothing is left behind.
        """


def made_by(schema: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[ExportFormat, ...]:
    """Return which further files a job's parameters ask for, given the JSON schema of its engine's parameters."""
    fields = schema.get("properties", {})
    asked = {field.get(MAKES) for name, field in fields.items() if values.get(name)}
    return tuple(form for form in ARTIFACTS if form in asked)


def candidates_beside(scores: Path) -> Path:
    """Return where the places lie that belong to a file of scores, if its engine has found any."""
    name = scores.name
    return scores.with_name(name.removesuffix(SCORES) + CANDIDATES if name.endswith(SCORES) else f"{name}.{CANDIDATES}")


def find_local_runner() -> LocalRunner:
    """Return what runs engines in this process.

    Raises
    ------
    InvalidRequestError
        ``engine_unavailable``: this environment has none.
    """
    found = next(iter(entry_points(group=GROUP, name=NAME)), None)
    if found is None:
        raise _missing()
    try:
        runner: LocalRunner = found.load()()
    except ImportError as error:
        raise _missing() from error
    return runner


def _missing() -> InvalidRequestError:
    return InvalidRequestError(
        "Engines cannot run in this environment: parts of CryoMamba are not installed.",
        code=ErrorCode.ENGINE_UNAVAILABLE,
        hint="Install them with: pip install 'cryomamba[server]'; or name a server with --server.",
    )
