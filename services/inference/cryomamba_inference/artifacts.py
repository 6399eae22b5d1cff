"""A job's finished files: made in the attempt's own folder, then put under their final names in one go."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from cryomamba._version import __version__
from cryomamba.engine import Engine
from cryomamba.local import ExportFormat
from cryomamba.records import Artifact, Shape, Spacing
from cryomamba.volumes import Statistics, Volume, open_volume
from cryomamba.volumes.exports import write_nifti, write_nrrd
from cryomamba_inference.measure import LabelCounter, LabelSummary
from cryomamba_inference.runner.run import MASK, WRITING, Outcome

ALL_FORMATS: tuple[ExportFormat, ...] = ("nifti", "nrrd")
EXPORT_NAMES: Mapping[ExportFormat, str] = {"nifti": "mask.nii.gz", "nrrd": "mask.nrrd"}
STATS = "stats.json"

_WRITERS: Mapping[ExportFormat, Callable[..., None]] = {"nifti": write_nifti, "nrrd": write_nrrd}
_MEDIA_TYPES = {
    MASK: "application/octet-stream",
    "mask.nii.gz": "application/gzip",
    "mask.nrrd": "application/octet-stream",
    STATS: "application/json",
}
_SLAB_NBYTES = 8 * 1024 * 1024
_READ_NBYTES = 1024 * 1024


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
    labels : tuple of LabelSummary
    """

    model_config = ConfigDict(frozen=True)

    version: str = __version__
    engine: str
    parameters: dict[str, Any]
    volume: str
    shape: Shape
    voxel_size_A: Spacing
    input: Statistics | None
    labels: tuple[LabelSummary, ...]


def write_artifacts(
    outcome: Outcome,
    engine: Engine[Any],
    *,
    volume_name: str,
    formats: Sequence[ExportFormat] = ALL_FORMATS,
    check: Callable[[], None],
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
        Further formats of the mask.
    check : callable
        Called often; raises to stop.

    Returns
    -------
    tuple of Artifact
        The mask first.
    """
    folder = outcome.mask.parent
    outcome.meter.enter(WRITING)
    steps = len(formats) + 2

    def step(number: int) -> Callable[[float], None]:
        def within(fraction: float) -> None:
            check()
            outcome.meter.within((number + fraction) / steps)

        return within

    names = [MASK]
    with open_volume(outcome.mask) as mask:
        for number, form in enumerate(formats):
            names.append(EXPORT_NAMES[form])
            _WRITERS[form](mask, folder / names[-1], labels=True, progress=step(number))
        labels = _count(mask, engine, step(len(formats)))
    statistics = MaskStatistics(
        engine=engine.name,
        parameters=engine.parameters.model_dump(mode="json"),
        volume=volume_name,
        shape=outcome.facts.shape,
        voxel_size_A=outcome.facts.voxel_size_A,
        input=outcome.statistics,
        labels=labels,
    )
    (folder / STATS).write_text(json.dumps(statistics.model_dump(mode="json"), indent=2) + "\n", encoding="utf-8")
    names.append(STATS)
    return tuple(_describe(folder / name, check) for name in names)


def read_statistics(folder: Path) -> dict[str, Any]:
    """Return what :func:`write_artifacts` wrote into ``stats.json``."""
    fields: dict[str, Any] = json.loads((folder / STATS).read_text(encoding="utf-8"))
    return fields


def publish(folder: Path, destination: Path, artifacts: Sequence[Artifact]) -> None:
    """Give finished files their final names; each is complete and on disk before it is seen there."""
    destination.mkdir(parents=True, exist_ok=True)
    for artifact in artifacts:
        (folder / artifact.name).replace(destination / artifact.name)
    _sync_folder(destination)
    _sync_folder(destination.parent)


def _count(mask: Volume, engine: Engine[Any], step: Callable[[float], None]) -> tuple[LabelSummary, ...]:
    depth, height, width = mask.shape
    counter = LabelCounter(mask.shape, engine.labels)
    planes = max(1, _SLAB_NBYTES // (height * width))
    for z in range(0, depth, planes):
        slab = mask.read_native(slice(z, z + planes), slice(None), slice(None))
        counter.add(z, slab.view(np.uint8) if slab.dtype == np.int8 else slab.astype(np.uint16, copy=False))
        step(min(z + planes, depth) / depth)
    return counter.summaries(mask.voxel_size_A)


def _describe(path: Path, check: Callable[[], None]) -> Artifact:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_READ_NBYTES):
            check()
            digest.update(piece)
            size += len(piece)
        os.fsync(file.fileno())
    return Artifact(name=path.name, size_bytes=size, media_type=_MEDIA_TYPES[path.name], sha256=digest.hexdigest())


def _sync_folder(folder: Path) -> None:
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
