"""Results of benchmarks in a file: what the page and its plots are made of, and what a new run is compared with."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.report.figures import Figure, number

PATH = Path(__file__).parents[1] / "results.json"
TOLERANCE = 1.3
"""A ratio that is larger by this factor is worse. On two cores that others use, medians of one run repeat within it."""


@dataclass(slots=True)
class Result:
    """What one benchmark gave.

    Attributes
    ----------
    command, date, versions, machine : str
    load : float or None
        Of the machine before.
    seconds : float
        How long it took; 0 if unknown.
    figures : list of Figure
    text : str
        What it printed, if it has no figures.
    note : str
        Markdown, written by hand; a new result keeps it.
    """

    command: str
    date: str
    versions: str
    machine: str
    load: float | None = None
    seconds: float = 0.0
    figures: list[Figure] = field(default_factory=list)
    text: str = ""
    note: str = ""


Results = dict[str, Result]


def read(kind: str) -> Results:
    """Return the committed results: ``full``, or ``quick`` with its small sizes."""
    if not PATH.exists():
        return {}
    return {name: _result(one) for name, one in json.loads(PATH.read_text(encoding="utf-8")).get(kind, {}).items()}


def write(kind: str, results: Results) -> None:
    """Replace the results of a kind."""
    stored = json.loads(PATH.read_text(encoding="utf-8")) if PATH.exists() else {}
    stored[kind] = {name: _plain(results[name]) for name in sorted(results)}
    PATH.write_text(json.dumps(stored, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


def _result(stored: Mapping[str, Any]) -> Result:
    return Result(**{**stored, "figures": [Figure(**one) for one in stored.get("figures", ())]})


def _plain(result: Result) -> dict[str, Any]:
    """Return a result without what has its default, so that the file is short."""
    plain = _without_defaults(result)
    if result.figures:
        plain["figures"] = [_without_defaults(one) for one in result.figures]
    return plain


def _without_defaults(record: Result | Figure) -> dict[str, Any]:
    kept = {}
    for each in dataclasses.fields(record):
        value = getattr(record, each.name)
        default = [] if each.default_factory is list else each.default
        if value != default:
            kept[each.name] = round(value, 6) if isinstance(value, float) else value
    return kept


@dataclass(frozen=True, slots=True)
class Change:
    """How a ratio compares with the committed one; ``factor`` above 1 is worse."""

    name: str
    before: float
    now: float
    factor: float

    @property
    def verdict(self) -> str:
        return "worse" if self.factor > TOLERANCE else "better" if self.factor < 1 / TOLERANCE else "same"

    def __str__(self) -> str:
        return f"{self.name:<66}{number(self.before):>9}{number(self.now):>9}  {self.verdict}"


def compare(before: Sequence[Figure], now: Sequence[Figure]) -> Iterator[Change]:
    """Compare the figures that have a yardstick, and counts; times of another machine or hour say nothing."""
    known = {one.name: one for one in before}
    for one in now:
        old = known.get(one.name)
        if old is None or not one.yardstick or min(old.value, one.value) <= 0:
            continue
        factor = old.value / one.value if one.at_least else one.value / old.value
        yield Change(one.name, old.value, one.value, factor)
