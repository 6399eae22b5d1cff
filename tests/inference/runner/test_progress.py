"""The progress of a job over its stages."""

from __future__ import annotations

import pytest

from cryomamba.models.jobs import Progress
from cryomamba_inference.runner.progress import ProgressMeter, Stage


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
