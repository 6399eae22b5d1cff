"""Printing: results go to stdout as text, tables or JSON; everything else goes to stderr.

All output of the program passes through this module or the :mod:`~cryomamba_cli.reporter`, which escape what a terminal
would not show as a character, see :mod:`cryomamba.printable`.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

import typer

from cryomamba.errors import CryoMambaError
from cryomamba.printable import json_text, printable, printable_lines, takes_unicode
from cryomamba_cli.verbosity import is_quiet, is_verbose

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

T = TypeVar("T")

_PIPE_WIDTH = 1000

errors_as_json: ContextVar[bool] = ContextVar("errors_as_json", default=False)
"""Whether the command was given ``--json``."""


def document(value: object) -> None:
    """Print one JSON document on stdout."""
    typer.echo(_json(value, indent=2))


def line(value: object) -> None:
    """Print one line of JSON on stdout, unbuffered."""
    typer.echo(_json(value))
    sys.stdout.flush()


def result(value: object, text: str, *, json: bool) -> None:
    """Print the result of a command on stdout: as a JSON document, or as a line of text."""
    document(value) if json else say(text)


def say(text: str) -> None:
    """Print a line on stdout: part of the result."""
    typer.echo(printable(text))


def note(text: str) -> None:
    """Print a line on stderr, not part of the result; with ``--quiet`` nothing."""
    if not is_quiet():
        typer.echo(printable(text), err=True)


def trace() -> None:
    """Print the traceback of the current exception on stderr with ``--verbose`` or ``CRYOMAMBA_LOG=debug``."""
    if is_verbose() or os.environ.get("CRYOMAMBA_LOG", "").lower().startswith("debug"):
        typer.echo(printable_lines(traceback.format_exc()), err=True, nl=False)


def print_error(error: CryoMambaError) -> None:
    """Print an error with its code and hint on stderr; as one line of JSON with ``--json``, with the fields of HTTP."""
    if errors_as_json.get():
        typer.echo(json_text(error.payload(), ascii_only=not takes_unicode(sys.stderr)), err=True)
        return
    lines = [f"error: {error.message} ({error.code})"]
    fields = error.details.get("fields")
    lines += [
        f"       {one.get('field')}: {one.get('problem')}" for one in (fields if isinstance(fields, list) else [])[1:]
    ]
    log = error.details.get("log")
    lines += [f"       {one}" for one in (log if isinstance(log, list) else [])]
    lines += [f"hint: {error.hint}"] if error.hint else []
    for text in lines:
        typer.echo(printable(text), err=True)


def console() -> Console:
    """Return a console on stdout that wraps lines on a terminal but not in a pipe."""
    from rich.console import Console

    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=_PIPE_WIDTH)


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; cells are printed as they are, without markup."""
    from rich.text import Text

    grid = _grid()
    for header in headers:
        grid.add_column(header, header_style="bold", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(printable(cell)) for cell in row))
    _print(grid)


def listing(
    found: Sequence[T], headers: Sequence[str], row: Callable[[T], Sequence[str]], *, json: bool, none: str
) -> None:
    """Print records as a table or as JSON; without any, a table has only the note `none`."""
    if json:
        document(found)
    elif not found:
        note(none)
    else:
        table(headers, [row(one) for one in found])


def facts(pairs: Iterable[tuple[str, str]]) -> None:
    """Print names with their values, one pair per line, values aligned."""
    from rich.text import Text

    grid = _grid(show_header=False)
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        grid.add_row(Text(printable(name)), Text(printable(value)))
    _print(grid)


def _print(grid: Table) -> None:
    shown = console()
    with shown.capture() as capture:
        shown.print(grid)
    for row in capture.get().splitlines():
        typer.echo(row.rstrip())


def _grid(*, show_header: bool = True) -> Table:
    from rich.table import Table

    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=show_header)


def _json(value: object, indent: int | None = None) -> str:
    return json_text(value, indent=indent, default=_plain, ascii_only=not takes_unicode(sys.stdout))


def _plain(value: object) -> object:
    dump: Callable[..., object] = getattr(value, "model_dump", lambda **_: str(value))
    return dump(mode="json")


def triple(values: Iterable[object], *, separator: str = " × ") -> str:
    """Format three sizes: ``4.2 × 4.2 × 4.2``."""
    return separator.join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in values)


def point(values: Iterable[object]) -> str:
    """Format three coordinates: ``0, 12.5, -3``."""
    return triple(values, separator=", ")


def quantity(value: float) -> str:
    """Format a measured number without an exponent: ``73,237``, ``55.9``, ``0.25``."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def nbytes(count: int) -> str:
    """Format a number of bytes with a decimal unit."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"


def seconds(value: float) -> str:
    """Format a duration: ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
