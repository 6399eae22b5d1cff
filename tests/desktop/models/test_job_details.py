"""What a job says about itself, in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryomamba.engines.info import EngineInfo
from cryomamba.models.jobs import JobState
from napari_cryomamba.models.job_details import as_lines, changed_parameters, decided_rows, short_parameters, took_s

if TYPE_CHECKING:
    from tests.desktop.conftest import RecordMaker

ENGINE = EngineInfo(
    name="particles",
    summary="",
    parameters={
        "properties": {
            "diameter_A": {"type": "number", "title": "Diameter", "default": 120.0, "unit": "Å"},
            "high": {"type": "integer", "title": "Threshold"},
            "points": {"type": "boolean", "title": "Write points", "default": False},
        }
    },
)


def test_parameters_are_named_as_in_the_form(make_record: RecordMaker) -> None:
    """What differs from the defaults is listed with title and unit; an unknown engine's parameters by their names."""
    record = make_record(params={"diameter_A": 250.0, "points": True, "high": 140})
    assert changed_parameters(record, ENGINE) == ["diameter 250 Å", "write points", "threshold 140"]
    assert changed_parameters(make_record(params={"diameter_A": 120.0}), ENGINE) == []
    assert changed_parameters(make_record(params={"diameter_A": 120.0}), None) == ["diameter A 120"]
    many = make_record(params=dict.fromkeys("abcd", 1))
    assert short_parameters(many, None) == "a 1, b 1, c 1, …"


def test_what_was_decided_is_said_in_words_with_units(make_record: RecordMaker) -> None:
    """Contrast with its margin, thresholds, tilt range and noise; nothing else than what the job found."""
    found = {
        "contrast": "dark",
        "contrast_margin": 0.816,
        "noise": 0.72,
        "tilt_range_deg": 60.2,
        "threshold": 128,
        "lower_threshold": 87,
    }
    contrast = "dark, structures darker than their surroundings"
    assert as_lines(decided_rows(make_record(state=JobState.COMPLETED, estimates=found))).splitlines() == [
        f"Contrast: {contrast}; determined from the tomogram, margin 0.82 (0 undecided, 1 certain)",
        "Noise: 72% of the density's standard deviation",
        "Tilt range: ±60° (estimated from the missing wedge)",
        "Threshold: 128 of 255 (determined from the tomogram; a component needs one voxel of this score)",
        "Lower threshold: 87 of 255 (determined from the tomogram; all its voxels have at least this score)",
    ]
    density = make_record(state=JobState.COMPLETED, engine="threshold", estimates={"threshold": -0.0757})
    assert decided_rows(density) == [("Threshold", "density -0.0757 (determined from the tomogram)")]
    given = decided_rows(make_record(params={"contrast": "bright"}))
    assert given == [("Contrast", "bright, structures brighter than their surroundings; as it was set")]
    assert decided_rows(make_record()) == []


def test_a_job_takes_from_its_start_to_its_end(make_record: RecordMaker) -> None:
    """A running job counts until now, one that has ended until its end, a waiting one not at all."""
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    end, now = begin + timedelta(seconds=90), begin + timedelta(hours=1)
    assert took_s(make_record(started_at=begin), now) == 3600
    done = make_record(state=JobState.COMPLETED, started_at=begin, completed_at=end)
    assert took_s(done, now) == 90
    assert took_s(make_record(state=JobState.PENDING), now) is None
