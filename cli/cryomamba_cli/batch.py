"""Many tomograms with one command: what is done is skipped, what fails is told, and the rest goes on."""

from __future__ import annotations

import csv
import glob
import hashlib
import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from cryomamba._version import __version__
from cryomamba.atomic import write_atomically
from cryomamba.errors import ConflictError, CryoMambaError, InvalidRequestError
from cryomamba_cli.naming import beside, is_volume
from cryomamba_cli.output import note, trace
from cryomamba_cli.work import Work

SUMMARY: Final = "summary.csv"
_READ_NBYTES: Final = 1 << 20
_NAMED: Final = 5

State = Literal["waiting", "done", "skipped", "failed", "interrupted"]


@dataclass(slots=True)
class Row:
    """One tomogram of a batch, as the summary shows it.

    Attributes
    ----------
    work : Work
    state : str
        ``skipped`` was done before, by content and parameters.
    seconds : float
        What it took, now or then.
    labels : list of dict
        Of its statistics, one per label.
    error : str
        What went wrong, and what to try.
    """

    work: Work
    state: State = "waiting"
    seconds: float = 0.0
    labels: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""


def expand(patterns: Sequence[str]) -> list[Path]:
    """Return the tomograms that names, patterns and folders stand for.

    Masks and scores that CryoMamba has written are left out of patterns and folders, and that is said.

    Raises
    ------
    InvalidRequestError
        A pattern or folder holds none.
    """
    found: list[Path] = []
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            matches = [one for one in sorted(path.iterdir()) if one.is_file() and is_volume(one)]
        elif glob.has_magic(pattern) and not path.exists():
            matches = [Path(one) for one in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207 (** and ~ as typed)
        else:
            found.append(path)
            continue
        ours = {one for one in matches if _is_own_result(one)}
        if ours:
            note(f"Left out of '{pattern}', because CryoMamba made them: {_some(sorted(one.name for one in ours))}.")
        tomograms = [one for one in matches if one not in ours]
        if not tomograms:
            raise InvalidRequestError(
                f"'{pattern}' matches no tomogram.", hint="Write for example 'tomograms/*.mrc', in quotes."
            )
        found += tomograms
    return list(dict.fromkeys(found))


def _is_own_result(path: Path) -> bool:
    from cryomamba.volumes import inspect, is_own_result

    try:
        return is_own_result(inspect(path).labels)
    except (CryoMambaError, OSError):
        # What is wrong with it is told when its turn comes.
        return False


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def targets(tomograms: Sequence[Path], folder: Path, engine: str) -> dict[Path, Path]:
    """Return where each tomogram's mask goes.

    Raises
    ------
    ConflictError
        Two would go to the same file.
    """
    places: dict[Path, Path] = {}
    for tomogram in tomograms:
        target = folder / beside(tomogram, engine).name
        if target in places:
            raise ConflictError(
                f"'{places[target]}' and '{tomogram}' would both be written to '{target}'.",
                hint="Give tomograms of the same name in runs of their own, with another --out-dir.",
            )
        places[target] = tomogram
    return {tomogram: target for target, tomogram in places.items()}


def sidecar(mask: Path) -> Path:
    """Return the file beside a mask that says what it was made from."""
    return mask.with_name(mask.name + ".json")


def run_batch(
    works: Sequence[Work],
    schema: Mapping[str, Any],
    segment: Callable[[Work], Mapping[str, Any]],
    *,
    force: bool,
    tell: Callable[[int, Row], None],
    summary: Path,
) -> list[Row]:
    """Segment one tomogram after the other, and keep the summary up to date.

    Parameters
    ----------
    works : sequence of Work
    schema : mapping
        JSON schema of the engine's parameters, for their defaults.
    segment : callable
        Makes the mask of one and returns its statistics.
    force : bool
        Do again what is done, and overwrite what others have written.
    tell : callable
        Called with number and row when one begins (``waiting``) and when it has ended.
    summary : Path
        The table, written anew after each tomogram.
    """
    rows = [Row(work) for work in works]
    try:
        for number, row in enumerate(rows):
            tell(number, row)
            try:
                _do(row, schema, segment, force=force)
            except Exception as error:  # noqa: BLE001 (whatever one tomogram does, the rest goes on)
                trace()
                row.state, row.error = "failed", _said(error)
            except BaseException:
                row.state = "interrupted"
                raise
            tell(number, row)
            write_summary(rows, summary)
    finally:
        write_summary(rows, summary)
    return rows


def _said(error: Exception) -> str:
    match error:
        case CryoMambaError():
            return str(error)
        case OSError():
            return f"{error.filename or 'A file'}: {error.strerror or error}"
        case _:
            return f"Something unexpected happened: {type(error).__name__}: {error}"


def _do(row: Row, schema: Mapping[str, Any], segment: Callable[[Work], Mapping[str, Any]], *, force: bool) -> None:
    work = row.work
    recipe = _recipe(work, schema)
    known = _read(sidecar(work.target))
    before = None if force else _made_before(work, recipe, known)
    if before is not None:
        row.state, row.seconds, row.labels = "skipped", before["seconds"], before["labels"]
        return
    if not force:
        _require_ours(work.target, known)
    source = _fingerprint(work.tomogram)
    began = time.monotonic()
    statistics = segment(work)
    row.state, row.seconds, row.labels = "done", time.monotonic() - began, list(statistics["labels"])
    record = {
        "recipe": recipe,
        "input": source,
        "mask": _stamp(work.target),
        "seconds": round(row.seconds, 3),
        "labels": row.labels,
    }
    write_atomically(sidecar(work.target), json.dumps(record, indent=2) + "\n")


def _recipe(work: Work, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that the mask depends on besides the tomogram, defaults filled in, as JSON types."""
    defaults = {name: one["default"] for name, one in schema.get("properties", {}).items() if "default" in one}
    recipe = {
        "version": __version__,
        "engine": work.engine,
        "parameters": {**defaults, **work.params},
        "voxel_size_A": work.voxel_size_A,
        "files": sorted(path.name for path in work.files),
    }
    plain: dict[str, Any] = json.loads(json.dumps(recipe))
    return plain


def _made_before(work: Work, recipe: Mapping[str, Any], known: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return what is known of a mask that this very recipe has made of this very tomogram, None for any other."""
    if known is None or known["recipe"] != recipe or not _exists(work) or known["mask"] != _stamp(work.target):
        return None
    if not work.tomogram.exists():
        # A server's file, of which nothing can be known here.
        return None
    stamp = _stamp(work.tomogram)
    if {**known["input"], **stamp} != known["input"]:
        if _digest(work.tomogram) != known["input"]["sha256"]:
            return None
        # Copied or touched, but the same: next time its date says so.
        write_atomically(
            sidecar(work.target), json.dumps({**known, "input": {**known["input"], **stamp}}, indent=2) + "\n"
        )
    return known


def _exists(work: Work) -> bool:
    return all(path.exists() for path in work.files)


def _require_ours(mask: Path, known: Mapping[str, Any] | None) -> None:
    """Refuse to replace a mask that no batch has made, or that was changed since."""
    if mask.exists() and (known is None or known["mask"] != _stamp(mask)):
        what = "was not made by this command" if known is None else "was changed after it was made"
        raise ConflictError(f"'{mask}' exists and {what}.", hint="Move it away, or overwrite it with --force.")


def _fingerprint(tomogram: Path) -> dict[str, Any]:
    if not tomogram.exists():
        return {"name": tomogram.name}
    return {"name": tomogram.name, **_stamp(tomogram), "sha256": _digest(tomogram)}


def _stamp(path: Path) -> dict[str, int]:
    status = path.stat()
    return {"size_bytes": status.st_size, "mtime_ns": status.st_mtime_ns}


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_READ_NBYTES):
            digest.update(piece)
    return digest.hexdigest()


def _read(path: Path) -> dict[str, Any] | None:
    """Return a sidecar, None if there is none or it is not one of ours."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    parts = {"recipe", "input", "mask", "seconds", "labels"}
    return known if isinstance(known, dict) and parts <= known.keys() else None


def write_summary(rows: Sequence[Row], path: Path) -> None:
    """Write the table of a batch: one row per tomogram, three columns per label."""
    names = list(dict.fromkeys(label["name"] for row in rows for label in row.labels))
    heads = ["tomogram", "state", "mask", "seconds"]
    heads += [f"{name}_{what}" for name in names for what in ("voxels", "volume_nm3", "pieces")] + ["error"]
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(heads)
    for row in rows:
        by_name = {label["name"]: label for label in row.labels}
        cells = [cell for name in names for cell in _cells(by_name.get(name))]
        mask = row.work.target if row.state in {"done", "skipped"} else ""
        writer.writerow([row.work.tomogram, row.state, mask, f"{row.seconds:.1f}", *cells, row.error])
    write_atomically(path, table.getvalue())


def _cells(label: Mapping[str, Any] | None) -> tuple[object, object, object]:
    if label is None:
        return "", "", ""
    return label["voxels"], f"{label['volume_nm3']:.6g}", label.get("instances", "")
