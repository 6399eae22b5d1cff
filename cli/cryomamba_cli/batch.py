"""Batches: many tomograms with one command; finished ones are skipped, failures do not stop the rest."""

from __future__ import annotations

import csv
import glob
import io
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from cryomamba.atomic import write_atomically
from cryomamba.errors import ConflictError, CryoMambaError, InvalidRequestError
from cryomamba.file_names import is_volume
from cryomamba.output_paths import require_outputs
from cryomamba.printable import printable
from cryomamba_cli.output import note, trace
from cryomamba_cli.provenance import (
    existing_result,
    file_state,
    fingerprint,
    provenance_path,
    recipe_of,
    require_replaceable,
    write_provenance,
)
from cryomamba_cli.result_paths import result_path
from cryomamba_cli.segmentation_task import Task

SUMMARY: Final = "summary.csv"
_COLUMNS: Final = ("tomogram", "state", "mask", "seconds")
_SUMMARY_HEAD: Final = ",".join(_COLUMNS).encode()
_NAMED: Final = 5

State = Literal["waiting", "done", "skipped", "failed", "interrupted"]


@dataclass(slots=True)
class BatchItem:
    """One tomogram of a batch, a row of the summary.

    Attributes
    ----------
    task : Task
    state : str
        ``skipped``: an earlier run made the same mask of the same tomogram.
    seconds : float
        Run time, of the earlier run if skipped.
    labels : list of dict
        Statistics of each label.
    warnings : tuple of str
        Codes of what should be checked.
    error : str
        The error with its hint.
    """

    task: Task
    state: State = "waiting"
    seconds: float = 0.0
    labels: list[dict[str, Any]] = field(default_factory=list)
    warnings: tuple[str, ...] = ()
    error: str = ""


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
        if path.is_dir():
            matches = [one for one in sorted(path.iterdir()) if is_volume(one) and not one.is_dir()]
        elif glob.has_magic(pattern) and not path.exists():
            matches = [Path(one) for one in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207 (** and ~ as typed)
        else:
            found.append(path)
            continue
        results = {one for one in matches if _is_own_result(one)}
        if results:
            names = _some(sorted(one.name for one in results))
            note(f"Ignoring results of CryoMamba in '{pattern}': {names}.")
        tomograms = [one for one in matches if one not in results]
        if not tomograms:
            raise InvalidRequestError(
                f"'{pattern}' matches no tomogram.", hint="Give for example 'tomograms/*.mrc', in quotes."
            )
        found += tomograms
    return list(dict.fromkeys(found))


def _is_own_result(path: Path) -> bool:
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

    Whether a result may replace an earlier one is decided when its turn comes, see :func:`run_batch`.

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
            if not file.read(len(_SUMMARY_HEAD)).startswith(_SUMMARY_HEAD):
                raise ConflictError(
                    f"'{summary}' exists and is not the summary of a batch.",
                    hint="Move it away, or overwrite it with --force.",
                )
    files = [path for task in tasks for path in (*task.files, provenance_path(task.mask))]
    inputs = [path for task in tasks for path in task.inputs]
    require_outputs([summary, *files], inputs=inputs, replace=True, folder=folder)


def run_batch(
    tasks: Sequence[Task],
    schema: Mapping[str, Any],
    segment: Callable[[Task], Mapping[str, Any]],
    *,
    force: bool,
    report: Callable[[int, BatchItem], None],
    summary: Path,
) -> list[BatchItem]:
    """Segment tomograms one after the other, and keep the summary up to date.

    Parameters
    ----------
    tasks : sequence of Task
    schema : mapping
        JSON schema of the engine's parameters, for their defaults.
    segment : callable
        Writes the mask of a task and returns its statistics.
    force : bool
        Repeat finished tasks, and overwrite other files.
    report : callable
        Called with number and item when a task starts (``waiting``) and when it has ended.
    summary : Path
        The table, written again after each task.
    """
    items = [BatchItem(task) for task in tasks]
    try:
        for number, item in enumerate(items):
            report(number, item)
            try:
                _process(item, schema, segment, force=force)
            except Exception as error:  # noqa: BLE001 (an error of one tomogram must not stop the others)
                trace()
                item.state, item.error = "failed", _message(error)
            except BaseException:
                item.state = "interrupted"
                raise
            report(number, item)
            write_summary(items, summary)
    finally:
        write_summary(items, summary)
    return items


def _message(error: Exception) -> str:
    match error:
        case CryoMambaError():
            return str(error)
        case OSError():
            return f"{error.filename or 'A file'}: {error.strerror or error}"
        case _:
            return f"Unexpected error: {type(error).__name__}: {error}"


def _process(
    item: BatchItem, schema: Mapping[str, Any], segment: Callable[[Task], Mapping[str, Any]], *, force: bool
) -> None:
    task = item.task
    recipe = recipe_of(task, schema)
    if not force:
        existing = existing_result(task, recipe)
        if existing is not None:
            item.state, item.seconds, item.labels = "skipped", existing["seconds"], existing["labels"]
            item.warnings = tuple(existing.get("warnings", ()))
            return
        require_replaceable(task)
    source = fingerprint(task.tomogram)
    started = time.monotonic()
    statistics = segment(task)
    item.state, item.seconds, item.labels = "done", time.monotonic() - started, list(statistics["labels"])
    item.warnings = tuple(warning["code"] for warning in statistics.get("warnings", ()))
    record = {
        "recipe": recipe,
        "input": source,
        "mask": file_state(task.mask),
        "seconds": round(item.seconds, 3),
        "labels": item.labels,
        "warnings": item.warnings,
    }
    write_provenance(task.mask, record)


def write_summary(items: Sequence[BatchItem], path: Path) -> None:
    """Write the table of a batch: one row per tomogram, three columns per label."""
    names = list(dict.fromkeys(label["name"] for item in items for label in item.labels))
    header = [*_COLUMNS]
    header += [f"{name}_{what}" for name in names for what in ("voxels", "volume_nm3", "components")]
    header += ["warnings", "error"]
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(header)
    for item in items:
        by_name = {label["name"]: label for label in item.labels}
        cells = [cell for name in names for cell in _cells(by_name.get(name))]
        mask = item.task.mask if item.state in {"done", "skipped"} else ""
        row = [item.task.tomogram, item.state, mask, f"{item.seconds:.1f}", *cells, " ".join(item.warnings), item.error]
        writer.writerow([printable(str(cell)) for cell in row])
    write_atomically(path, table.getvalue())


def _cells(label: Mapping[str, Any] | None) -> tuple[object, object, object]:
    if label is None:
        return "", "", ""
    return label["voxels"], f"{label['volume_nm3']:.6g}", label.get("instances", "")
