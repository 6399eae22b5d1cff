"""A job's finished files: made in the attempt's own folder, then put under their final names in one go."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from cryomamba._version import __version__
from cryomamba.atomic import sync_folder
from cryomamba.engines.api import Engine
from cryomamba.engines.artifacts import (
    CANDIDATES,
    EXPORTS,
    MASK,
    SCORES,
    STATISTICS,
    STATISTICS_TABLE,
    ExportFormat,
    formats_of,
    media_type,
)
from cryomamba.engines.membrane_options import MembraneOptions
from cryomamba.errors import JobFailedError
from cryomamba.file_names import stem
from cryomamba.geometry import Shape, Spacing
from cryomamba.masks.measure import (
    METHOD,
    THICKNESS_METHOD,
    InstanceSummary,
    LabelSummary,
    Measurements,
    measure,
    write_csv,
)
from cryomamba.masks.medial_surface import METHOD as MEDIAL_SURFACE_METHOD
from cryomamba.masks.membranes import MembraneFiles, trace_membranes
from cryomamba.masks.slabs import LabelSource
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba.models.jobs import Artifact
from cryomamba.picks import Frame, Kind, Picks, write_picks
from cryomamba.volumes import Statistics, Volume, open_volume
from cryomamba.volumes.exports import write_nifti, write_nrrd
from cryomamba_inference.free_memory import release_free_memory
from cryomamba_inference.runner.run import WRITING, Outcome

ALL_FORMATS: tuple[ExportFormat, ...] = ("nifti", "nrrd")
INSTANCES_MAX = 1000

_WRITERS: Mapping[ExportFormat, Callable[..., None]] = {"nifti": write_nifti, "nrrd": write_nrrd}
_READ_NBYTES = 1024 * 1024


class PicksSummary(BaseModel):
    """What was found besides the mask: the kind, the number of points, and of particles, filaments or pieces."""

    model_config = ConfigDict(frozen=True)

    kind: Kind
    points: int
    objects: int


class MaskStatistics(BaseModel):
    """What ``stats.json`` holds; the same job always gives the same bytes.

    Attributes
    ----------
    version : str
        Of CryoMamba.
    engine, parameters : str, dict
        What made the mask; parameters with their defaults filled in.
    volume : str
        File name of the tomogram; empty where there was none.
    shape, voxel_size_A : tuple
        Of the tomogram, ZYX; the voxel size that was used, in ångström.
    input : Statistics or None
        Of the tomogram's density.
    threshold : ScoreCut or None
        How the mask was cut from scores of 0 to 255.
    surface_method, thickness_method : str
    medial_surface_method : str or None
        How medial surfaces were found, where they were.
    picks : dict or None
        Where there are places: their ``kind``, how many ``points`` there are, and how many ``objects`` (particles,
        filaments or pieces of membrane).
    labels : tuple of LabelSummary
    instance_count : int
        Number of connected pieces.
    instances : tuple of InstanceSummary
        The pieces, the largest first; the first thousand. ``stats.csv`` has a hundred thousand.
    """

    model_config = ConfigDict(frozen=True)

    version: str = __version__
    engine: str
    parameters: dict[str, Any]
    volume: str
    shape: Shape
    voxel_size_A: Spacing
    input: Statistics | None
    threshold: HysteresisThreshold | None = None
    surface_method: str = METHOD
    thickness_method: str = THICKNESS_METHOD
    medial_surface_method: str | None = None
    picks: PicksSummary | None = None
    labels: tuple[LabelSummary, ...]
    instance_count: int
    instances: tuple[InstanceSummary, ...]


def write_artifacts(
    outcome: Outcome,
    engine: Engine[Any],
    *,
    volume_name: str,
    formats: Sequence[ExportFormat] = ALL_FORMATS,
    check: Callable[[], None],
    threads: int = 1,
) -> tuple[Artifact, ...]:
    """Write what belongs to a finished mask next to it, put all of it on disk, and describe it.

    Parameters
    ----------
    outcome : Outcome
        Its meter is moved to the end.
    engine : Engine
    volume_name : str
        File name of the tomogram.
    formats : sequence of str
        Further formats of the mask; scores come along if the outcome has them.
    check : callable
        Called often; raises to stop.
    threads : int
        How many measure the mask; the numbers do not depend on it.

    Returns
    -------
    tuple of Artifact
        The mask first.
    """
    folder = outcome.mask.parent
    outcome.meter.enter(WRITING)
    masks = [form for form in formats if form in _WRITERS]
    options = membrane_options(engine)
    steps = len(masks) + (3 if options else 2)

    def step(number: int) -> Callable[[float], None]:
        def within(fraction: float) -> None:
            check()
            outcome.meter.within((number + fraction) / steps)

        return within

    def measuring(number: int) -> Callable[[float], None]:
        within = step(number)

        def measured(fraction: float) -> None:
            # Arrays of many sizes come and go there: with what is kept of each, a seventh more memory is in use.
            release_free_memory()
            within(fraction)

        return measured

    names = [MASK.name, *([SCORES.name] if outcome.scores is not None else [])]
    with open_volume(outcome.mask) as mask:
        for number, form in enumerate(masks):
            names.append(EXPORTS[form].name)
            _WRITERS[form](mask, folder / names[-1], labels=True, progress=step(number))
        # Without a tomogram the mask is a demonstration, and its shape of no interest.
        source, told = LabelSource.of_volume(mask), measuring(len(masks))
        measured = measure(source, engine.labels, shape=engine.needs_volume, step=told, threads=threads)
        picks = outcome.picks
        if options is not None:
            measured, made, picks = _traced(measured, options, mask, folder, engine, measuring(len(masks) + 1))
            names += made
        write_csv(measured, folder / STATISTICS_TABLE.name)
    statistics = _statistics(outcome, engine, volume_name, measured, picks)
    (folder / STATISTICS.name).write_text(
        json.dumps(statistics.model_dump(mode="json"), indent=2) + "\n", encoding="utf-8"
    )
    names += [STATISTICS.name, STATISTICS_TABLE.name]
    frame = Frame(outcome.facts.shape, outcome.facts.voxel_size_A, stem(Path(volume_name)))
    tables = {CANDIDATES.name: outcome.candidates, **{EXPORTS[form].name: picks for form in formats_of("picks")}}
    for name, places in tables.items():
        if places is not None:
            write_picks(places, folder / name, frame)
            names.append(name)
    return tuple(_describe(folder / name, check) for name in names)


def membrane_options(engine: Engine[Any]) -> MembraneOptions | None:
    """Return what is to be made of an engine's membranes; None for nothing."""
    options = engine.parameters
    return options if isinstance(options, MembraneOptions) and options.any else None


def _traced(
    measured: Measurements,
    options: MembraneOptions,
    mask: Volume,
    folder: Path,
    engine: Engine[Any],
    step: Callable[[float], None],
) -> tuple[Measurements, list[str], Picks | None]:
    """Make the files that are wanted of a mask; return the tables with areas, the files' names, and points."""
    names = {form: EXPORTS[form].name for form in formats_of("membranes") if getattr(options, form)}
    found = trace_membranes(
        measured.pieces,
        mask,
        MembraneFiles(**{form: folder / name for form, name in names.items()}),
        thickness_A=getattr(options, "thickness_A", None),
        spacing_A=options.point_spacing_A,
        engine=engine.name,
        step=step,
    )
    points = found.points if options.point_spacing_A is not None else None
    return measured.with_medial_surface(found.medial_surface_nm2), list(names.values()), points


def _statistics(
    outcome: Outcome, engine: Engine[Any], volume_name: str, measured: Measurements, picks: Picks | None
) -> MaskStatistics:
    return MaskStatistics(
        engine=engine.name,
        parameters=engine.parameters.model_dump(mode="json"),
        volume=volume_name,
        shape=outcome.facts.shape,
        voxel_size_A=outcome.facts.voxel_size_A,
        input=outcome.statistics,
        threshold=outcome.cut,
        medial_surface_method=None if membrane_options(engine) is None else MEDIAL_SURFACE_METHOD,
        picks=None if picks is None else _summary(picks),
        labels=measured.labels,
        instance_count=measured.count,
        instances=tuple(measured.instances(INSTANCES_MAX)),
    )


def _summary(picks: Picks) -> PicksSummary:
    return PicksSummary(kind=picks.kind, points=len(picks), objects=picks.objects)


def read_statistics(folder: Path) -> dict[str, Any]:
    """Return what :func:`write_artifacts` wrote into ``stats.json``."""
    fields: dict[str, Any] = json.loads((folder / STATISTICS.name).read_text(encoding="utf-8"))
    return fields


def publish(folder: Path, destination: Path, artifacts: Sequence[Artifact]) -> None:
    """Give finished files their final names; each is complete and on disk before it is seen there.

    Raises
    ------
    JobFailedError
        The folders lie on two file systems, so that nothing can be renamed from one to the other.
    """
    destination.mkdir(parents=True, exist_ok=True)
    try:
        for artifact in artifacts:
            (folder / artifact.name).replace(destination / artifact.name)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        raise JobFailedError(
            "The home's folders 'work' and 'artifacts' lie on two file systems.",
            hint="Put both on one, as 'Workers on other machines' in the installation guide says.",
        ) from error
    for level in (destination, destination.parent, destination.parent.parent):
        sync_folder(level)


def _describe(path: Path, check: Callable[[], None]) -> Artifact:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_READ_NBYTES):
            check()
            digest.update(piece)
            size += len(piece)
        os.fsync(file.fileno())
    return Artifact(name=path.name, size_bytes=size, media_type=media_type(path.name), sha256=digest.hexdigest())
