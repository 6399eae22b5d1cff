"""What a mask was made from: a file ``<mask>.json`` next to each mask of a batch, to skip what is done already."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from cryomamba._version import __version__
from cryomamba.atomic import write_atomically
from cryomamba.errors import ConflictError
from cryomamba_cli.segmentation_task import Task

_KEYS: Final = {"recipe", "input", "mask", "seconds", "labels"}


def provenance_path(mask: Path) -> Path:
    """Return the path of the file next to a mask."""
    return mask.with_name(mask.name + ".json")


def read_provenance(mask: Path) -> dict[str, Any] | None:
    """Return the record of a mask, None if it has none."""
    try:
        record = json.loads(provenance_path(mask).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    complete = isinstance(record, dict) and record.keys() >= _KEYS and isinstance(record["recipe"], dict)
    return record if complete else None


def write_provenance(mask: Path, record: Mapping[str, Any]) -> None:
    """Write the record of a mask."""
    write_atomically(provenance_path(mask), json.dumps(record, indent=2) + "\n")


def recipe_of(task: Task, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that a mask depends on besides the tomogram, with default parameters, as JSON types."""
    defaults = {name: one["default"] for name, one in schema.get("properties", {}).items() if "default" in one}
    recipe = {
        "version": __version__,
        "engine": task.engine,
        "parameters": {**defaults, **task.params},
        "voxel_size_A": task.voxel_size_A,
        "within": None if task.within is None else _content(task.within),
        "files": sorted(path.name for path in task.files),
    }
    plain: dict[str, Any] = json.loads(json.dumps(recipe))
    return plain


def existing_result(task: Task, recipe: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the record of an existing mask that was made by the same recipe from the same tomogram, else None."""
    record = read_provenance(task.mask)
    if record is None or record["recipe"] != recipe or not all(path.exists() for path in task.files):
        return None
    if record["mask"] != file_state(task.mask) or not task.tomogram.exists():
        # A tomogram that only the server has cannot be compared.
        return None
    state = file_state(task.tomogram)
    if {**record["input"], **state} != record["input"]:
        if _sha256(task.tomogram) != record["input"]["sha256"]:
            return None
        # The same content with another date: update the date, so that the next run need not read the file.
        write_provenance(task.mask, {**record, "input": {**record["input"], **state}})
    return record


def require_replaceable(task: Task) -> None:
    """Refuse to replace files that no batch has made, or a mask that was changed since.

    Raises
    ------
    ConflictError
        There is such a file.
    """
    record = read_provenance(task.mask)
    made = set() if record is None else {*record["recipe"].get("files", ()), provenance_path(task.mask).name}
    for path in (*task.files, provenance_path(task.mask)):
        if path.exists() and path.name not in made:
            raise _not_replaced(path, "was not made by this command")
    if record is not None and task.mask.exists() and record["mask"] != file_state(task.mask):
        raise _not_replaced(task.mask, "was changed after it was made")


def _not_replaced(path: Path, what: str) -> ConflictError:
    return ConflictError(f"'{path}' exists and {what}.", hint="Move it away, or overwrite it with --force.")


def fingerprint(volume: Path) -> dict[str, Any]:
    """Return the name, size, date and SHA-256 checksum of a volume; the name alone if only a server has it."""
    if not volume.exists():
        return {"name": volume.name}
    return {"name": volume.name, **file_state(volume), "sha256": _sha256(volume)}


def _content(mask: Path) -> dict[str, Any]:
    """Return the name and SHA-256 checksum of a mask; the name alone if only a server has it."""
    return {"name": mask.name, "sha256": _sha256(mask) if mask.exists() else None}


def file_state(path: Path) -> dict[str, int]:
    """Return the size and date of a file."""
    status = path.stat()
    return {"size_bytes": status.st_size, "mtime_ns": status.st_mtime_ns}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
