"""The files that a job can have besides its mask: their names, endings, and which parameter asks for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

_REVISION = re.compile(r"mask_r([1-9][0-9]{0,5})\.mrc")
MASK = "mask.mrc"
SCORES = "scores.mrc"
PICKS = "picks.csv"
CANDIDATES = "candidates.csv"
INSTANCES = "instances.mrc"
MEDIAL_SURFACE = "middle.mrc"

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
PICK_FORMATS: tuple[ExportFormat, ...] = ("csv", "star", "tbl")
PRODUCES = "makes"
"""Key of a parameter in an engine's JSON schema: which of the formats a job has that sets it."""


def made_by(schema: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[ExportFormat, ...]:
    """Return which further files a job's parameters ask for, given the JSON schema of its engine's parameters."""
    fields = schema.get("properties", {})
    asked = {field.get(PRODUCES) for name, field in fields.items() if values.get(name)}
    return tuple(form for form in ARTIFACTS if form in asked)


def candidates_beside(scores: Path) -> Path:
    """Return where the places lie that belong to a file of scores, if its engine has found any."""
    name = scores.name
    return scores.with_name(name.removesuffix(SCORES) + CANDIDATES if name.endswith(SCORES) else f"{name}.{CANDIDATES}")


def revision_name(number: int) -> str:
    """Return what the artifact of a revision is called; they count from 1."""
    return f"mask_r{number}.mrc"


def revision_number(name: str) -> int | None:
    """Return which revision an artifact is, None if it is none."""
    found = _REVISION.fullmatch(name)
    return int(found[1]) if found else None
