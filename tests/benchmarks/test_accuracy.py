"""The benchmark of accuracy: which volumes it takes, what it counts, and what it writes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks.report import page, tables
from benchmarks.report.measured import Measured
from benchmarks.scenes.imaged import NOISES, cases, has_membranes

from benchmarks import accuracy
from cryomamba.synth.families import FAMILIES


def row(f1: float, **settings: object) -> Measured:
    values = {
        "family": "tubes",
        "voxel_A": 12.0,
        "noise": "low",
        "imaging": "plain",
        "seed": 1,
        "crowding": None,
        "membranes": True,
        "f1": f1,
        "precision": f1,
        "recall": f1,
        "seen": 1.0,
        "best": f1,
        "taken": 0.1,
        "contrast": "dark",
        "seconds": 1.0,
        "peers": {},
    }
    return Measured(**(values | settings))  # type: ignore[arg-type]


def test_every_family_is_taken_at_every_noise_level() -> None:
    """Each family comes at each noise level at 12 Å, at the other voxel sizes, and once inverted."""
    chosen = list(cases(list(FAMILIES), [1], quick=False))
    for family in FAMILIES:
        own = [case for case in chosen if case.family == family and case.crowding is None]
        assert {case.noise for case in own if case.voxel_A == 12 and case.imaging != "inverted"} == set(NOISES)
        assert {case.voxel_A for case in own} == {5, 8, 12, 16, 20, 25}
        assert sum(case.imaging == "inverted" for case in own) == 1
    assert {case.crowding for case in chosen if case.family == "cytosol"} > {0.05, 0.25}
    assert not has_membranes("cytosol")
    assert has_membranes("tubes")


def test_the_summary_has_mean_worst_and_wrong_contrasts() -> None:
    """Inverted volumes and those without membranes do not enter the mean, but each wrong contrast is counted."""
    rows = [
        row(0.9),
        row(0.5, contrast="bright"),
        row(0.1, imaging="inverted", contrast="dark"),
        row(0.0, family="empty", membranes=False, contrast=None, taken=0.03),
    ]
    text = tables.text(rows)
    assert "F1 0.700" in text
    assert "worst 0.500" in text
    assert "dark volumes taken for bright: 1 of 3" in text
    assert "bright volumes taken for dark: 1 of 1" in text
    assert "3.00%" in text


def test_the_page_keeps_its_text_and_shows_the_worst(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the measured part is replaced, also a second time, and the picture is that of the worst volume."""
    (tmp_path / "images").mkdir()
    (tmp_path / "accuracy.md").write_text("above\n<!-- measured: accuracy -->\nold\n<!-- end -->\nbelow\n")
    picture = tmp_path / "accuracy-tubes.png"
    picture.write_bytes(b"png")
    monkeypatch.setattr(page, "DOCS", tmp_path)
    for text in ("first", "second"):
        page.write(text, [row(0.9), row(0.4, noise="high")], [picture], arguments=["--page"])
    written = (tmp_path / "accuracy.md").read_text()
    assert written.startswith("above\n")
    assert written.endswith("below\n")
    assert "second" in written
    assert "first" not in written
    assert "old" not in written
    assert "high noise, plain, seed 1: F1 0.400" in written
    assert (tmp_path / "images" / "accuracy-tubes.png").is_file()


@pytest.mark.slow
def test_a_quick_run_measures_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One family is generated, segmented from its file, scored beside the peers, and drawn."""
    monkeypatch.setattr(sys, "argv", ["accuracy", "--quick", "--families", "vesicles", "--out", str(tmp_path)])
    accuracy.main()
    figures, *others = map(json.loads, (tmp_path / "figures.jsonl").read_text().splitlines())
    assert [each["noise"] for each in (figures, *others)] == list(NOISES)
    assert figures["family"] == "vesicles"
    assert 0 < figures["f1"] <= 1
    assert set(figures["peers"]) == {"script", "script, best", "Hessian", "Sato", "Meijering", "Frangi"}
    assert (tmp_path / "accuracy-vesicles.png").stat().st_size > 1000
    assert "middle noise, 12 Å: F1" in capsys.readouterr().out


def test_the_contrast_of_a_mask_is_that_to_its_surroundings() -> None:
    """Without a word from the engine, a mask on dark voxels tells dark, on bright ones bright, an empty one nothing."""
    density = np.zeros((24, 24, 24), np.float32)
    mask = np.zeros(density.shape, np.bool_)
    mask[12] = True
    density[mask] = -1
    engine = object()
    assert accuracy.judged_contrast(engine, density, mask) == "dark"
    assert accuracy.judged_contrast(engine, -density, mask) == "bright"
    assert accuracy.judged_contrast(engine, density, mask & False) is None
