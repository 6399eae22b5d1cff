"""The page of a session: a card for each tomogram. Pure: rows and pictures in, HTML out.

The page is one file that asks nothing of any server: pictures are part of it, and its policy forbids all else. Without
JavaScript it shows everything: what runs, then what has ended last, and at the end what waits.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from importlib import resources
from typing import Final

from cryomamba.printable import printable
from cryomamba_cli import output
from cryomamba_cli.batch.rows import Row
from cryomamba_cli.batch.session import State

_SORTS: Final = {
    "activity": "running, then last ended",
    "number": "newest first",
    "name": "name",
    "state": "state",
    "warnings": "most warnings first",
    "volume": "largest mask volume first",
    "components": "most components first",
    "seconds": "longest run first",
}


def report_html(
    rows: Sequence[Row],
    *,
    title: str,
    now: datetime,
    pictures: Mapping[int, str],
    movies: Mapping[int, str],
    refresh_s: float | None,
) -> str:
    """Return the page.

    Parameters
    ----------
    rows : sequence of Row
    title : str
    now : datetime
        When the rows were as they are.
    pictures : mapping of int to str
        By the number of a tomogram, its picture as a ``data:`` URL.
    movies : mapping of int to str
        By the same, the path of its movie relative to the page, percent-encoded.
    refresh_s : float or None
        How often the page loads itself again; None if the session has ended.
    """
    style, script = _source("report.css"), _source("report.js")
    policy = f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'"
    ordered = sorted(rows, key=_activity, reverse=True)
    cards = "".join(
        _card(row, len(rows) - place, pictures.get(row.number), movies.get(row.number))
        for place, row in enumerate(ordered)
    )
    again = "" if refresh_s is None else f'<noscript><meta http-equiv="refresh" content="{refresh_s:.0f}"></noscript>'
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{_text(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}; form-action \'none\'">'
        f'<meta name="viewport" content="width=device-width">{again}<style>{style}</style></head>'
        f'<body data-refresh="{0 if refresh_s is None else refresh_s:.0f}"><h1>{_text(title)}</h1>'
        f'<p class="about">{_about(rows, now, refresh_s, len(pictures))}</p>{_form(rows) if rows else ""}'
        f"<main>{cards}</main><script>{script}</script></body></html>\n"
    )


def _activity(row: Row) -> tuple[int, float]:
    """Return a key that is greatest for what runs, then for what has ended last; what waits comes at the end."""
    if row.record is not None:
        return 1, row.record.ended_at.timestamp()
    return (2 if row.state is State.RUNNING else 1 if row.state.final else 0), -float(row.number)


def _source(name: str) -> str:
    return (resources.files("cryomamba_cli.batch") / "page" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _text(value: object) -> str:
    return escape(printable(str(value)))


def _about(rows: Sequence[Row], now: datetime, refresh_s: float | None, pictured: int) -> str:
    counts = Counter(row.state for row in rows)
    none = "no tomograms" if refresh_s is None else "no tomograms yet"
    states = ", ".join(f"{counts[state]} {state}" for state in State if counts[state]) or none
    when = now.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    ended = "the session has ended" if refresh_s is None else "this page refreshes itself"
    with_mask = sum(row.has_mask for row in rows)
    older = f" Pictures of the newest {pictured} masks are shown." if 0 < pictured < with_mask else ""
    return f"{_text(states)} · as of {when}, {ended}.{older}"


def _form(rows: Sequence[Row]) -> str:
    states = dict.fromkeys(state for state in State if any(row.state is state for row in rows))
    sorts = "".join(f'<option value="{key}">{text}</option>' for key, text in _SORTS.items())
    filters = "".join(f'<option value="{state}">{state}</option>' for state in states)
    return (
        f'<form><label>Sort by <select name="sort">{sorts}</select></label>'
        f'<label>State <select name="state"><option value="">all</option>{filters}</select></label>'
        '<label>Name <input type="search" name="text" placeholder="part of the name"></label><output></output></form>'
    )


def _card(row: Row, activity: int, picture: str | None, movie: str | None) -> str:
    image = "" if picture is None else f'<img src="{picture}" alt="Sections of {_text(row.tomogram)} with the mask">'
    if movie is not None:
        image = f'<a href="{escape(movie)}" title="Open the movie through z">{image or "Movie"}</a>'
    shown = f'<div class="picture">{image}</div>' if image else ""
    details = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in _facts(row))
    bar = f'<progress max="1" value="{row.fraction:.3f}"></progress>' if row.state is State.RUNNING else ""
    ended = None if row.record is None else row.record.ended_at.astimezone()
    when = "" if ended is None else f'<span class="when">{ended:%Y-%m-%d %H:%M}</span>'
    return (
        f"<article {_sort_keys(row, activity)}>{shown}"
        f'<div class="text"><h2>{_text(row.tomogram)}</h2><span class="state {row.state}">{row.state}</span>'
        f'<span class="engine">{_text(row.engine)}</span>{when}{bar}<dl>{details}</dl>{_messages(row)}</div></article>'
    )


def _sort_keys(row: Row, activity: int) -> str:
    record = row.record
    keys: dict[str, object] = {
        "activity": activity,
        "number": row.number,
        "name": row.tomogram,
        "state": row.state,
        "warnings": len(row.warnings) + bool(row.error),
        "volume": sum(label["volume_nm3"] for label in row.labels) if row.labels else "",
        "components": sum(label.get("instances", 0) for label in row.labels) if row.labels else "",
        "seconds": row.seconds if record is not None else "",
    }
    return " ".join(f'data-{name}="{_text(value)}"' for name, value in keys.items())


def _facts(row: Row) -> Iterator[tuple[str, str]]:
    record = row.record
    if row.state is State.RUNNING and row.stage:
        yield "step", row.stage
    if record is None or record.state != "done":
        return
    if record.picks is not None:
        yield record.picks["kind"], f"{record.picks['objects']:,}"
    for label in row.labels:
        yield label["name"], f"{output.quantity(label['volume_nm3'])} nm³ ({label['fraction']:.2%})"
        if "instances" in label:
            yield "components", f"{label['instances']:,}"
    if record.shape is not None and record.voxel_size_A is not None:
        yield "voxels", output.triple(record.shape)
        yield "voxel size", f"{output.triple(sorted(set(record.voxel_size_A)))} Å"
    yield "run time", output.seconds(record.seconds)


def _messages(row: Row) -> str:
    lines = [f'<li class="error">{_text(row.error)}</li>'] if row.error else []
    lines += [f"<li>{_text(one['message'])} {_text(one.get('hint', ''))}</li>" for one in row.warnings]
    if row.record is not None and row.record.notification not in {"", "pending", "sent"}:
        lines.append(f"<li>{_text(row.record.notification)}</li>")
    return f"<ul>{''.join(lines)}</ul>" if lines else ""
