"""Messages about a session: lines of text, a bar on a terminal, or lines of JSON."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Protocol

from cryomamba.printable import printable
from cryomamba_cli import output
from cryomamba_cli.batch.rows import Row
from cryomamba_cli.batch.session import State
from cryomamba_cli.verbosity import is_quiet


class Display(Protocol):
    """Shows what happens in a session. All methods are called in the main thread."""

    def changed(self, row: Row, total: int) -> None:
        """Show that a tomogram was started or has ended."""

    def progress(self, running: Sequence[Row], ended: int, total: int) -> None:
        """Show how far the session is."""

    def note(self, text: str) -> None:
        """Show a message."""

    def close(self) -> None:
        """Leave the terminal as it was."""


def session_display(*, json: bool, bar: bool) -> Display:
    """Return a display: lines of JSON on stdout, or text on stderr, with a bar if asked for and it is a terminal."""
    if json:
        return JsonDisplay()
    return BarDisplay() if bar and not is_quiet() and sys.stderr.isatty() else TextDisplay()


class TextDisplay:
    """A line for each tomogram that was started or has ended."""

    def changed(self, row: Row, total: int) -> None:
        """Print a line."""
        self.note(row_line(row, total))

    def progress(self, running: Sequence[Row], ended: int, total: int) -> None:
        """Print nothing."""

    def note(self, text: str) -> None:
        """Print a line, unbuffered."""
        output.note(text)
        sys.stderr.flush()

    def close(self) -> None:
        """Do nothing."""


class BarDisplay:
    """A bar for the whole session, with the tomograms that run now; those that have ended are printed above it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        # Without markup: brackets in the name of a file are only brackets.
        columns = (TextColumn("{task.fields[count]}", markup=False), BarColumn(), TimeElapsedColumn())
        more = TextColumn("{task.fields[more]}", markup=False)
        self._bar = Progress(*columns, more, console=Console(file=sys.stderr, highlight=False))
        self._task = self._bar.add_task("", total=1.0, count="", more="")
        self._bar.start()

    def changed(self, row: Row, total: int) -> None:
        """Print a line above the bar when a tomogram has ended."""
        if row.state.final:
            self.note(row_line(row, total))

    def progress(self, running: Sequence[Row], ended: int, total: int) -> None:
        """Update the bar."""
        done = ended + sum(row.fraction for row in running)
        names = ", ".join(_running(row) for row in running)
        self._bar.update(self._task, completed=done / max(total, 1), count=f"{ended} of {total}", more=names)

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(printable(text), markup=False)

    def close(self) -> None:
        """Stop the bar and leave it on the screen."""
        self._bar.stop()


class JsonDisplay:
    """One JSON object per line on stdout, as `segment` prints them for a single tomogram."""

    def __init__(self) -> None:
        self._printed: dict[int, tuple[float, str]] = {}

    def changed(self, row: Row, total: int) -> None:
        """Print the tomogram."""
        output.line({"type": "tomogram", "job_id": _job_id(row), "data": row_fields(row, total)})

    def progress(self, running: Sequence[Row], ended: int, total: int) -> None:  # noqa: ARG002 (the protocol's)
        """Print the progress of each running tomogram that has made some."""
        for row in running:
            if self._printed.get(row.number) != (row.fraction, row.stage):
                self._printed[row.number] = (row.fraction, row.stage)
                data = {
                    "tomogram": row.tomogram,
                    "fraction": row.fraction,
                    "stage": row.stage,
                    "done_tiles": row.done_tiles,
                    "total_tiles": row.total_tiles,
                }
                output.line({"type": "progress", "job_id": None, "data": data})

    def note(self, text: str) -> None:
        """Print the message on stderr."""
        output.note(text)

    def close(self) -> None:
        """Do nothing."""


def _job_id(row: Row) -> str | None:
    return None if row.record is None else row.record.job_id or None


def _running(row: Row) -> str:
    tiles = f" ({row.done_tiles} of {row.total_tiles} tiles)" if row.total_tiles else ""
    return f"{printable(row.tomogram)} {row.fraction:.0%}{tiles}"


def row_line(row: Row, total: int) -> str:
    """Return a line about a tomogram."""
    start = f"[{row.number}/{total}] {row.tomogram}"
    match row.state:
        case State.RUNNING:
            return f"{start}: started with {row.engine}"
        case State.FAILED:
            return f"{start}: failed: {row.error}"
        case State.SKIPPED:
            return f"{start}: skipped, already done"
        case State.DONE:
            codes = ", ".join(warning["code"] for warning in row.warnings)
            return f"{start}: done in {output.seconds(row.seconds)}, {row.mask}{f'; check: {codes}' if codes else ''}"
        case _:
            return f"{start}: {row.state}{f', {row.error}' if row.error else ''}"


def row_fields(row: Row, total: int) -> dict[str, Any]:
    """Return a tomogram as JSON types."""
    return {
        "number": row.number,
        "of": total,
        "tomogram": row.tomogram,
        "mask": str(row.mask),
        "engine": row.engine,
        "state": row.state,
        "seconds": round(row.seconds, 3),
        "labels": list(row.labels),
        "warnings": [warning["code"] for warning in row.warnings],
        "error": row.error,
    }
