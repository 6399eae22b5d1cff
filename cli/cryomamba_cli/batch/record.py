"""The record of a tomogram: the file ``<mask>.json`` next to its mask, with what was made from what, or why not."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, ValidationError

from cryomamba._version import __version__
from cryomamba.atomic import sync_folder, write_atomically
from cryomamba.errors import ConflictError
from cryomamba.models.base import Record
from cryomamba.printable import file_text
from cryomamba_cli.batch.session import Files
from cryomamba_cli.segmentation_task import Task

_CHUNK_NBYTES: Final = 1 << 22
PENDING: Final = "pending"
"""The notification of a record whose command or webhook has not been run yet."""


class FileFacts(Record):
    """A file as it was: its name, size and date, and its checksum where it was read.

    Attributes
    ----------
    name : str
    size_bytes, mtime_ns : int or None
        None if only a server has it.
    sha256 : str or None
    """

    name: str
    size_bytes: int | None = None
    mtime_ns: int | None = None
    sha256: str | None = None


class TomogramRecord(Record):
    """What became of a tomogram.

    Attributes
    ----------
    tomogram : str
        Its path; in a watched folder, the path below it.
    state : {'done', 'failed'}
    recipe : dict
        All that the mask depends on besides the tomogram; see :func:`recipe_of`.
    input : tuple of FileFacts
        The tomogram's files as they were read.
    mask : FileFacts or None
        The mask as it was written; of a failed tomogram that of an earlier run, if there is one.
    files : tuple of str
        Names of all files next to the record that were written for this tomogram, as text: bytes that are not UTF-8 are
        escaped.
    ended_at : datetime
    seconds : float
        Run time.
    shape, voxel_size_A : tuple or None
        Along z, y and x.
    labels : tuple of dict
        Statistics of each label, as in ``stats.json``.
    picks, estimates : dict
        As in ``stats.json``.
    warnings : tuple of dict
        What should be checked: ``code``, ``message``, ``hint``.
    error : dict or None
        Why it failed: the fields of an error.
    job_id : str
        Of the job on a server; empty without one.
    notification : str
        ``pending``, ``sent``, or why the command or webhook failed; empty without one.
    """

    tomogram: str
    state: Literal["done", "failed"]
    recipe: dict[str, Any]
    input: tuple[FileFacts, ...]
    mask: FileFacts | None = None
    files: tuple[str, ...] = ()
    ended_at: datetime
    seconds: float = 0.0
    shape: tuple[int, int, int] | None = None
    voxel_size_A: tuple[float, float, float] | None = None
    labels: tuple[dict[str, Any], ...] = ()
    picks: dict[str, Any] | None = None
    estimates: dict[str, Any] = Field(default_factory=dict)
    warnings: tuple[dict[str, Any], ...] = ()
    error: dict[str, Any] | None = None
    job_id: str = ""
    notification: str = ""

    @property
    def error_text(self) -> str:
        """The error with its hint; empty without one."""
        return "" if self.error is None else f"{self.error['message']} {self.error.get('hint', '')}".rstrip()


def record_path(mask: Path) -> Path:
    """Return the path of the record next to a mask."""
    return mask.with_name(mask.name + ".json")


def read_record(mask: Path) -> TomogramRecord | None:
    """Return the record of a mask, None if it has none that can be read."""
    try:
        return TomogramRecord.model_validate_json(record_path(mask).read_bytes())
    except (OSError, ValidationError):
        return None


def write_record(mask: Path, record: TomogramRecord, scratch: Path) -> None:
    """Write the record of a mask; `scratch` is that of the work folder."""
    place_file(record_path(mask), record.model_dump_json(indent=2) + "\n", scratch)


def place_file(path: Path, content: str, scratch: Path) -> None:
    """Write a file in another folder of the same disk, and move it to its place.

    A program that is killed leaves nothing next to the file then, only in a folder that it clears when it starts again.
    """
    made = scratch / uuid.uuid4().hex
    write_atomically(made, content)
    made.replace(path)
    sync_folder(path.parent)


def recipe_of(task: Task, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that a mask depends on besides the tomogram, with default parameters, as JSON types."""
    defaults = {name: one["default"] for name, one in schema.get("properties", {}).items() if "default" in one}
    recipe = {
        "version": __version__,
        "engine": task.engine,
        "parameters": {**defaults, **task.params},
        "voxel_size_A": task.voxel_size_A,
        "within": None if task.within is None else fingerprint(task.within).model_dump(include={"name", "sha256"}),
        "files": sorted(file_text(path.name) for path in task.files),
    }
    plain: dict[str, Any] = json.loads(json.dumps(recipe))
    return plain


def matching_record(task: Task, recipe: Mapping[str, Any]) -> TomogramRecord | None:
    """Return the record of a task if it was made by this recipe and the files that it lists are still there."""
    record = read_record(task.mask)
    if record is None or record.recipe != recipe:
        return None
    if record.state == "done" and not (
        all(_is_there(task.mask.parent, name) for name in record.files) and record.mask == facts(task.mask)
    ):
        return None
    return record


def _is_there(folder: Path, name: str) -> bool:
    """Return whether a folder has a file whose name a record has as text."""
    return (folder / name).exists() or ("\\x" in name and any(name == file_text(one.name) for one in folder.iterdir()))


def made_from(record: TomogramRecord, files: Files) -> bool:
    """Return whether a record was made from these files, by size and date: nothing is read."""
    then = [(one.size_bytes, one.mtime_ns) for one in record.input]
    return bool(files) and then == [(state.size_bytes, state.mtime_ns) for state in files.values()]


def made_from_content(record: TomogramRecord, now: tuple[FileFacts, ...]) -> bool:
    """Return whether a record was made from files of the same content, whatever their dates."""
    then = [one.sha256 for one in record.input]
    return None not in then and then == [one.sha256 for one in now]


def require_replaceable(task: Task) -> TomogramRecord | None:
    """Refuse to replace files that no batch has made, or a mask that was changed since; return the record of it.

    Raises
    ------
    ConflictError
        There is such a file.
    """
    record = read_record(task.mask)
    made = set() if record is None else {*record.files, file_text(record_path(task.mask).name)}
    for path in (*task.files, record_path(task.mask)):
        if path.exists() and file_text(path.name) not in made:
            raise _not_replaced(path, "was not made by this command")
    if record is not None and record.mask is not None and task.mask.exists() and record.mask != facts(task.mask):
        raise _not_replaced(task.mask, "was changed after it was made")
    return record


def _not_replaced(path: Path, what: str) -> ConflictError:
    return ConflictError(f"'{path}' exists and {what}.", hint="Move it away, or overwrite it with --force.")


def facts(path: Path) -> FileFacts:
    """Return the name, size and date of a file."""
    status = path.stat()
    return FileFacts(name=file_text(path.name), size_bytes=status.st_size, mtime_ns=status.st_mtime_ns)


def fingerprint(path: Path, check: Callable[[], None] = lambda: None) -> FileFacts:
    """Return the facts of a file with its SHA-256 checksum; the name alone if only a server has it.

    Parameters
    ----------
    path : Path
    check : callable
        Called often while the file is read; may raise.
    """
    if not path.exists():
        return FileFacts(name=file_text(path.name))
    before, digest = facts(path), hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_NBYTES):
            check()
            digest.update(chunk)
    return before.model_copy(update={"sha256": digest.hexdigest()})
