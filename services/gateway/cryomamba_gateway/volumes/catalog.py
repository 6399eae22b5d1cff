"""Which images an uploaded file, a file in an input directory, or a job has, and where they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from cryomamba.access.visibility import Visibility
from cryomamba.client import calls
from cryomamba.engines.artifacts import SCORES, UNCERTAINTY
from cryomamba.errors import CryoMambaError, ErrorCode, NotFoundError, VolumeError
from cryomamba.models.jobs import Artifact, JobRecord, JobState, VolumeSummary
from cryomamba.settings import Settings
from cryomamba.volumes import resolve_below
from cryomamba_gateway.bus_connection import BusConnection
from cryomamba_gateway.uploads.store import UploadStore
from cryomamba_gateway.volumes.hierarchy import LABELS, Image
from cryomamba_gateway.volumes.input_ids import input_path, no_such_input
from cryomamba_gateway.volumes.open_images import ImageSource, is_readable
from cryomamba_gateway.volumes.reader import KnownImage, VolumeReader
from cryomamba_server.uploaded_files import uploaded_volume

Kind = Literal["files", "inputs", "jobs"]
_Key = tuple[Kind, str, Visibility]

TOMOGRAM: Final = ""
FIELD_PATHS: Final[Mapping[str, Literal["scores", "uncertainty"]]] = {
    SCORES.name: "scores",
    UNCERTAINTY.name: "uncertainty",
}
"""Where the files are whose voxels are no labels."""
# A viewer asks for many chunks a second; whether it may see them is looked up again after this time.
REMEMBERED_S: Final = 5.0
_REMEMBERED_MAX: Final = 256
# Jobs of jobs of jobs; no real chain is as long.
_CHAIN_MAX: Final = 16
_VOLUME: Final = ".mrc"


@dataclass(frozen=True, slots=True)
class Images:
    """The images of a file or job.

    Attributes
    ----------
    known : dict of str to KnownImage
        By path in the Zarr hierarchy: the tomogram at the root, masks below ``labels``, ``scores``, ``uncertainty``.
    problems : dict of str to CryoMambaError
        Why an image cannot be read, likewise.
    hint : str
        What to do if an image is not there.
    """

    known: dict[str, KnownImage] = field(default_factory=dict)
    problems: dict[str, CryoMambaError] = field(default_factory=dict)
    hint: str = ""

    @property
    def images(self) -> Mapping[str, Image]:
        """The images by path."""
        return {path: known.image for path, known in self.known.items()}

    def image(self, path: str) -> KnownImage:
        """Return an image.

        Raises
        ------
        NotFoundError
            There is none, or not yet.
        CryoMambaError
            Why it cannot be read.
        """
        if path in self.problems:
            raise self.problems[path]
        if path not in self.known:
            raise self.missing(path)
        return self.known[path]

    def missing(self, key: str) -> NotFoundError:
        """Return the error for a key that is not in the hierarchy."""
        listed = ", ".join(path or "the tomogram at the root" for path in self.known) or "none"
        return NotFoundError(
            f"There is nothing at '{key[:200]}'." if key else "There is no tomogram.",
            hint=f"{self.hint} Images: {listed}.".lstrip(),
        )


class VolumeCatalog:
    """Finds the images that a caller may see. For one event loop.

    Parameters
    ----------
    settings : Settings
    bus : BusConnection
    uploads : UploadStore
    reader : VolumeReader
    """

    def __init__(self, settings: Settings, bus: BusConnection, uploads: UploadStore, reader: VolumeReader) -> None:
        self._settings = settings
        self._bus = bus
        self._uploads = uploads
        self._reader = reader
        self._remembered: dict[_Key, tuple[float, asyncio.Task[Images]]] = {}

    async def images(
        self, kind: Kind, id_: str, visibility: Visibility, *, suffices: Callable[[Images], bool] | None = None
    ) -> Images:
        """Return the images of a file or job.

        Parameters
        ----------
        kind : {'files', 'inputs', 'jobs'}
        id_ : str
            Of an input, that of :func:`~cryomamba_gateway.volumes.input_ids.input_id`; who may submit jobs may see it.
        visibility : Visibility
        suffices : callable, optional
            Whether images that were looked up in the last seconds will do, for what is asked for many times a second.
            Without it they are looked up now, because a job gets more of them when it ends or is revised.

        Raises
        ------
        NotFoundError
            It does not exist or is not visible.
        CryoMambaError
            The broker cannot be reached.
        """
        key = (kind, id_, visibility)
        recent = self._recent(key) if suffices is not None else None
        if suffices is not None and recent is not None:
            found = await asyncio.shield(recent)
            if suffices(found):
                return found
        return await asyncio.shield(self._look_up(key))

    def _recent(self, key: _Key) -> asyncio.Task[Images] | None:
        """Return a lookup of the last seconds that has not failed; it may still be under way."""
        until, task = self._remembered.get(key, (0.0, None))
        if task is None or until < asyncio.get_running_loop().time():
            return None
        return None if task.done() and (task.cancelled() or task.exception() is not None) else task

    def _look_up(self, key: _Key) -> asyncio.Task[Images]:
        kind, id_, visibility = key
        now = asyncio.get_running_loop().time()
        self._forget_old(now)
        find = {"files": self._of_file, "inputs": self._of_input, "jobs": self._of_job}[kind]
        task = asyncio.create_task(find(id_, visibility), name="volumes-images")
        # Whoever asked may have gone; an error that nobody retrieves would be logged as a defect.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._remembered[key] = now + REMEMBERED_S, task
        return task

    def _forget_old(self, now: float) -> None:
        if len(self._remembered) >= _REMEMBERED_MAX:
            self._remembered = {key: one for key, one in self._remembered.items() if one[0] >= now}
        while len(self._remembered) >= _REMEMBERED_MAX:
            del self._remembered[next(iter(self._remembered))]

    async def _of_file(self, file_id: str, visibility: Visibility) -> Images:
        record = await self._uploads.file(file_id, visibility)
        path = uploaded_volume(self._settings.uploads, file_id)
        found = Images()
        await self._add(found, TOMOGRAM, ImageSource(record.filename, path, (self._settings.uploads,)))
        return found

    async def _of_input(self, id_: str, visibility: Visibility) -> Images:
        del visibility
        found = Images()
        source = await asyncio.to_thread(input_source, self._settings, id_)
        await self._add(found, TOMOGRAM, source)
        return found

    async def _of_job(self, job_id: str, visibility: Visibility) -> Images:
        record = await self._bus.call(visibility, calls.get_job(job_id))
        found = Images(hint=_hint(record))
        try:
            source = await self._tomogram(record, visibility)
        except CryoMambaError as error:
            found.problems[TOMOGRAM] = error
        else:
            if source is not None:
                await self._add(found, TOMOGRAM, source)
        for artifact in record.artifacts:
            if artifact.name.endswith(_VOLUME):
                await self._add_artifact(found, record, artifact)
        return found

    async def _tomogram(self, record: JobRecord, visibility: Visibility) -> ImageSource | None:
        """Return the tomogram of a job; one that re-thresholds scores has that of the job with the scores."""
        for _ in range(_CHAIN_MAX):
            if record.volume.job_id is None:
                break
            record = await self._bus.call(visibility, calls.get_job(record.volume.job_id))
        return await asyncio.to_thread(_tomogram_source, self._settings, record.volume)

    async def _add_artifact(self, found: Images, record: JobRecord, artifact: Artifact) -> None:
        path = artifact_path(artifact.name)
        file = self._settings.artifacts / record.job_id / artifact.name
        if not await asyncio.to_thread(is_readable, file, artifact.size_bytes):
            found.problems[path] = _elsewhere(artifact.name, f"Download it from /v1/jobs/{record.job_id}/artifacts.")
            return
        name = artifact.name.removesuffix(_VOLUME)
        labels = artifact.name not in FIELD_PATHS
        await self._add(found, path, ImageSource(name, file, (self._settings.artifacts,), labels=labels))

    async def _add(self, found: Images, path: str, source: ImageSource) -> None:
        try:
            found.known[path] = await self._reader.describe(source)
        except CryoMambaError as error:
            found.problems[path] = error


def artifact_path(name: str) -> str:
    """Return where an MRC file of a job is in its Zarr hierarchy."""
    return FIELD_PATHS.get(name) or f"{LABELS}/{name.removesuffix(_VOLUME)}"


def input_source(settings: Settings, id_: str) -> ImageSource:
    """Return where a tomogram in an allowed input directory is; reads the disk.

    Raises
    ------
    InvalidRequestError
        ``path_forbidden``
    NotFoundError
        There is no such file.
    VolumeError
        ``volume_unreadable``: it is no file.
    """
    given = input_path(id_)
    try:
        path = resolve_below(given, settings.roots, closed=settings.own_folders)
    except VolumeError as error:
        raise no_such_input() if error.code is ErrorCode.VOLUME_NOT_FOUND else error from None
    return ImageSource(Path(given).name, path, settings.roots, settings.own_folders)


def _tomogram_source(settings: Settings, volume: VolumeSummary) -> ImageSource | None:
    version, size = volume.version or "", volume.voxel_size_A
    if volume.file_id is not None:
        path = uploaded_volume(settings.uploads, volume.file_id)
        return ImageSource(volume.name, path, (settings.uploads,), voxel_size_A=size, version=version)
    if volume.path is None:
        return None
    closed = settings.own_folders
    path = resolve_below(volume.path, settings.roots, closed=closed)
    return ImageSource(volume.name, path, settings.roots, closed, voxel_size_A=size, version=version)


def _elsewhere(name: str, hint: str) -> VolumeError:
    return VolumeError(
        f"{name} is not on the disk of this gateway's machine.", code=ErrorCode.VOLUME_NOT_FOUND, hint=hint
    )


def _hint(record: JobRecord) -> str:
    if record.state in {JobState.PENDING, JobState.RUNNING}:
        return (
            f"The job is {record.state}: its files appear when it is completed. Until then, "
            f"/v1/jobs/{record.job_id}/preview and the WebSocket have the mask as computed so far."
        )
    return "" if record.state is JobState.COMPLETED else f"The job is {record.state} and has no files."
