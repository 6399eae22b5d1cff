"""Segmentation without services: the same files as a server's, clean errors, nothing left behind."""

from __future__ import annotations

import stat
import sys
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

from cryomamba.engines.artifacts import ExportFormat
from cryomamba.engines.registry import Registry, describe
from cryomamba.errors import CryoMambaError, ErrorCode, InvalidRequestError, JobFailedError, VolumeError
from cryomamba.models.events import PreviewEvent, ProgressEvent
from cryomamba.models.jobs import PreviewOptions, SubmitRequest, VolumeSource
from cryomamba.volumes import inspect
from cryomamba_inference.local import LocalEvent, LocalRunner

TABLES = {".json", ".csv", ".star", ".tbl"}


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> LocalRunner:
    """The runner that a client finds, with one process."""
    monkeypatch.setenv("CRYOMAMBA_PROCESSES", "1")
    return LocalRunner()


def request_for(path: Path, **fields: Any) -> SubmitRequest:
    volume = VolumeSource(path=str(path), voxel_size_A=fields.pop("voxel_size_A", None))
    return SubmitRequest(volume=volume, engine="threshold", **fields)


def never() -> bool:
    return False


def test_a_run_leaves_the_files_that_were_asked_for(runner: LocalRunner, make_volume: Any, tmp_path: Path) -> None:
    """Mask and exports appear under the names asked for, events in between, and nothing else."""
    path, events = make_volume(), list[LocalEvent]()
    out = tmp_path / "out"
    out.mkdir()
    result = runner.run(
        path,
        request_for(path, preview=PreviewOptions(max_voxels=1000)),
        output=out / "ball.mrc",
        on_event=events.append,
        cancelled=never,
        formats=("nrrd", "nifti"),
    )
    assert result.mask == out / "ball.mrc"
    assert result.exports == (out / "ball.nrrd", out / "ball.nii.gz")
    assert sorted(out.iterdir()) == sorted([result.mask, *result.exports])
    with mrcfile.open(result.mask) as mask:
        assert result.statistics["labels"][0]["voxels"] == int(np.count_nonzero(mask.data))
    frames = [event.frame for event in events if isinstance(event, PreviewEvent)]
    progress = [event.progress.fraction for event in events if isinstance(event, ProgressEvent)]
    assert frames[0].coarse
    assert frames[-1].final
    assert progress == sorted(progress)
    assert progress[-1] == 1


def test_a_voxel_size_given_by_hand_is_in_mask_and_statistics(
    runner: LocalRunner, make_volume: Any, tmp_path: Path
) -> None:
    """The person's voxel size replaces the header's, in the mask's cell as well."""
    path = make_volume()
    request = request_for(path, voxel_size_A=(5.0, 6.0, 7.0))
    result = runner.run(path, request, output=tmp_path / "m.mrc", on_event=lambda _: None, cancelled=never)
    assert result.statistics["voxel_size_A"] == [5, 6, 7]
    with mrcfile.open(result.mask) as mask:
        assert [float(mask.voxel_size[axis]) for axis in "zyx"] == pytest.approx([5, 6, 7])


def test_a_shape_alone_is_enough_for_the_demo(runner: LocalRunner, tmp_path: Path) -> None:
    """Without a file the demo runs on a shape."""
    request = SubmitRequest(volume=VolumeSource(shape=(10, 12, 14)), engine="demo", params={"seconds": 0})
    result = runner.run(None, request, output=tmp_path / "demo.mrc", on_event=lambda _: None, cancelled=never)
    with mrcfile.open(result.mask) as mask:
        assert mask.data.shape == (10, 12, 14)


def nameless_files() -> dict[tuple[int, int], int]:
    """Return the files that this process has open and that have no name, with their bytes."""
    found = {}
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            facts = descriptor.stat()
            if stat.S_ISREG(facts.st_mode) and not facts.st_nlink:
                found[facts.st_dev, facts.st_ino] = facts.st_size
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, files without a name are not listed")
@pytest.mark.parametrize(
    ("engine", "voxel_A", "params"),
    [
        ("membrane", 10.0, {}),
        ("membrane", 25.0, {}),
        ("particles", 10.0, {"diameter_A": 100.0}),
        ("filaments", 10.0, {"diameter_A": 70.0}),
        ("threshold", 10.0, {}),
    ],
)
def test_a_run_takes_no_more_disk_than_its_engine_tells(
    engine: str, voxel_A: float, params: dict[str, Any], runner: LocalRunner, make_volume: Any, tmp_path: Path
) -> None:
    """At its fullest a run's files, nameless ones and all copies included, are within what a submit counts."""
    path, out = make_volume(), tmp_path / "out"
    out.mkdir()
    # What tests before this one have left to the garbage collector is not of this run.
    others, fullest = nameless_files(), 0

    def look() -> bool:
        nonlocal fullest
        sizes = [file.stat().st_size for file in out.rglob("*") if file.is_file() and file.suffix not in TABLES]
        nameless = [nbytes for file, nbytes in nameless_files().items() if file not in others]
        fullest = max(fullest, sum(sizes) + sum(nameless))
        return False

    found = Registry.discover().get(engine)
    info = describe(found)
    formats: list[ExportFormat] = ["nifti", "nrrd"]
    if found.keeps_scores:
        formats.append("scores")
    request = request_for(path, voxel_size_A=(voxel_A,) * 3).model_copy(update={"engine": engine, "params": params})
    runner.run(path, request, output=out / "mask.mrc", on_event=lambda _event: None, cancelled=look, formats=formats)
    look()
    shape = inspect(path).shape
    nodes = info.scratch.nbytes(shape, (voxel_A,) * 3, params.get("diameter_A", 1.0)) if info.scratch else 0
    headers = 4 * 1024
    assert prod(shape) < fullest <= info.disk_per_voxel * prod(shape) + nodes + headers


@pytest.mark.parametrize("stage", ["first", "last"])
def test_a_tomogram_that_changes_during_the_run_fails_it(
    stage: str, runner: LocalRunner, make_volume: Any, tmp_path: Path
) -> None:
    """Whether its first or its last tile is reported when the file is written: nothing of the result is left."""
    path = make_volume()
    before = sorted(tmp_path.iterdir())
    done = False

    def on_event(event: LocalEvent) -> None:
        nonlocal done
        if not isinstance(event, ProgressEvent) or done:
            return
        if stage == "first" or event.progress.done_tiles == event.progress.total_tiles:
            done = True
            with path.open("r+b") as file:
                file.seek(1024)
                file.write(b"\x01\x02\x03\x04")

    with pytest.raises(VolumeError) as caught:
        runner.run(path, request_for(path), output=tmp_path / "m.mrc", on_event=on_event, cancelled=lambda: False)
    assert done
    assert caught.value.code is ErrorCode.VOLUME_CHANGED
    assert sorted(tmp_path.iterdir()) == before


def test_a_cancelled_run_leaves_nothing(runner: LocalRunner, make_volume: Any, tmp_path: Path) -> None:
    """A cancel is an error with its own code, and the folder is as it was."""
    path = make_volume()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(JobFailedError) as caught:
        runner.run(path, request_for(path), output=tmp_path / "m.mrc", on_event=lambda _: None, cancelled=lambda: True)
    assert caught.value.code is ErrorCode.CANCELLED
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("engine", "params", "code"),
    [("nosuch", {}, ErrorCode.UNKNOWN_ENGINE), ("threshold", {"sigma_A": -1}, ErrorCode.INVALID_PARAMETERS)],
)
def test_what_cannot_run_is_refused(
    runner: LocalRunner, make_volume: Any, tmp_path: Path, engine: str, params: dict[str, Any], code: ErrorCode
) -> None:
    """Unknown engines and wrong parameters are clear errors with a hint, before anything is written."""
    path = make_volume()
    request = SubmitRequest(volume=VolumeSource(path=str(path)), engine=engine, params=params)
    with pytest.raises(CryoMambaError) as caught:
        runner.run(path, request, output=tmp_path / "m.mrc", on_event=lambda _: None, cancelled=never)
    assert caught.value.code is code
    assert caught.value.hint
    assert not (tmp_path / "m.mrc").exists()


def test_a_file_that_is_no_volume(runner: LocalRunner, tmp_path: Path) -> None:
    """A text file is refused as such, and nothing is left next to the output."""
    path = tmp_path / "text.mrc"
    path.write_text("not a tomogram " * 100)
    with pytest.raises(CryoMambaError) as caught:
        runner.run(path, request_for(path), output=tmp_path / "m.mrc", on_event=lambda _: None, cancelled=never)
    assert caught.value.code in {ErrorCode.VOLUME_UNREADABLE, ErrorCode.VOLUME_UNSUPPORTED}
    assert list(tmp_path.iterdir()) == [path]


def test_engines_are_described(runner: LocalRunner) -> None:
    """The engines of this environment come with their schemas."""
    names = {info.name for info in runner.engines()}
    assert {"demo", "threshold"} <= names
    assert all(info.parameters["type"] == "object" for info in runner.engines() if info.available)


def test_a_region_limits_mask_and_statistics(runner: LocalRunner, make_volume: Any, tmp_path: Path) -> None:
    """Nothing is found outside, and the statistics give the region's share and volume and the fractions within it."""
    path, inside = make_volume(), np.zeros((24, 30, 36), np.int8)
    inside[8:16, 10:20, 12:24] = 1
    with mrcfile.new(tmp_path / "lamella.mrc") as file:
        file.set_data(inside)
        file.voxel_size = 10.0
    request = request_for(path, params={"contrast": "dark"})
    within, output = tmp_path / "lamella.mrc", tmp_path / "m.mrc"
    result = runner.run(path, request, output=output, on_event=lambda _: None, cancelled=never, within=within)
    with mrcfile.open(result.mask) as mask:
        found = np.array(mask.data) != 0
    assert found.any()
    assert not found[inside == 0].any()
    region, label = result.statistics["within"], result.statistics["labels"][0]
    assert region == {"mask": "lamella.mrc", "voxels": 960, "fraction": 960 / inside.size, "volume_nm3": 960.0}
    assert label["fraction_within"] == found.sum() / 960
    assert label["fraction"] == found.sum() / inside.size
    assert result.statistics["input"]["count"] == 960


def test_a_mask_that_does_not_fit_is_refused_before_the_work(
    runner: LocalRunner, make_volume: Any, tmp_path: Path
) -> None:
    """No progress is reported, and no file is left."""
    path, reports = make_volume(), list[LocalEvent]()
    with mrcfile.new(tmp_path / "other.mrc") as file:
        file.set_data(np.ones((24, 30, 35), np.int8))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InvalidRequestError, match="24 × 30 × 35"):
        runner.run(
            path,
            request_for(path),
            output=tmp_path / "m.mrc",
            on_event=reports.append,
            cancelled=never,
            within=tmp_path / "other.mrc",
        )
    assert sorted(tmp_path.iterdir()) == before
    assert reports == []


def test_statistics_say_what_was_seen_and_decided(runner: LocalRunner, make_volume: Any, tmp_path: Path) -> None:
    """Nothing to check in a usual tomogram; of a full mask it is said what to try; what the user set is no estimate."""
    path = make_volume()

    def statistics(request: SubmitRequest) -> dict[str, Any]:
        output = tmp_path / "m.mrc"
        return runner.run(path, request, output=output, on_event=lambda _: None, cancelled=never).statistics

    found = statistics(request_for(path))
    assert found["warnings"] == []
    assert found["estimates"]["contrast"] == "dark"
    assert found["estimates"]["contrast_margin"] > 0.2
    wrong = request_for(path, params={"contrast": "bright", "method": "value", "value": -3.0}, voxel_size_A=(1.2,) * 3)
    found = statistics(wrong)
    assert [warning["code"] for warning in found["warnings"]] == ["voxel_size_unusual", "mask_nearly_full"]
    assert all(warning["hint"] for warning in found["warnings"])
    assert found["estimates"] == {}
    nothing = request_for(path, params={"contrast": "bright", "method": "value", "value": 1000.0})
    found = statistics(nothing)
    assert [warning["code"] for warning in found["warnings"]] == ["mask_empty"]
