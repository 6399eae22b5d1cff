"""The files that a job can have: their names, media types, and which engine or parameter makes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

_REVISION: Final = re.compile(r"mask_r([1-9][0-9]{0,5})\.mrc")
_BINARY: Final = "application/octet-stream"

ExportFormat = Literal[
    "nifti",
    "nrrd",
    "scores",
    "candidates",
    "uncertainty",
    "instances",
    "medial_surface",
    "normals",
    "csv",
    "star",
    "tbl",
]
Producer = Literal["any", "scores", "uncertainty", "membranes", "picks", "strokes"]
PRODUCES: Final = "produces"
"""Key of a parameter in an engine's JSON schema: the format of the artifact that a job has if the parameter is set."""


@dataclass(frozen=True, slots=True)
class ArtifactKind:
    """One kind of file that a job can have.

    Attributes
    ----------
    name : str
        File name among the job's artifacts.
    media_type : str
    producer : {'any', 'scores', 'uncertainty', 'membranes', 'picks', 'strokes'}
        Which engines make it: all; those that keep scores (:attr:`~cryomamba.engines.api.Engine.keeps_scores`); those
        with :class:`~cryomamba.engines.uncertainty.UncertaintyOptions` or
        :class:`~cryomamba.engines.membrane_options.MembraneOptions`, if the parameter is set; those that pick, or
        place points on membranes; those that were trained on strokes.
    format : str, optional
        Name by which an export of it is requested; None for files that are always written.
    ending : str
        What replaces ``.mrc`` in the mask's name where a local run writes the file next to the mask.
    bytes_per_voxel : int
        Disk space that it takes besides what the engine declares.
    """

    name: str
    media_type: str = _BINARY
    producer: Producer = "any"
    format: ExportFormat | None = None
    ending: str = ""
    bytes_per_voxel: int = 0


MASK: Final = ArtifactKind("mask.mrc", ending=".mrc")
SCORES: Final = ArtifactKind("scores.mrc", _BINARY, "scores", "scores", "_scores.mrc")
CANDIDATES: Final = ArtifactKind("candidates.csv", "text/csv", "scores", "candidates", "_candidates.csv")
UNCERTAINTY: Final = ArtifactKind("uncertainty.mrc", _BINARY, "uncertainty", "uncertainty", "_uncertainty.mrc", 1)
INSTANCES: Final = ArtifactKind("instances.mrc", _BINARY, "membranes", "instances", "_instances.mrc", 2)
MEDIAL_SURFACE: Final = ArtifactKind(
    "medial_surface.mrc", _BINARY, "membranes", "medial_surface", "_medial_surface.mrc", 2
)
PICKS: Final = ArtifactKind("picks.csv", "text/csv", "picks", "csv", ".csv")
MODEL: Final = ArtifactKind("model.toml", "application/toml", "strokes")
FOREST: Final = ArtifactKind("forest.npz", _BINARY, "strokes")
STATISTICS: Final = ArtifactKind("stats.json", "application/json")
STATISTICS_TABLE: Final = ArtifactKind("stats.csv", "text/csv")

ARTIFACTS: Final = (
    MASK,
    ArtifactKind("mask.nii.gz", "application/gzip", "any", "nifti", ".nii.gz"),
    ArtifactKind("mask.nrrd", _BINARY, "any", "nrrd", ".nrrd"),
    SCORES,
    CANDIDATES,
    UNCERTAINTY,
    INSTANCES,
    MEDIAL_SURFACE,
    ArtifactKind("normals.nrrd", _BINARY, "membranes", "normals", "_normals.nrrd"),
    PICKS,
    ArtifactKind("picks.star", "text/plain", "picks", "star", ".star"),
    ArtifactKind("picks.tbl", "text/plain", "picks", "tbl", ".tbl"),
    MODEL,
    FOREST,
    STATISTICS,
    STATISTICS_TABLE,
)
EXPORTS: Final[Mapping[ExportFormat, ArtifactKind]] = {kind.format: kind for kind in ARTIFACTS if kind.format}
"""The artifacts that are written on request, by format."""


def formats_of(producer: Producer) -> tuple[ExportFormat, ...]:
    """Return the formats of one kind of producer, in the table's order."""
    return tuple(form for form, kind in EXPORTS.items() if kind.producer == producer)


def model_files() -> tuple[str, ...]:
    """Return the names of the files that make up a model that was trained on strokes."""
    return MODEL.name, FOREST.name


def requested_formats(schema: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[ExportFormat, ...]:
    """Return the exports that a job's parameter values request, given the JSON schema of its engine's parameters."""
    fields = schema.get("properties", {})
    requested = {field.get(PRODUCES) for name, field in fields.items() if values.get(name)}
    return tuple(form for form in EXPORTS if form in requested)


def media_type(name: str) -> str:
    """Return the media type of an artifact by its name; binary for a revision or an unknown name."""
    return next((kind.media_type for kind in ARTIFACTS if kind.name == name), _BINARY)


def candidates_path(scores: Path) -> Path:
    """Return the path of the table of candidates that belongs to a score map; the table need not exist."""
    name, ending = scores.name, CANDIDATES.name
    base = f"{name}." if not name.endswith(SCORES.name) else name.removesuffix(SCORES.name)
    return scores.with_name(base + ending)


def revision_name(number: int) -> str:
    """Return the name of the artifact that holds a revision of the mask; revisions count from 1."""
    return f"mask_r{number}.mrc"


def revision_number(name: str) -> int | None:
    """Return the number of the revision that an artifact holds; None for any other artifact."""
    found = _REVISION.fullmatch(name)
    return int(found[1]) if found else None
