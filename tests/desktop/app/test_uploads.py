"""The progress of uploads."""

from __future__ import annotations

import pytest

from cryomamba.models.jobs import Progress
from napari_cryomamba.app.uploads import TransferProgress


def test_the_time_left_counts_bytes_of_this_transfer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes from before a resumed upload do not count for the speed; the last byte is always reported."""
    clock = iter([10.0, 11.0, 11.01, 11.02])
    monkeypatch.setattr("napari_cryomamba.app.uploads.time.monotonic", lambda: next(clock))
    reports: list[Progress] = []
    meter = TransferProgress(reports.append, "uploading")
    meter(500, 1000)
    meter(600, 1000)
    meter(601, 1000)
    meter(1000, 1000)
    assert [progress.fraction for progress in reports] == [0.5, 0.6, 1.0]
    assert reports[0].eta_s is None
    assert reports[1].eta_s == pytest.approx(4.0)
    assert reports[2].stage == "uploading"
