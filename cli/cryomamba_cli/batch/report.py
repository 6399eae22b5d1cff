"""The report of a session: a page and a table, written again as it goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryomamba_cli.batch.record import place_file
from cryomamba_cli.batch.rows import Row, summary_csv

SUMMARY: Final = "summary.csv"
REPORT: Final = "report.html"
_INTERVAL_S: Final = 2.0
_SHARE: Final = 0.05
"""Of the time, at most, goes into writing the report."""


class ReportFiles:
    """Writes the report of a session.

    Parameters
    ----------
    folder : Path
        Existing folder of the results.
    scratch : Path
        That of the work folder.
    clock : callable
    """

    def __init__(self, folder: Path, scratch: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._scratch = scratch
        self._clock = clock
        self._is_changed = True
        self._next = 0.0

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that are written."""
        return (self._folder / SUMMARY,)

    def changed(self) -> None:
        """Note that something has changed."""
        self._is_changed = True

    def update(self, rows: Callable[[], list[Row]], *, final: bool = False) -> None:
        """Write the report if something has changed and it was not written a moment ago; the last time always."""
        began = self._clock()
        if not final and (not self._is_changed or began < self._next):
            return
        self._is_changed = False
        place_file(self._folder / SUMMARY, summary_csv(rows()), self._scratch)
        took = self._clock() - began
        self._next = began + max(_INTERVAL_S, took / _SHARE)
