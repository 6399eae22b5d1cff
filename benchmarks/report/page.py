"""Writes the tables and pictures of `accuracy` into its page of the documentation."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.report.measured import Measured

from cryomamba import __version__

DOCS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r"(<!-- measured: accuracy -->\n).*?(<!-- end -->)", re.DOTALL)
_SHOWN = 4


def write(text: str, rows: Sequence[Measured], pictures: Sequence[Path], *, arguments: Sequence[str]) -> None:
    """Replace the measured part of the page, and the pictures: those of the families with the worst volumes."""
    page = DOCS / "accuracy.md"
    for old in (DOCS / "images").glob("accuracy-*.png"):
        old.unlink()
    parts = [_where(arguments), f"```text\n{text}\n```", *_pictures(rows, pictures)]
    body = "\n\n".join(["", *parts, ""]).lstrip("\n")
    page.write_text(_BLOCK.sub(lambda m: f"{m[1]}\n{body}\n{m[2]}", page.read_text(encoding="utf-8")), encoding="utf-8")


def _where(arguments: Sequence[str]) -> str:
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    command = " ".join(["python -m benchmarks.accuracy", *arguments])
    return f"`{command}` · {datetime.now(UTC):%Y-%m-%d} · version {__version__} · {machine}"


def _pictures(rows: Sequence[Measured], pictures: Sequence[Path]) -> list[str]:
    there = {path.stem.removeprefix("accuracy-"): path for path in pictures}
    worst: dict[str, Measured] = {}
    for row in sorted(rows, key=lambda row: -row.badness):
        if row.membranes and not row.inverted and row.family in there:
            worst.setdefault(row.family, row)
    parts = []
    for family, row in list(worst.items())[:_SHOWN]:
        shutil.copyfile(there[family], DOCS / "images" / there[family].name)
        picture = f"![Sections of the worst volume of '{family}'](images/{there[family].name})"
        parts.append(f"{picture}\n\n*{row.name}: F1 {row.f1:.3f}.*")
    return parts
