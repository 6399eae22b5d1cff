"""The tomograms of a batch: what file names, patterns, folders and lists of them stand for."""

from __future__ import annotations

import codecs
import errno
import glob
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from cryomamba.errors import ConflictError, CryoMambaError, InvalidRequestError
from cryomamba.file_names import is_volume
from cryomamba.output_paths import require_outputs
from cryomamba_cli.batch.inspection import inspect_files
from cryomamba_cli.batch.record import made_from, matching_record, read_record, record_path, require_replaceable
from cryomamba_cli.batch.report import REPORT, SUMMARY
from cryomamba_cli.batch.rows import SUMMARY_HEAD
from cryomamba_cli.batch.session import FileState, Sighting
from cryomamba_cli.output import note
from cryomamba_cli.result_paths import result_path
from cryomamba_cli.segmentation_task import Task

_NAMED: Final = 5


def expand(patterns: Sequence[str]) -> list[Path]:
    """Return the tomograms that file names, patterns and folders stand for.

    Masks and score maps that CryoMamba has written are left out of patterns and folders, with a note.

    Raises
    ------
    InvalidRequestError
        A pattern or folder has none.
    """
    found: list[Path] = []
    for pattern in patterns:
        path = Path(pattern)
        if is_folder_of_tomograms(path):
            matches = [one for one in sorted(path.iterdir()) if is_volume(one) and not one.is_dir()]
        elif glob.has_magic(pattern) and not path.exists():
            matches = [Path(one) for one in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207 (** and ~ as typed)
        else:
            found.append(path)
            continue
        results = {one for one in matches if is_own_result_file(one)}
        if results:
            names = _some(sorted(one.name for one in results))
            note(f"Ignoring results of CryoMamba in '{pattern}': {names}.")
        tomograms = [one for one in matches if one not in results]
        if not tomograms:
            raise InvalidRequestError(
                f"'{pattern}' matches no tomogram.", hint="For example: 'tomograms/*.mrc', in quotes."
            )
        found += tomograms
    return list(dict.fromkeys(found))


def is_folder_of_tomograms(path: Path) -> bool:
    """Whether a path is a folder, and not an image that is stored as one."""
    from cryomamba.volumes.images import is_image

    return path.is_dir() and not is_image(path)


def read_list(path: Path) -> list[str]:
    """Return the lines of a list of tomograms: names, patterns or folders; empty lines and those with # are left out.

    Names are relative to the current folder, as on the command line.

    Raises
    ------
    InvalidRequestError
        The list is empty or cannot be read.
    """
    try:
        # As the names of files are decoded: one in another encoding is a name like any other.
        text = path.read_bytes().removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")
        lines = [line.strip() for line in re.split(r"\r?\n", text)]
    except OSError as error:
        raise InvalidRequestError(
            f"The list '{path}' cannot be read: {error}.", hint="Give a text file with one tomogram in each line."
        ) from None
    if "\0" in text:
        raise InvalidRequestError(f"The list '{path}' is not a text in UTF-8.", hint="Save it as text in UTF-8.")
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise InvalidRequestError(f"The list '{path}' contains no tomograms.", hint="Write one tomogram in each line.")
    return found


def is_own_result_file(path: Path) -> bool:
    """Return whether a volume is a mask or score map that CryoMamba has written."""
    from cryomamba.volumes import inspect, is_own_result

    try:
        return is_own_result(inspect(path).labels)
    except (CryoMambaError, OSError):
        # The error is reported when the file is processed.
        return False


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def mask_paths(tomograms: Sequence[Path], folder: Path, engine: str) -> dict[Path, Path]:
    """Return the path of the mask of each tomogram.

    Raises
    ------
    ConflictError
        Two masks would have the same path.
    """
    by_mask: dict[Path, Path] = {}
    for tomogram in tomograms:
        mask = folder / result_path(tomogram, engine).name
        if mask in by_mask:
            raise ConflictError(
                f"'{by_mask[mask]}' and '{tomogram}' would both be written to '{mask}'.",
                hint="Segment tomograms with the same name in separate runs, with different --out-dir.",
            )
        by_mask[mask] = tomogram
    return {tomogram: mask for mask, tomogram in by_mask.items()}


def require_batch_outputs(tasks: Sequence[Task], folder: Path, *, force: bool) -> None:
    """Refuse a batch that would write onto one of its inputs, or onto a table that is not a summary.

    Whether a result may replace an earlier one is decided when its turn comes, and then a tomogram whose results would
    have names that are too long fails alone.

    Raises
    ------
    InvalidRequestError
        A path cannot be written, or would be written twice.
    ConflictError
        There is another table under the name of the summary, and `force` is not set.
    """
    summary = folder / SUMMARY
    if not force and summary.is_file():
        with summary.open("rb") as file:
            if not file.read(len(SUMMARY_HEAD)).startswith(SUMMARY_HEAD):
                raise ConflictError(
                    f"'{summary}' exists and is not the summary of a batch.",
                    hint="Move it away, or overwrite it with --force.",
                )
    files = [path for task in tasks for path in (*task.files, record_path(task.mask)) if not _is_name_too_long(path)]
    inputs = [path for task in tasks for path in task.inputs]
    require_outputs([summary, folder / REPORT, *files], inputs=inputs, replace=True, folder=folder)


def _is_name_too_long(path: Path) -> bool:
    # The folder of results may not be there yet; that above it is on the same disk.
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    try:
        (folder / path.name).lstat()
    except OSError as error:
        return error.errno == errno.ENAMETOOLONG
    return False


def has_failed(mask: Path) -> bool:
    """Return whether the record of a mask says that its tomogram failed."""
    record = read_record(mask)
    return record is not None and record.state == "failed"


def planned(task: Task, recipe: Mapping[str, Any], *, force: bool, server: bool) -> str:
    """Return in words what a batch would do with a tomogram, by its header, size and date; no voxel is read."""
    record = None if force else matching_record(task, recipe)
    if record is not None and record.state == "done" and made_from(record, file_states(task.tomogram)):
        return "skip: already done"
    if server and not task.tomogram.exists():
        return "segment: not found here, may exist on the server"
    try:
        error = inspect_files([task.tomogram]).error
        if error is not None:
            return f"fail: {error}"
        if not force:
            require_replaceable(task)
    except ConflictError as error:
        return f"fail: {error}"
    return (
        "check: the file's modification time has changed"
        if record is not None and record.state == "done"
        else "segment"
    )


def listed(paths: Iterable[Path]) -> Mapping[Path, Sighting]:
    """Return tomograms that are complete, as their owner says by naming them."""
    return {path: Sighting(file_states(path), complete=True) for path in paths}


def file_states(path: Path) -> Mapping[Path, FileState]:
    """Return the file of a tomogram with its size and date; empty if it is not there."""
    try:
        status = path.stat()
    except OSError:
        return {}
    return {path: FileState(status.st_size, status.st_mtime_ns, status.st_ino)}
