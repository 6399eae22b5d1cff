"""Segmentation in this process, without services."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cryomamba.atomic import write_atomically
from cryomamba.engines.api import Engine
from cryomamba.engines.artifacts import EXPORTS, MASK, ExportFormat, candidates_path, formats_of, model_files
from cryomamba.engines.info import EngineInfo
from cryomamba.engines.registry import Registry, describe
from cryomamba.engines.strokes import STROKES, StrokesEngine
from cryomamba.engines.uncertainty import wants_uncertainty
from cryomamba.errors import InvalidRequestError
from cryomamba.masks.region import Region
from cryomamba.models.events import PreviewEvent, ProgressEvent
from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import RETHRESHOLD, Progress, SubmitRequest
from cryomamba.output_paths import require_not_input
from cryomamba.picks import Picks, read_csv
from cryomamba.printable import file_text
from cryomamba.settings import Settings, load_settings
from cryomamba.volumes import open_volume
from cryomamba_inference.artifacts import membrane_options, write_artifacts
from cryomamba_inference.executor import TileExecutor, open_executor
from cryomamba_inference.executor.base import LOCAL_JOB
from cryomamba_inference.failures import EngineFailedError, UnreadableFileError, as_error
from cryomamba_inference.mask_statistics import read_statistics
from cryomamba_inference.runner import Control, EventSink, Outcome, Task, run_task
from cryomamba_server.model_store.local_use import require_accepted

LocalEvent = ProgressEvent | PreviewEvent


@dataclass(frozen=True, slots=True)
class LocalResult:
    """The files of a local run.

    Attributes
    ----------
    mask : Path
        The mask, an MRC file.
    exports : tuple of Path
        The other requested files, in the requested order.
    statistics : dict
        Contents of a job's ``stats.json``: engine, parameters, voxel size, and for each label voxels, volume, centroid
        and bounding box.
    """

    mask: Path
    exports: tuple[Path, ...]
    statistics: dict[str, Any]


class LocalRunner:
    """Runs an engine over a volume in this process.

    Parameters
    ----------
    processes : int, optional
        How many processes compute the tiles of large volumes; ``CRYOMAMBA_PROCESSES`` if not given.
    dask : str, optional
        The Dask scheduler whose workers compute them instead; ``CRYOMAMBA_DASK`` if neither this nor `processes` is
        given.
    dask_volume : str, optional
        Where a gateway serves the tomogram, up to ``.ome.zarr``, for workers that do not see its path; the token is
        that of the settings.
    """

    def __init__(
        self, processes: int | None = None, *, dask: str | None = None, dask_volume: str | None = None
    ) -> None:
        self._processes, self._dask, self._dask_volume = processes, dask, dask_volume

    def engines(self) -> tuple[EngineInfo, ...]:
        """Return the engines of this environment."""
        return Registry.discover().infos()

    def run(
        self,
        source: Path | None,
        request: SubmitRequest,
        *,
        output: Path,
        on_event: Callable[[LocalEvent], None],
        cancelled: Callable[[], bool],
        formats: Sequence[ExportFormat] = (),
        within: Path | None = None,
        model: Path | None = None,
    ) -> LocalResult:
        """Segment a volume; blocks until it is done. Concurrent runs in different threads are allowed.

        Parameters
        ----------
        source : Path or None
            The tomogram, any path that this process can read; None for a request with a shape only.
        request : SubmitRequest
            Engine, parameters, preview options, and the volume's ``voxel_size_A`` and ``shape``; paths are not used.
        output : Path
            Path of the mask, which appears when it is complete and replaces an existing file. Its directory must
            exist; temporary files are written there.
        on_event : callable
            Called in this thread with progress and previews; their job id is ``local``.
        cancelled : callable
            Called often, in this thread, at least once per tile; return True to cancel.
        formats : sequence of ExportFormat
            Further files next to the mask, named like it (see ``EXPORTS``): the mask in other formats; its
            score map; tables of picks, and next to the score map the `candidates` for re-thresholding; and the files of
            :class:`~cryomamba.engines.membrane_options.MembraneOptions`.
        within : Path, optional
            A mask on the tomogram's grid; only where it is not 0 is the tomogram segmented and measured.
        model : Path, optional
            Existing folder for the files of the model that was trained on strokes.

        Raises
        ------
        VolumeError
            The volume cannot be used.
        InvalidRequestError
            There is no such engine, a parameter is invalid, the engine with these parameters does not make a
            requested file, the mask is empty or not on the tomogram's grid, or a file would be written onto an input.
        JobFailedError
            ``cancelled``, or the engine failed. Nothing is left behind.
        """
        inputs = [path for path in (source, within) if path is not None]
        require_not_input((output, *(_export_path(output, form) for form in formats)), inputs)
        registry, settings = Registry.discover_one(request.engine), load_settings()
        require_accepted(describe(registry.get(request.engine)), request.params, settings)
        engine = registry.create(request.engine, request.params)
        if model is not None and request.params.get(STROKES) is None:
            raise InvalidRequestError("No model is trained without strokes.", hint="Give strokes too.")
        task = _task(engine, source, request, formats)
        control, events = Control(cancelled), _CallbackEventSink(on_event)
        with self._executor(settings) as executor, _typed_errors():
            # Next to the output: on the same disk, so that finished files are moved by a rename.
            with tempfile.TemporaryDirectory(prefix=".cryomamba-", dir=output.absolute().parent) as folder:
                outcome = _segment(source, request, task, Path(folder), executor, control, events, within)
                write_artifacts(
                    outcome,
                    engine,
                    volume_name="" if source is None else file_text(source.name),
                    formats=formats,
                    check=control.check,
                    threads=executor.processes,
                )
                if model is not None:
                    _move_model(Path(folder), model)
                result = _move(Path(folder), output, formats)
            outcome.meter.finish()
        return result

    @contextmanager
    def _executor(self, settings: Settings) -> Iterator[TileExecutor]:
        processes = settings.processes if self._processes is None else self._processes
        dask = self._dask or (settings.dask if self._processes is None else None)
        token = None if settings.token is None else settings.token.get_secret_value()
        executor = open_executor(processes or os.cpu_count() or 1, dask, self._dask_volume, token)
        try:
            yield executor
        finally:
            executor.close()


@contextmanager
def _typed_errors() -> Iterator[None]:
    """Turn whatever an engine raises into an error after which callers with many tomograms can continue."""
    try:
        yield
    except Exception as error:
        failure = as_error(error)
        if isinstance(failure, (EngineFailedError, UnreadableFileError)):
            raise failure.for_local_run() from None
        if failure is error:
            raise
        raise failure from error


def _task(engine: Engine[Any], source: Path | None, request: SubmitRequest, formats: Sequence[ExportFormat]) -> Task:
    candidates = _candidates(engine, source)
    _require_available(engine, formats, candidates)
    return Task(
        engine=engine,
        shape=request.volume.shape,
        voxel_size_A=request.volume.voxel_size_A or (1.0, 1.0, 1.0),
        preview=request.preview,
        job_id=LOCAL_JOB,
        keep_scores="scores" in formats,
        candidates=candidates,
    )


def _candidates(engine: Engine[Any], source: Path | None) -> Picks | None:
    if engine.name != RETHRESHOLD or source is None:
        return None
    path = candidates_path(source)
    return read_csv(path) if path.is_file() else None


def _require_available(engine: Engine[Any], formats: Sequence[ExportFormat], candidates: Picks | None) -> None:
    if "scores" in formats and not engine.keeps_scores:
        raise InvalidRequestError(
            f"The engine '{engine.name}' does not keep its score map.",
            hint="Leave out --scores, or use another engine.",
        )
    options = membrane_options(engine)
    if "candidates" in formats and ("scores" not in formats or engine.picks is None):
        raise InvalidRequestError(
            f"The engine '{engine.name}' makes no candidate picks.",
            hint="'particles' and 'filaments' do, together with scores.",
        )
    points = engine.picks is not None or candidates is not None
    points = points or (options is not None and options.point_spacing_A is not None)
    if not points and any(form in formats_of("picks") for form in formats):
        raise InvalidRequestError(
            f"The engine '{engine.name}' does not pick, so there is no table of picks.",
            hint="Use 'particles' or 'filaments', get points on membranes with -p point_spacing_A=100, or leave out "
            "the formats csv, star and tbl.",
        )
    if "uncertainty" in formats and not wants_uncertainty(engine):
        raise InvalidRequestError(
            f"The engine '{engine.name}' does not give the uncertainty with these parameters.",
            hint="Engines that can do so with -p uncertainty=true; 'cryomamba engines NAME' shows their parameters.",
        )
    for form in formats_of("membranes"):
        if form in formats and not getattr(options, form, False):
            raise InvalidRequestError(
                f"The engine '{engine.name}' does not make '{form}' with these parameters.",
                hint=f"Engines for membranes do so with -p {form}=true.",
            )


def _segment(
    source: Path | None,
    request: SubmitRequest,
    task: Task,
    folder: Path,
    executor: TileExecutor,
    control: Control,
    events: EventSink,
    within: Path | None,
) -> Outcome:
    with ExitStack() as files:
        if source is not None:
            size = request.volume.voxel_size_A
            task = replace(task, volume=files.enter_context(open_volume(source, voxel_size_A=size, scratch=folder)))
        if within is not None:
            mask = files.enter_context(open_volume(within, scratch=_made(folder / "within")))
            header = task.header
            task = replace(task, within=Region.of_volume(mask, header.shape, header.voxel_size_A))
        if isinstance(task.engine, StrokesEngine):
            files.callback(task.engine.stop)
        return run_task(task, folder, executor, control, events)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _export_path(output: Path, form: ExportFormat) -> Path:
    return output.with_name(output.name.removesuffix(".mrc") + EXPORTS[form].ending)


def _move(folder: Path, output: Path, formats: Sequence[ExportFormat]) -> LocalResult:
    statistics = read_statistics(folder)
    exports = []
    for form in formats:
        target = _export_path(output, form)
        (folder / EXPORTS[form].name).replace(target)
        exports.append(target)
    (folder / MASK.name).replace(output)
    return LocalResult(output, tuple(exports), statistics)


def _move_model(folder: Path, model: Path) -> None:
    for name in model_files():
        # The folder of a model may be on another disk than the mask.
        write_atomically(model / name, (folder / name).read_bytes())


class _CallbackEventSink:
    def __init__(self, on_event: Callable[[LocalEvent], None]) -> None:
        self._on_event = on_event

    def on_progress(self, progress: Progress) -> None:
        self._on_event(ProgressEvent(LOCAL_JOB, 1, progress))

    def on_preview(self, frame: PreviewFrame) -> None:
        self._on_event(PreviewEvent(frame))
