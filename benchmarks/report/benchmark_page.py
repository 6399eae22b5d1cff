"""The page of benchmarks, made from the results alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.report.figures import Figure
from benchmarks.report.plots import PLOTS, draw
from benchmarks.report.results import Result, Results

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
INTRODUCTION = """<!-- Made of benchmarks/results.json by `python -m benchmarks --page`; notes are written there. -->

# Benchmarks

Speed and memory, and the quality of picks. Figures are compared with a peer or a target *in the same run*, because
absolute times depend on the machine. A ratio (×) is the time divided by that of its yardstick. Where the machine had
other work, the load beside the date says so; it slows both sides of a ratio.

| Command | |
|---|---|
| `make bench` | Runs the benchmarks of the first part, in {minutes} minutes by estimate, and writes this page. |
| `make bench ARGS=NAME` | Runs one. |
| `make bench-quick` | In five minutes, with small sizes: compares the ratios with those in `benchmarks/results.json`. |

How well membranes are found is on the page [Accuracy](accuracy.md).
"""
SECOND_PART = """## Longer runs, by name

They are not part of `make bench`: each is run by its command and keeps its last result.
"""


def write(results: Results, titles: Mapping[str, str], programs: Mapping[str, float]) -> None:
    """Write the page and its plots: first the programs of the regular run, then the others."""
    figures = [one for result in results.values() for one in result.figures]
    plots = draw(figures)
    first = [name for name in programs if name in results]
    others = [name for name in sorted(results) if name not in programs and name in titles]
    minutes = max(1, round(sum(programs.values()) / 60))
    parts = [INTRODUCTION.format(minutes=minutes)]
    if "overview" in plots:
        with_target = [one for one in figures if one.met is not None]
        met = sum(bool(one.met) for one in with_target)
        text = f"{met} of {len(with_target)} figures meet their target"
        parts.append(f"{text}.\n\n{_picture('overview', 'Each figure as a share of its target')}\n")
    parts += [_section(titles[name], results[name], plots, level=2) for name in first]
    if others:
        parts += [SECOND_PART, *(_section(titles[name], results[name], plots, level=3) for name in others)]
    PAGE.write_text("\n".join(parts), encoding="utf-8")


def _section(title: str, result: Result, plots: list[str], *, level: int) -> str:
    where = [f"`{result.command}`", result.date, result.versions, result.machine]
    if result.load is not None:
        where.append(f"load {result.load:.1f} before")
    if result.seconds:
        where.append(f"{result.seconds:.0f} s")
    blocks = [f"{'#' * level} {title}", " · ".join(where)]
    if result.note:
        blocks.append(result.note)
    if result.figures:
        blocks.append("\n".join(_table(result.figures)))
    used = dict.fromkeys(one.plot for one in result.figures if one.plot in plots)
    blocks += [_picture(name, PLOTS[name].title) for name in used]
    if result.text:
        blocks.append(f"```text\n{result.text}\n```")
    return "\n\n".join(blocks) + "\n"


def _table(figures: list[Figure]) -> Iterator[str]:
    yield "| | measured | target | | compared with |"
    yield "|---|--:|--:|---|---|"
    verdicts = {None: "", True: "met", False: "**missed**"}
    for one in figures:
        cells = (one.name, one.shown, one.target_shown, verdicts[one.met], one.yardstick)
        yield f"| {' | '.join(cells)} |"


def _picture(name: str, text: str) -> str:
    path = f"images/benchmarks/{name}"
    return f"![{text}]({path}-light.svg#only-light)\n![{text}]({path}-dark.svg#only-dark)"
