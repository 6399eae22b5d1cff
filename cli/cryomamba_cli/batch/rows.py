"""A tomogram of a session as reports and messages show it, and the table of all of them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryomamba.spreadsheet import write_rows
from cryomamba_cli.batch.record import TomogramRecord
from cryomamba_cli.batch.session import State

COLUMNS: Final = ("tomogram", "state", "mask", "engine", "seconds", "ended_at")
SUMMARY_HEAD: Final = ",".join(COLUMNS[:3]).encode()
"""How every table of a session begins."""


@dataclass(frozen=True, slots=True)
class Row:
    """A tomogram of a session.

    Attributes
    ----------
    number : int
        From 1, in the order in which tomograms were seen.
    tomogram : str
    state : State
    engine : str
    mask : Path
        Where the mask is, or goes.
    record : TomogramRecord or None
        Once it has ended.
    problem : str
        Why it is not complete yet, or why it is tried again later.
    fraction : float
        Progress of a running tomogram, 0 to 1.
    stage : str
        What is done at the moment.
    done_tiles, total_tiles : int
        Of a running tomogram.
    """

    number: int
    tomogram: str
    state: State
    engine: str
    mask: Path
    record: TomogramRecord | None = None
    problem: str = ""
    fraction: float = 0.0
    stage: str = ""
    done_tiles: int = 0
    total_tiles: int = 0

    @property
    def seconds(self) -> float:
        """Run time."""
        return 0.0 if self.record is None else self.record.seconds

    @property
    def labels(self) -> tuple[dict[str, Any], ...]:
        """Statistics of each label."""
        return () if self.record is None else self.record.labels

    @property
    def warnings(self) -> tuple[dict[str, Any], ...]:
        """What should be checked."""
        return () if self.record is None else self.record.warnings

    @property
    def error(self) -> str:
        """Why it failed, or why it is not complete yet."""
        return self.problem if self.record is None else self.record.error_text or self.problem

    @property
    def has_mask(self) -> bool:
        """Whether its mask is there."""
        return self.state in {State.DONE, State.SKIPPED}


def summary_csv(rows: Sequence[Row]) -> str:
    """Return the table of a session: one row per tomogram, three columns per label."""
    names = list(dict.fromkeys(label["name"] for row in rows for label in row.labels))
    header = [*COLUMNS]
    header += [f"{name}_{what}" for name in names for what in ("voxels", "volume_nm3", "components")]
    header += ["picks", "warnings", "error"]
    table = io.StringIO()
    write_rows(table, [header, *([str(cell) for cell in _cells(row, names)] for row in rows)])
    return table.getvalue()


def _cells(row: Row, names: Sequence[str]) -> list[object]:
    by_name = {label["name"]: label for label in row.labels}
    record = row.record
    return [
        row.tomogram,
        row.state,
        row.mask if row.has_mask else "",
        row.engine,
        f"{row.seconds:.1f}",
        "" if record is None else record.ended_at.isoformat(timespec="seconds"),
        *(cell for name in names for cell in _label_cells(by_name.get(name))),
        "" if record is None or record.picks is None else record.picks["objects"],
        " ".join(warning["code"] for warning in row.warnings),
        row.error,
    ]


def _label_cells(label: Mapping[str, Any] | None) -> tuple[object, object, object]:
    if label is None:
        return "", "", ""
    return label["voxels"], f"{label['volume_nm3']:.6g}", label.get("instances", "")
