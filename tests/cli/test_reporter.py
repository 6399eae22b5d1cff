"""Reporters show the events of a job."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime

import numpy as np
import pytest

from cryomamba.models.events import ConnectionEvent, Event, PreviewEvent, ProgressEvent, StateEvent
from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import JobEvent, JobRecord, JobState, Progress, VolumeSummary
from cryomamba_cli.reporter import BarReporter, JsonReporter, PlainReporter, Reporter, reporter

JOB = "3f2a9c1e-0000-4000-8000-000000000000"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def state(value: JobState) -> StateEvent:
    record = JobRecord(
        job_id=JOB,
        state=value,
        name="",
        engine="threshold",
        params={},
        volume=VolumeSummary(name="t.mrc", shape=(4, 4, 4), voxel_size_A=(10, 10, 10)),
        created_at=NOW,
        updated_at=NOW,
        attempt=2,
    )
    return StateEvent(JobEvent(n=1, type="job_started", job_id=JOB, state=value, attempt=2, at=NOW), record)


def progress(fraction: float, stage: str = "segmenting") -> ProgressEvent:
    done = round(fraction * 100)
    return ProgressEvent(
        JOB, 2, Progress(fraction=fraction, done_tiles=done, total_tiles=100, stage=stage, eta_s=125.0)
    )


def preview() -> PreviewEvent:
    mask = np.zeros((2, 2, 2), np.uint8)
    mask[0] = 1
    return PreviewEvent(PreviewFrame(JOB, mask, (2, 2, 2), (4, 4, 4), (10.0, 10.0, 10.0), 0.5, "threshold"), 3)


EVENTS: list[Event] = [
    ConnectionEvent("connected", "Connected."),
    state(JobState.RUNNING),
    progress(0.0),
    preview(),
    *(progress(step / 100) for step in range(1, 100)),
    ConnectionEvent("lost", "The server is away.", 1.0),
    ConnectionEvent("connected", "Connected again."),
    state(JobState.COMPLETED),
]


def show_all(shown: Reporter) -> None:
    for event in EVENTS:
        shown.event(event)
    shown.transfer("mask.mrc", 500, 1000)
    shown.transfer("mask.mrc", 1000, 1000)
    shown.close()


def test_plain_lines_are_few() -> None:
    """In a pipe: states, about twenty lines of progress, lost and restored connections, no control characters."""
    stream = io.StringIO()
    shown = reporter(json=False, stream=stream)
    assert isinstance(shown, PlainReporter)
    show_all(shown)
    lines = stream.getvalue().splitlines()
    assert lines[0] == f"job {JOB}: running (threshold, attempt 2)"
    assert lines[1] == "  0% segmenting, 0 of 100 tiles, 0 previews, 2 min 5 s left"
    assert sum("segmenting" in line for line in lines) == 20
    assert lines[-4:] == [
        "The server is away.",
        "Connected again.",
        f"job {JOB}: completed (threshold, attempt 2)",
        "mask.mrc: 1 kB",
    ]
    assert "Connected." not in lines
    assert "\x1b" not in stream.getvalue()


def test_a_terminal_gets_a_bar() -> None:
    """A terminal shows a bar, and a line when the job has ended."""
    stream = Terminal()
    shown = reporter(json=False, stream=stream)
    assert isinstance(shown, BarReporter)
    show_all(shown)
    assert "completed" in stream.getvalue()
    assert "100%" in stream.getvalue()


def test_scripts_get_a_json_object_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Every event is one line with type, job and data; a preview is without its voxels."""
    shown = reporter(json=True, stream=Terminal())
    assert isinstance(shown, JsonReporter)
    show_all(shown)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == len(EVENTS)
    assert [line["type"] for line in lines[:4]] == ["link", "job_started", "progress", "preview"]
    assert lines[1]["data"]["engine"] == "threshold"
    assert lines[3]["data"]["labelled_voxels"] == 4
    assert lines[3]["data"]["skipped"] == 3
