"""The progress of a job over its stages."""

from __future__ import annotations

import itertools
import threading

import pytest

from cryomamba.engines.api import ReportProgress
from cryomamba.models.jobs import Progress
from cryomamba.testing import DEADLINE_S
from cryomamba_inference.runner.progress import ProgressMeter, Stage
from cryomamba_inference.runner.reported import run_reported


def test_a_stage_that_is_shorter_than_expected_counts_less() -> None:
    """With a tenth of the tiles, the stage is a tenth of its time; the fraction never decreases."""
    reports: list[Progress] = []
    seconds = iter(range(100))
    stages = [Stage("reading", 10), Stage("tiles", 60), Stage("writing", 4)]
    meter = ProgressMeter(stages, clock=lambda: next(seconds), on_progress=reports.append)
    meter.enter("reading")
    meter.update(0.5)
    meter.scale("tiles", 0.1)
    meter.update(1.0)
    assert meter.fraction == 0.5
    meter.enter("tiles")
    meter.update(1.0)
    assert meter.fraction == pytest.approx(0.8)
    fractions = [report.fraction for report in reports]
    assert fractions == sorted(fractions)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_progress_goes_on_between_two_reports_but_not_past_the_next() -> None:
    """While a tile is computed the fraction rises each second; a tile that takes thrice as long does not finish it."""
    reports: list[Progress] = []
    clock = Clock()
    meter = ProgressMeter([Stage("tiles", 40), Stage("writing", 10)], clock=clock, on_progress=reports.append)
    meter.enter("tiles", steps=4)
    for _ in range(10):
        clock.now += 1
        meter.tick()
    meter.update(0.25, tiles=1)
    seen = [reports[-1].fraction]
    for _ in range(30):
        clock.now += 1
        meter.tick()
        seen.append(reports[-1].fraction)
    assert all(after > before for before, after in itertools.pairwise(seen))
    assert seen[0] == pytest.approx(0.2)
    assert seen[10] == pytest.approx(0.36)
    assert 0.36 < seen[-1] < 0.4


def test_work_that_hangs_is_seen_to_hang() -> None:
    """Without a report the fraction stands after thrice the expected time, and the time left becomes unknown."""
    reports: list[Progress] = []
    clock = Clock()
    meter = ProgressMeter([Stage("tiles", 40), Stage("writing", 10)], clock=clock, on_progress=reports.append)
    meter.enter("tiles", steps=4)
    clock.now += 10
    meter.update(0.25, tiles=1)

    def wait(seconds: int) -> Progress:
        for _ in range(seconds):
            clock.now += 1
            meter.tick()
        return reports[-1]

    late = wait(30)
    assert late.eta_s is not None
    hangs = wait(60)
    assert (hangs.fraction, hangs.eta_s) == (late.fraction, None)
    meter.update(0.5, tiles=1)
    assert reports[-1].fraction == pytest.approx(0.4)
    assert reports[-1].eta_s == pytest.approx(150)


def test_of_a_stage_with_an_unknown_number_of_reports_at_most_a_tenth_is_assumed() -> None:
    """After a report about half of the stage, another half is not expected of the next."""
    reports: list[Progress] = []
    clock = Clock()
    meter = ProgressMeter([Stage("preparing", 100)], clock=clock, on_progress=reports.append)
    meter.enter("preparing")
    for fraction in (0.1, 0.5):
        clock.now += 10
        meter.update(fraction)
    clock.now += 1000
    meter.tick()
    assert 0.5 < reports[-1].fraction < 0.6


def test_the_time_left_counts_down() -> None:
    """A tile that takes long does not make the time left rise: it falls with the clock, and stays near."""
    reports: list[Progress] = []
    clock = Clock()
    meter = ProgressMeter([Stage("tiles", 100)], clock=clock, on_progress=reports.append)
    meter.enter("tiles", steps=100)
    for tile in range(60):
        clock.now += 4 if tile == 30 else 1
        meter.update((tile + 1) / 100, tiles=1)
    left = [report.eta_s for report in reports if report.eta_s is not None]
    assert all(after < before for before, after in itertools.pairwise(left))
    assert left[-1] <= 40 * 63 / 60 <= 1.25 * left[-1] + 5


def test_the_time_left_rises_at_once_and_seldom() -> None:
    """If work becomes three times as slow, the time left falls every second but for few that set it right."""
    reports: list[Progress] = []
    clock = Clock()
    meter = ProgressMeter([Stage("tiles", 100), Stage("writing", 20)], clock=clock, on_progress=reports.append)
    meter.enter("tiles", steps=100)
    shown: list[float] = []
    for tile in range(100):
        for _ in range(1 if tile < 20 else 3):
            clock.now += 1
            meter.tick()
            shown += [] if reports[-1].eta_s is None else [reports[-1].eta_s]
        meter.update((tile + 1) / 100, tiles=1)
    rises = [at for at, (before, after) in enumerate(itertools.pairwise(shown)) if after >= before]
    assert 1 <= len(rises) <= 8
    assert all(later - earlier > 5 for earlier, later in itertools.pairwise(rises))
    assert reports[-1].eta_s == pytest.approx(20 * 2.6, rel=0.25, abs=5)


def test_what_is_done_is_named_with_the_stage() -> None:
    """The stage says in a word or two what the work is at."""
    reports: list[Progress] = []
    meter = ProgressMeter([Stage("preparing", 1)], clock=Clock(), on_progress=reports.append)
    meter.enter("preparing")
    meter.update(0.5, doing="filtering")
    assert [report.stage for report in reports] == ["preparing", "preparing: filtering"]


def test_work_in_a_thread_is_reported_while_it_says_nothing() -> None:
    """The caller goes on reporting, and its error ends the work at the work's next report."""
    reported = threading.Semaphore(0)
    seen: list[tuple[float, str]] = []

    def update(fraction: float, doing: str) -> None:
        seen.append((fraction, doing))
        reported.release()

    def work(report: ReportProgress) -> str:
        report(0.5, "thinking")
        for _ in range(3):
            assert reported.acquire(timeout=DEADLINE_S)
        return "done"

    assert run_reported(work, update) == "done"
    assert seen.count((0.5, "thinking")) >= 3

    def stop(_fraction: float, _doing: str) -> None:
        raise InterruptedError

    def endless(report: ReportProgress) -> None:
        while True:
            report(0.5)

    with pytest.raises(InterruptedError):
        run_reported(endless, stop)


def test_the_time_left_of_a_short_job_is_right_after_a_slow_start() -> None:
    """A first step that is slow makes the estimate too long; the next ones correct it, not seconds later."""
    reports: list[Progress] = []
    clock = Clock()
    meter = ProgressMeter([Stage("preparing", 1), Stage("tiles", 1)], clock=clock, on_progress=reports.append)
    meter.enter("preparing")
    clock.now += 1.0
    meter.update(0.1)
    assert reports[-1].eta_s == pytest.approx(10, rel=0.6)
    for step in range(2, 11):
        clock.now += 0.1
        meter.update(step / 10)
    meter.enter("tiles")
    clock.now += 1.0
    meter.update(0.5)
    assert reports[-1].eta_s == pytest.approx(1.0, abs=0.5)
