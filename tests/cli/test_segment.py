"""``segment`` on this machine."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from typer.testing import Result

from cryomamba.engines.registry import Registry
from cryomamba.errors import JobFailedError
from cryomamba.volumes import write_volume

Cli = Callable[..., Result]


def test_a_tomogram_becomes_a_mask(cli: Cli, tomogram: Path, tmp_path: Path) -> None:
    """The mask has the usual name, the tomogram's shape, and contains the ball; stdout has only the file names."""
    done = cli("segment", tomogram, "-e", "threshold", "-p", "contrast=bright", "-p", "sigma_A=10", "--nifti", "--nrrd")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines() == ["ball__threshold.mrc", "ball__threshold.nii.gz", "ball__threshold.nrrd"]
    with mrcfile.open(tmp_path / "ball__threshold.mrc") as mask:
        assert mask.data.shape == (24, 24, 24)
        assert mask.data[12, 12, 12] == 1
        assert mask.data[0, 0, 0] == 0
    assert "of the tomogram" in done.stderr
    assert (tmp_path / "ball__threshold.nii.gz").stat().st_size > 0


def test_json_lines_have_progress_previews_and_results(cli: Cli, tomogram: Path) -> None:
    """With ``--json`` stdout has one object per line; the last has the files and the statistics."""
    done = cli("segment", tomogram, "-o", "mask.mrc", "-e", "threshold", "--voxel-size", "20", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"progress", "preview"} <= {line["type"] for line in lines}
    assert lines[-1]["type"] == "saved"
    assert lines[-1]["data"]["files"] == ["mask.mrc"]
    assert lines[-1]["data"]["statistics"]["voxel_size_A"] == [20, 20, 20]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("-e", "nonsense"), 2, "threshold"),
        (("-e", "threshold", "-p", "sigma_A=wide"), 2, "number in Å"),
        (("-e", "threshold", "-p", "sigma_A=-1"), 2, "sigma_A"),
        (("-o", "missing/mask.mrc"), 2, "folder"),
        (("--voxel-size", "0"), 2, "--voxel-size"),
        (("-o", "ball.mrc"), 2, "input"),
    ],
)
def test_invalid_arguments_are_refused_first(
    arguments: tuple[str, ...], status: int, message: str, cli: Cli, tomogram: Path, tmp_path: Path
) -> None:
    """A wrong engine, parameter, path or voxel size ends with its exit code; nothing is written or overwritten."""
    before = tomogram.read_bytes()
    done = cli("segment", tomogram, *arguments)
    assert done.exit_code == status
    assert message in done.stderr
    assert done.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["ball.mrc"]
    assert tomogram.read_bytes() == before


def write_lamella(path: Path, shape: tuple[int, int, int] = (24, 24, 24), voxel_A: float = 10.0) -> Path:
    mask = np.zeros(shape, np.int16)
    mask[:, :12] = 4
    write_volume(path, mask, voxel_A)
    return path


def test_a_mask_limits_the_segmentation(cli: Cli, tomogram: Path, tmp_path: Path) -> None:
    """Half of the ball is found, its share of the region is printed, and the statistics have the region."""
    write_lamella(tmp_path / "lamella.mrc")
    wanted = ("-e", "threshold", "-p", "contrast=bright", "-p", "sigma_A=10")
    done = cli("segment", tomogram, *wanted, "--within", "lamella.mrc", "-o", "half.mrc")
    assert done.exit_code == 0, done.stderr
    assert "segmented within lamella.mrc: 6,912 voxels, 50.00% of the tomogram" in done.stderr
    assert "% of the region" in done.stderr
    with mrcfile.open(tmp_path / "half.mrc") as mask:
        assert mask.data[12, 11, 12] == 1
        assert not mask.data[:, 12:].any()
    lines = cli("segment", tomogram, *wanted, "--within", "lamella.mrc", "-o", "half.mrc", "--force", "--json").stdout
    statistics = json.loads(lines.splitlines()[-1])["data"]["statistics"]
    assert statistics["within"] == {"mask": "lamella.mrc", "voxels": 6912, "fraction": 0.5, "volume_nm3": 6912.0}


def test_the_mask_of_the_region_is_never_overwritten(cli: Cli, tomogram: Path, tmp_path: Path) -> None:
    """Not even with --force: it is an input."""
    lamella = write_lamella(tmp_path / "lamella.mrc")
    before = lamella.read_bytes()
    done = cli("segment", tomogram, "-e", "threshold", "--within", "lamella.mrc", "-o", "lamella.mrc", "--force")
    assert done.exit_code == 2
    assert lamella.read_bytes() == before


def test_a_mask_that_does_not_fit_ends_with_2(cli: Cli, tomogram: Path, tmp_path: Path) -> None:
    """Another shape, another voxel size or an empty mask is refused with a hint, and no mask is written."""
    write_lamella(tmp_path / "shape.mrc", (24, 24, 20))
    write_lamella(tmp_path / "size.mrc", voxel_A=5.0)
    write_volume(tmp_path / "empty.mrc", np.zeros((24, 24, 24), np.int8), 10.0)
    for name, message in (("shape", "24 × 24 × 20"), ("size", "5 × 5 × 5 Å"), ("empty", "nothing to segment")):
        done = cli("segment", tomogram, "-e", "threshold", "--within", f"{name}.mrc", "-o", "mask.mrc")
        assert done.exit_code == 2
        assert message in done.stderr
        assert "hint: " in done.stderr
        assert not (tmp_path / "mask.mrc").exists()


def test_an_unusable_volume_ends_with_5(cli: Cli, tmp_path: Path) -> None:
    """A missing file and NaN voxels are errors of the volume."""
    voxels = np.zeros((8, 8, 8), np.float32)
    voxels[1, 2, 3] = np.nan
    write_volume(tmp_path / "nan.mrc", voxels, 10.0)
    for name in ("nan.mrc", "missing.mrc"):
        done = cli("segment", name, "-e", "threshold")
        assert done.exit_code == 5
        assert not (tmp_path / f"{name[:-4]}__threshold.mrc").exists()


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels_and_leaves_no_files(
    signum: signal.Signals, status: int, cli: Cli, tomogram: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C during a run stops it after the current tile, with a message, and no file is left."""
    engine = Registry.discover().engines["threshold"]
    predict = engine.predict

    def interrupted(self: object, tile: object) -> object:
        os.kill(os.getpid(), signum)
        return predict(self, tile)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "predict", interrupted)
    done = cli("segment", tomogram, "-e", "threshold")
    assert done.exit_code == status
    assert "Interrupted. The job is cancelled; nothing was written." in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["ball.mrc"]


def test_a_job_that_fails_ends_with_1(cli: Cli, tomogram: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that fails is a failed job, not a defect of the command line."""

    def fail(*_: object, **__: object) -> None:
        raise JobFailedError("The engine failed.", hint="Try another.")

    monkeypatch.setattr("cryomamba_inference.local.LocalRunner.run", fail)
    done = cli("segment", tomogram, "-e", "threshold")
    assert done.exit_code == 1
    assert "The engine failed. (engine_failed)" in done.stderr


@pytest.fixture
def painted(tomogram: Path, tmp_path: Path) -> Path:
    """Strokes in the ball and beside it."""
    path = tmp_path / "strokes.json"
    lines = [
        {"label": 1, "radius": 1, "points": [[12, 12, 11], [12, 12, 14]]},
        {"label": 0, "radius": 1, "points": [[12, 2, 3], [12, 2, 20]]},
    ]
    path.write_text(json.dumps({"shape": [24, 24, 24], "labels": ["background", "ball"], "lines": lines}))
    return path


def test_strokes_make_a_mask_and_a_model_for_the_next_tomogram(cli: Cli, tomogram: Path, painted: Path) -> None:
    """The mask has the ball under its name, and the model that was kept gives the same mask without strokes."""
    shared = ("segment", tomogram, "-e", "pixels", "-p", "scales=2")
    done = cli(*shared, "--strokes", painted, "--save-model", "kept", "-o", "one.mrc")
    assert done.exit_code == 0, done.stderr
    assert "ball: " in done.stderr
    assert cli(*shared, "--model", "kept", "-o", "two.mrc").exit_code == 0
    with mrcfile.open("one.mrc") as one, mrcfile.open("two.mrc") as two:
        assert one.data[12, 12, 12] == 1
        np.testing.assert_array_equal(one.data, two.data)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-e", "threshold", "--strokes", "strokes.json"), "takes no strokes"),
        (("-e", "threshold", "--model", "kept"), "takes no model"),
        (("-e", "pixels", "--save-model", "kept"), "--save-model"),
        (("-e", "pixels", "--strokes", "strokes.json", "--out-dir", "masks"), "one tomogram"),
        (("-e", "pixels", "--strokes", "none.json"), "cannot be read"),
        (("-e", "pixels"), "needs strokes or a model"),
    ],
)
def test_strokes_and_models_where_they_do_not_belong_are_refused(
    arguments: tuple[str, ...], message: str, cli: Cli, tomogram: Path, painted: Path
) -> None:
    """An engine that learns nothing, a model of nothing, strokes for several tomograms: exit code 2 and the reason."""
    assert painted.is_file()
    done = cli("segment", tomogram, *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
