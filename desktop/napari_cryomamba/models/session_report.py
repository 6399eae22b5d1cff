"""The report of a session as one HTML page, which needs no other file. Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape

from cryomamba.geometry import Shape, Spacing
from cryomamba.printable import printable

Row = tuple[str, str]
_NM3_PER_A3 = 1e-3

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1f2328; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; border-top: 1px solid #d0d7de; padding-top: 1rem; }
h3 { font-size: 1rem; margin-bottom: .3rem; }
table { border-collapse: collapse; margin: .5rem 0; }
th, td { text-align: left; padding: .15rem 1rem .15rem 0; vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
th { font-weight: 600; } .rows th { color: #57606a; font-weight: normal; white-space: nowrap; }
figure { margin: .5rem 0; } img { width: min(100%, 30rem); image-rendering: pixelated; } figcaption { color: #57606a; }
.warning { color: #9a6700; } .error { color: #cf222e; } .swatch { display: inline-block; width: .8em; height: .8em; }
@media print { h2 { break-before: auto; } figure, table { break-inside: avoid; } }
"""


@dataclass(frozen=True, slots=True)
class LabelVolume:
    """How much of a tomogram a label of a mask has.

    Attributes
    ----------
    color : str
        ``#rrggbb``, that of the picture.
    """

    label: int
    name: str
    color: str
    voxels: int


@dataclass(frozen=True, slots=True)
class Picture:
    """A section with the mask over it.

    Attributes
    ----------
    png : bytes
    section : int
        Counted from 1, along z.
    """

    png: bytes
    section: int


@dataclass(frozen=True, slots=True)
class JobReport:
    """What the report has of a job.

    Attributes
    ----------
    rows : sequence of (str, str)
        Label and text each: engine, parameters, when it ran, what was determined from the tomogram.
    labels : sequence of LabelVolume
        Of the mask as it is shown, corrections included; empty if it is not.
    picks : int or None
        How many are shown, None if the job has none.
    """

    title: str
    state: str
    rows: Sequence[Row]
    warnings: Sequence[str] = ()
    error: str = ""
    labels: Sequence[LabelVolume] = ()
    picks: int | None = None
    picture: Picture | None = None


@dataclass(frozen=True, slots=True)
class TomogramReport:
    """A tomogram with its jobs.

    Attributes
    ----------
    voxel_size_A : tuple of float
        z, y, x.
    where : str
        Its path or address, empty if that is unknown.
    """

    name: str
    shape: Shape
    voxel_size_A: Spacing
    where: str = ""
    jobs: list[JobReport] = field(default_factory=list)


def session_report(title: str, environment: Sequence[Row], tomograms: Iterable[TomogramReport]) -> str:
    """Return the page."""
    body = [f"<h1>{_text(title)}</h1>", _rows(environment)]
    for tomogram in tomograms:
        body += _tomogram(tomogram)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{chr(10).join(body)}\n</body>\n</html>\n"
    )


def _tomogram(tomogram: TomogramReport) -> Iterator[str]:
    z, y, x = tomogram.shape
    size = tomogram.voxel_size_A
    same = max(size) - min(size) < 1e-3 * max(size)
    voxel = f"{size[0]:.3f} Å" if same else " × ".join(f"{each:.3f}" for each in size) + " Å (z, y, x)"
    where = [("File", tomogram.where)] if tomogram.where else []
    yield f"<h2>{_text(tomogram.name)}</h2>"
    yield _rows([("Size", f"{z} × {y} × {x} voxels (z, y, x)"), ("Voxel size", voxel), *where])
    for job in tomogram.jobs:
        yield from _job(job, tomogram.voxel_size_A)


def _job(job: JobReport, voxel_size_A: Spacing) -> Iterator[str]:
    yield f"<h3>{_text(job.title)}: {_text(job.state)}</h3>"
    picks = [] if job.picks is None else [("Picks", f"{job.picks:,} shown")]
    yield _rows([*job.rows, *picks])
    yield from (f'<p class="warning">⚠ {_text(text)}</p>' for text in job.warnings)
    if job.error:
        yield f'<p class="error">{_text(job.error)}</p>'
    if job.labels:
        yield _labels(job.labels, voxel_size_A)
    if job.picture is not None:
        source = base64.b64encode(job.picture.png).decode("ascii")
        caption = f"Section {job.picture.section} along z, with the mask."
        yield (
            f'<figure><img src="data:image/png;base64,{source}" alt="{_text(caption)}">'
            f"<figcaption>{_text(caption)}</figcaption></figure>"
        )


def _labels(labels: Sequence[LabelVolume], voxel_size_A: Spacing) -> str:
    z, y, x = voxel_size_A
    voxel_nm3 = z * y * x * _NM3_PER_A3
    rows = "".join(
        f'<tr><td><span class="swatch" style="background: {escape(each.color)}"></span> {_text(each.name)}</td>'
        f'<td class="number">{each.label}</td><td class="number">{each.voxels:,}</td>'
        f'<td class="number">{each.voxels * voxel_nm3:,.0f}</td></tr>'
        for each in labels
    )
    head = '<tr><th>Label</th><th class="number">Number</th><th class="number">Voxels</th>'
    return f'<table>{head}<th class="number">Volume (nm³)</th></tr>{rows}</table>'


def _rows(rows: Iterable[Row]) -> str:
    cells = "".join(f"<tr><th>{_text(label)}</th><td>{_text(text)}</td></tr>" for label, text in rows)
    return f'<table class="rows">{cells}</table>' if cells else ""


def _text(text: str) -> str:
    return escape(printable(text))
