"""Results of benchmarks: their file, the comparison with a new run, the page."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from benchmarks.report import benchmark_page, plots, results
from benchmarks.report.figures import Figure, exponent, number
from benchmarks.report.results import Result

from benchmarks import __main__ as program


@pytest.fixture
def result() -> Result:
    points = [
        Figure(f"measure {n}", n**2.0, "s", plot="volumes", series="measure", x=float(n)) for n in (10, 100, 1000)
    ]
    ratios = [
        Figure("statistics", 2.5, "×", 1.7, "memmap.sum()"),
        Figure("opening", 0.2, "ms", 5),
        Figure("faster than JSON", 9.0, "×", 7, "JSON", at_least=True),
    ]
    return Result("make bench ARGS=volumes", "2026-12-01", "CryoMamba 1", "2 cores", 1.5, 12.0, [*points, *ratios])


def test_results_are_read_as_they_were_written(result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the whole run and those with small sizes lie in one file."""
    monkeypatch.setattr(results, "PATH", tmp_path / "results.json")
    results.write("full", {"volumes": result})
    results.write("quick", {})
    assert results.read("full") == {"volumes": result}
    assert results.read("quick") == {}


def test_only_ratios_are_compared() -> None:
    """A ratio is worse if it has become larger by more than the tolerance, or smaller where more is better."""
    before = [Figure("a", 1, "×", None, "x"), Figure("b", 8, "×", 7, "x", at_least=True), Figure("c", 1, "s")]
    now = [Figure("a", 1.2, "×", None, "x"), Figure("b", 4, "×", 7, "x", at_least=True), Figure("c", 9, "s")]
    assert [(one.name, one.verdict) for one in results.compare(before, now)] == [("a", "same"), ("b", "worse")]
    assert [one.verdict for one in results.compare(now, before)] == ["same", "better"]


def test_the_exponent_is_that_of_a_power(result: Result) -> None:
    """Of figures that grow with the square."""
    assert exponent(result.figures[:3]) == pytest.approx(2)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (0.01234, "0.0123"), (1.5, "1.5"), (123.4, "123"), (1234.5, "1234"), (2.0, "2")]
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    """And no exponent."""
    assert number(value) == text


def test_the_page_has_every_figure_and_its_plots(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plots are SVG for both backgrounds, the same for the same results, and have their texts as text."""
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(plots, "FOLDER", tmp_path / "images")
    monkeypatch.setattr(benchmark_page, "PAGE", tmp_path / "benchmarks.md")
    benchmark_page.write({"volumes": result}, {"volumes": "Volumes"}, {"volumes": 100})
    page = (tmp_path / "benchmarks.md").read_text("utf-8")
    for figure in result.figures:
        assert f"| {figure.name} | {figure.shown} |" in page
    assert "2 of 3 figures meet their target" in page
    drawn = {path.name: path.read_bytes() for path in (tmp_path / "images").iterdir()}
    assert set(drawn) == {f"{name}-{on}.svg" for name in ("overview", "volumes") for on in ("light", "dark")}
    assert "exponent 2.00" in "".join(ET.fromstring(drawn["volumes-light.svg"]).itertext())
    benchmark_page.write({"volumes": result}, {"volumes": "Volumes"}, {"volumes": 100})
    assert {path.name: path.read_bytes() for path in (tmp_path / "images").iterdir()} == drawn


def test_the_regular_run_and_the_quick_one_fit_their_time() -> None:
    """Each program of them exists and yields figures; the committed results are of programs that there are."""
    assert sum(program.REGULAR.values()) < 30 * 60
    assert set(program.QUICK) <= set(program.REGULAR)
    assert all(program.yields_figures(name) for name in program.QUICK)
    for kind in ("full", "quick"):
        assert set(results.read(kind)) <= set(program.names())


def test_the_page_is_that_of_the_committed_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever changes the page by hand would lose it: notes are written in ``benchmarks/results.json``."""
    pytest.importorskip("matplotlib")
    committed = benchmark_page.PAGE.read_text("utf-8")
    monkeypatch.setattr(plots, "FOLDER", tmp_path / "images")
    monkeypatch.setattr(benchmark_page, "PAGE", tmp_path / "benchmarks.md")
    program.write_page()
    assert (tmp_path / "benchmarks.md").read_text("utf-8") == committed
