"""The files of a finished job: written in the attempt's directory, then published under their final names."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cryomamba.atomic import sync_folder
from cryomamba.engines.api import Engine, ReportProgress
from cryomamba.engines.artifacts import (
    CANDIDATES,
    EXPORTS,
    STATISTICS,
    STATISTICS_TABLE,
    ExportFormat,
    formats_of,
    media_type,
)
from cryomamba.engines.membrane_options import MembraneOptions
from cryomamba.errors import JobFailedError
from cryomamba.file_names import stem
from cryomamba.masks.measure import Measurements, measure, write_csv
from cryomamba.masks.membrane_files import MembraneFiles, trace_membranes
from cryomamba.masks.slabs import LabelSource
from cryomamba.models.jobs import Artifact
from cryomamba.picks import Picks, TomogramInfo, write_picks
from cryomamba.volumes import LabelVolume, Volume, open_volume
from cryomamba.volumes.exports import write_nifti, write_nrrd
from cryomamba_inference.free_memory import release_free_memory
from cryomamba_inference.mask_statistics import mask_statistics
from cryomamba_inference.runner.progress import WRITING
from cryomamba_inference.runner.reported import run_reported
from cryomamba_inference.runner.task import Outcome
from cryomamba_inference.uncertainty import summarize_uncertainty

ALL_FORMATS: tuple[ExportFormat, ...] = ("nifti", "nrrd")

_WRITERS: Mapping[ExportFormat, Callable[..., None]] = {"nifti": write_nifti, "nrrd": write_nrrd}
_READ_NBYTES = 1024 * 1024


def write_artifacts(
    outcome: Outcome,
    engine: Engine[Any],
    *,
    volume_name: str,
    formats: Sequence[ExportFormat] = ALL_FORMATS,
    check: Callable[[], None],
    threads: int = 1,
) -> tuple[Artifact, ...]:
    """Write the files that belong to a finished mask next to it, sync all of them to disk, and describe them.

    Parameters
    ----------
    outcome : Outcome
        Its progress meter is advanced through the stage of writing.
    volume_name : str
        File name of the tomogram.
    check : callable
        Called often; raises to stop.
    threads : int
        How many threads measure the mask; the numbers do not depend on it.

    Returns
    -------
    tuple of Artifact
        The mask first.
    """
    outcome.meter.enter(WRITING)

    def update(fraction: float, doing: str) -> None:
        check()
        outcome.meter.update(fraction, doing=doing)

    return run_reported(
        lambda report: _write_all(outcome, engine, volume_name, formats, report=report, threads=threads), update
    )


def _write_all(
    outcome: Outcome,
    engine: Engine[Any],
    volume_name: str,
    formats: Sequence[ExportFormat],
    *,
    report: ReportProgress,
    threads: int,
) -> tuple[Artifact, ...]:
    folder = outcome.mask.parent
    masks = [form for form in formats if form in _WRITERS]
    options = membrane_options(engine)
    steps = _Steps(report, len(masks) + 2 + bool(options) + bool(outcome.uncertainty))
    names = [path.name for path in (outcome.mask, outcome.scores, outcome.uncertainty) if path is not None]
    with open_volume(outcome.mask) as mask:
        labels = LabelVolume.of(mask)
        for form in masks:
            names.append(EXPORTS[form].name)
            progress = steps.next(f"writing {names[-1]}")
            _WRITERS[form](labels, folder / names[-1], labels=True, progress=progress)
        # Without a tomogram the mask is a demonstration, whose surface and thickness are not measured.
        source = LabelSource.of_volume(labels)
        measured = measure(
            source,
            engine.labels,
            shape=engine.needs_volume,
            region_voxels=None if outcome.region is None else outcome.region.voxels,
            progress=steps.next("measuring the mask"),
            threads=threads,
        )
        picks = outcome.picks
        if options is not None:
            progress = steps.next("tracing surfaces")
            measured, written, picks = _trace_membranes(measured, options, mask, folder, engine, progress)
            names += written
        write_csv(measured, folder / STATISTICS_TABLE.name)
        uncertainty = None
        if outcome.uncertainty is not None:
            with open_volume(outcome.uncertainty) as percent:
                progress = steps.next("averaging the uncertainty")
                uncertainty = summarize_uncertainty(labels, percent, labels=max(engine.labels), progress=progress)
    statistics = mask_statistics(
        outcome, engine, volume_name, measured, picks, surfaces=options is not None, uncertainty=uncertainty
    )
    text = json.dumps(statistics.model_dump(mode="json"), indent=2) + "\n"
    (folder / STATISTICS.name).write_text(text, encoding="utf-8")
    names += [STATISTICS.name, STATISTICS_TABLE.name, *_write_picks(outcome, picks, volume_name)]
    names += engine.save_files(folder)
    return _describe_all([folder / name for name in names], steps.next("checking files", trims=False))


def _describe_all(paths: Sequence[Path], progress: Callable[[float], None]) -> tuple[Artifact, ...]:
    total, before, described = max(sum(path.stat().st_size for path in paths), 1), 0, []
    for path in paths:
        described.append(_describe(path, partial(_report_part, progress, before, total)))
        before += described[-1].size_bytes
    return tuple(described)


def _report_part(progress: Callable[[float], None], before: int, total: int, done: int) -> None:
    progress((before + done) / total)


class _Steps:
    """Divides the progress of a stage among its steps."""

    def __init__(self, report: ReportProgress, count: int) -> None:
        self._report, self._count, self._number = report, count, -1

    def next(self, doing: str, *, trims: bool = True) -> Callable[[float], None]:
        """Return where the next step reports to.

        A report also gives memory back, unless not `trims`: arrays of many sizes are freed between two reports, and
        what the C library keeps of them is a seventh more memory.
        """
        self._number += 1
        number = self._number
        self._report(number / self._count, doing)

        def report(fraction: float) -> None:
            if trims:
                release_free_memory()
            self._report((number + fraction) / self._count, doing)

        return report


def _write_picks(outcome: Outcome, picks: Picks | None, volume_name: str) -> list[str]:
    info = TomogramInfo(outcome.header.shape, outcome.header.voxel_size_A, stem(Path(volume_name)))
    tables = {CANDIDATES.name: outcome.candidates, **{EXPORTS[form].name: picks for form in formats_of("picks")}}
    written = {name: table for name, table in tables.items() if table is not None}
    for name, table in written.items():
        write_picks(table, outcome.mask.parent / name, info)
    return list(written)


def membrane_options(engine: Engine[Any]) -> MembraneOptions | None:
    """Return which membrane files an engine's parameters request; None if none."""
    options = engine.parameters
    return options if isinstance(options, MembraneOptions) and options.any else None


def _trace_membranes(
    measured: Measurements,
    options: MembraneOptions,
    mask: Volume,
    folder: Path,
    engine: Engine[Any],
    report: Callable[[float], None],
) -> tuple[Measurements, list[str], Picks | None]:
    """Write the requested membrane files; return the measurements with areas, the file names, and surface points."""
    names = {form: EXPORTS[form].name for form in formats_of("membranes") if getattr(options, form)}
    found = trace_membranes(
        measured.components,
        mask,
        MembraneFiles(**{form: folder / name for form, name in names.items()}),
        spacing_A=options.point_spacing_A,
        engine=engine.name,
        progress=report,
    )
    points = found.points if options.point_spacing_A is not None else None
    return measured.with_medial_surface(found.medial_surface_nm2), list(names.values()), points


def publish(folder: Path, destination: Path, artifacts: Sequence[Artifact]) -> None:
    """Move finished files into the folder in which the broker looks for them, by renames, and sync the directories.

    Raises
    ------
    JobFailedError
        The directories are on different file systems, so that files cannot be renamed from one to the other.
    """
    destination.mkdir(parents=True, exist_ok=True)
    try:
        for artifact in artifacts:
            (folder / artifact.name).replace(destination / artifact.name)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        raise JobFailedError(
            "The directories 'work' and 'artifacts' of the data directory are on different file systems.",
            hint="Put both on the same one; see 'Workers on other machines' in the installation guide.",
        ) from error
    for level in (destination, *destination.parents[:3]):
        sync_folder(level)


def _describe(path: Path, progress: Callable[[int], None]) -> Artifact:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_READ_NBYTES):
            digest.update(chunk)
            size += len(chunk)
            progress(size)
        os.fsync(file.fileno())
    return Artifact(name=path.name, size_bytes=size, media_type=media_type(path.name), sha256=digest.hexdigest())
