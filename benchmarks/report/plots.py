"""The plots of the page, as SVG for light and for dark background."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.report.figures import Figure, exponent, number

FOLDER = Path(__file__).parents[2] / "docs" / "images" / "benchmarks"
# Colours that people with a colour vision deficiency tell apart (Okabe and Ito), readable on both backgrounds.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = "osD^vP"
BACKGROUNDS = {"light": "#333333", "dark": "#d8d8d8"}


@dataclass(frozen=True, slots=True)
class Plot:
    """What a plot shows.

    Attributes
    ----------
    title, x, y : str
    logarithmic : bool
        Both axes; lines are then named with their exponent.
    """

    title: str
    x: str
    y: str
    logarithmic: bool = True
    exponents: bool = True


PLOTS: Mapping[str, Plot] = {
    "preview": Plot("A preview of 128³ against plain TCP", "bytes", "ratio of the medians", exponents=False),
    "fan-out": Plot("Processor time against a bare broadcaster", "viewers", "ratio", exponents=False),
    "status": Plot("Answers against the jobs that are stored", "jobs stored", "ms"),
    "volumes": Plot("Operations on a volume", "million voxels", "seconds"),
    "engines": Plot("A whole job, by engine", "million voxels", "seconds"),
}


def draw(figures: Sequence[Figure]) -> list[str]:
    """Write all plots for which there are figures, and return their names; 'overview' is the first."""
    # Its types are not known where it is not installed.
    mpl: Any = import_module("matplotlib")
    mpl.use("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "cryomamba", "font.size": 9})
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("*.svg"):
        old.unlink()
    names = []
    for name in ("overview", *PLOTS):
        of = [one for one in figures if (one.of_target if name == "overview" else one.plot == name)]
        if len(of) < 2:
            continue
        for background, ink in BACKGROUNDS.items():
            _save(name, background, ink, of)
        names.append(name)
    return names


def _save(name: str, background: str, ink: str, figures: Sequence[Figure]) -> None:
    plt: Any = import_module("matplotlib.pyplot")
    colours = dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), ink)
    with plt.rc_context(colours):
        height = 0.8 + 0.17 * len(figures) if name == "overview" else 3.0
        figure, axes = plt.subplots(figsize=(7.0 if name == "overview" else 5.6, height), layout="constrained")
        axes.spines[["top", "right"]].set_visible(False)
        if name == "overview":
            _overview(axes, figures, ink)
        else:
            _lines(axes, PLOTS[name], figures, ink)
        figure.savefig(FOLDER / f"{name}-{background}.svg", transparent=True, metadata={"Date": None})
        plt.close(figure)


def _overview(axes: Any, figures: Sequence[Figure], ink: str) -> None:  # noqa: ANN401
    """Draw each figure as a share of its target; left of the line it is met."""
    shown = sorted(figures, key=lambda one: one.of_target or 0)
    shares = [one.of_target or 0.0 for one in shown]
    colours = [COLOURS[0] if share <= 1 else COLOURS[1] for share in shares]
    places = range(len(shown))
    axes.hlines(places, [min(share, 1) for share in shares], [max(share, 1) for share in shares], colours, lw=1.2)
    axes.scatter(shares, places, c=colours, s=16, zorder=3)
    axes.axvline(1, color=ink, lw=1)
    axes.set_xscale("log")
    axes.set_yticks(places, [one.name for one in shown], fontsize=7)
    axes.set_ylim(-0.7, len(shown) - 0.3)
    axes.set_xlabel("share of the target: left of the line it is met")
    axes.xaxis.set_major_formatter(_plain)
    axes.xaxis.set_minor_formatter("")


def _lines(axes: Any, plot: Plot, figures: Sequence[Figure], ink: str) -> None:  # noqa: ANN401
    for index, (series, points) in enumerate(_by_series(figures).items()):
        label = series
        if plot.exponents and len(points) > 2:
            label += f", exponent {exponent(points):.2f}"
        colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
        axes.plot([one.x for one in points], [one.value for one in points], marker=marker, ms=4, c=colour, label=label)
        targets = [(one.x, one.target) for one in points if one.target is not None]
        if targets:
            axes.plot(*zip(*targets, strict=True), ls="none", marker="_", ms=12, c=colour)
    if any(one.target is not None for one in figures):
        axes.plot([], [], ls="none", marker="_", ms=12, c=ink, label="target")
    if plot.logarithmic:
        ticker: Any = import_module("matplotlib.ticker")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(_plain)
        axes.yaxis.set_major_formatter(_plain)
        axes.yaxis.set_minor_formatter("")
        axes.xaxis.set_minor_formatter("")
    axes.set_xlabel(plot.x)
    axes.set_ylabel(plot.y)
    axes.set_title(plot.title, fontsize=10)
    axes.grid(color=ink, alpha=0.15)
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _by_series(figures: Iterable[Figure]) -> dict[str, list[Figure]]:
    lines: dict[str, list[Figure]] = {}
    for one in sorted(figures, key=lambda one: one.x or 0):
        lines.setdefault(one.series, []).append(one)
    return lines


def _plain(value: float, _position: int = 0) -> str:
    return f"{value:,.0f}" if value >= 1000 else number(value)
