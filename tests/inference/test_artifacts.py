"""Artifacts: what is in them, read back by other programs, and how they come under their names."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mrcfile
import nibabel
import nrrd
import numpy as np
import pytest
from scipy import ndimage

from cryomamba.engines.api import Engine
from cryomamba.errors import JobFailedError
from cryomamba.masks.measure import measure
from cryomamba.masks.slabs import LabelSource
from cryomamba.models.jobs import Artifact
from cryomamba.volumes import open_volume
from cryomamba_inference.artifacts import publish, write_artifacts
from cryomamba_inference.engines.demo import DemoEngine, DemoParameters
from cryomamba_inference.engines.threshold import ThresholdEngine, ThresholdParameters
from cryomamba_inference.executor import InlineExecutor
from cryomamba_inference.runner import Control, Task, run_task

if TYPE_CHECKING:
    from tests.conftest import DiskOrder

MEMORY = Path("/dev/shm")


def artifacts_of(path: Path, folder: Path, recorder: Any, control: Control | None = None) -> tuple[Artifact, ...]:
    engine: Engine[Any] = ThresholdEngine(ThresholdParameters(hysteresis=0.3))
    folder.mkdir(exist_ok=True)
    control = control or Control()
    with open_volume(path) as volume:
        outcome = run_task(Task(engine, volume), folder, InlineExecutor(), control, recorder)
    return write_artifacts(outcome, engine, volume_name=path.name, check=control.check)


def test_every_file_holds_the_mask(make_volume: Any, tmp_path: Path, recorder: Any) -> None:
    """MRC, NIfTI and NRRD, read by their own libraries, hold the same voxels; sizes and digests are the files'."""
    artifacts = artifacts_of(make_volume(), tmp_path / "a", recorder)
    names = ["mask.mrc", "mask.nii.gz", "mask.nrrd", "stats.json", "stats.csv"]
    assert [artifact.name for artifact in artifacts] == names
    for artifact in artifacts:
        raw = (tmp_path / "a" / artifact.name).read_bytes()
        assert (artifact.size_bytes, artifact.sha256) == (len(raw), hashlib.sha256(raw).hexdigest())
        assert "/" in artifact.media_type
    with mrcfile.open(tmp_path / "a" / "mask.mrc") as file:
        mask = np.array(file.data)
    assert mask.any()
    assert np.array_equal(np.asarray(nibabel.Nifti1Image.from_filename(tmp_path / "a" / "mask.nii.gz").dataobj).T, mask)
    assert np.array_equal(nrrd.read(str(tmp_path / "a" / "mask.nrrd"))[0].T, mask)


def test_statistics_are_those_of_the_mask(make_volume: Any, tmp_path: Path, recorder: Any) -> None:
    """``stats.json`` says what was run on what, and counts what numpy and scipy count."""
    artifacts_of(make_volume(), tmp_path / "a", recorder)
    found = json.loads((tmp_path / "a" / "stats.json").read_text())
    with mrcfile.open(tmp_path / "a" / "mask.mrc") as file:
        mask = np.array(file.data)
    assert (found["engine"], found["volume"], found["shape"]) == ("threshold", "tomogram.mrc", [24, 30, 36])
    assert found["parameters"] == ThresholdParameters(hysteresis=0.3).model_dump()
    assert found["voxel_size_A"] == [10, 10, 10]
    assert found["input"]["count"] == mask.size
    (label,) = found["labels"]
    assert label["voxels"] == int((mask == 1).sum())
    assert label["volume_nm3"] == pytest.approx(label["voxels"])
    assert label["centroid"] == pytest.approx(ndimage.center_of_mass(mask == 1))
    assert label["centroid_A"] == pytest.approx([10 * at for at in label["centroid"]])
    (box,) = ndimage.find_objects(mask)
    assert label["box_start"] == [axis.start for axis in box]
    assert label["box_stop"] == [axis.stop for axis in box]


def test_another_attempt_writes_the_same_files(make_volume: Any, tmp_path: Path, recorder: Any) -> None:
    """All files of a second run equal those of the first, so a zombie's late rename changes nothing."""
    path = make_volume()
    assert artifacts_of(path, tmp_path / "a", recorder) == artifacts_of(path, tmp_path / "b", recorder)


def test_a_demo_has_statistics_for_both_labels(tmp_path: Path, recorder: Any) -> None:
    """A job without a volume has files as well; it just has no input to describe."""
    engine = DemoEngine(DemoParameters(seconds=0))
    outcome = run_task(Task(engine, shape=(20, 20, 20)), tmp_path, InlineExecutor(), Control(), recorder)
    write_artifacts(outcome, engine, volume_name="", formats=(), check=lambda: None)
    found = json.loads((tmp_path / "stats.json").read_text())
    assert found["input"] is None
    assert [label["name"] for label in found["labels"]] == ["vesicle", "particle"]
    assert all(label["voxels"] > 0 for label in found["labels"])


def test_a_label_that_does_not_occur_has_no_place() -> None:
    """Zero voxels, no centroid and no box; labels above 127 are counted like others."""
    mask = np.zeros((2, 3, 4), np.uint16)
    mask[1, 2, 3] = 200
    none, one = measure(LabelSource.of_array(mask, (10.0, 20.0, 30.0)), {1: "a", 200: "b"}).labels
    assert (none.voxels, none.centroid, none.box_start) == (0, None, None)
    assert (one.voxels, one.volume_nm3, one.centroid) == (1, 6.0, (1, 2, 3))
    assert (one.centroid_A, one.box_start, one.box_stop) == ((10, 40, 90), (1, 2, 3), (2, 3, 4))


def test_a_cancel_while_writing(make_volume: Any, tmp_path: Path, recorder: Any) -> None:
    """A cancel takes effect while files are written."""
    control = Control()
    recorder.on_report = lambda report: control.cancel() if report.stage == "writing files" else None
    with pytest.raises(JobFailedError, match="cancelled"):
        artifacts_of(make_volume(), tmp_path / "a", recorder, control)


def test_finished_files_survive_a_power_cut(
    make_volume: Any, tmp_path: Path, recorder: Any, disk_order: DiskOrder
) -> None:
    """Each file is on the disk before it has its final name, and has that before the job is reported as finished."""
    work, final = tmp_path / "work", tmp_path / "home" / "artifacts" / "job"
    artifacts = artifacts_of(make_volume(), work, recorder)
    disk_order.calls = [step for step in disk_order.calls if step[0] == "sync"]
    publish(work, final, artifacts)
    assert disk_order.check() == len(artifacts)


@pytest.mark.skipif(not MEMORY.is_dir(), reason="needs a second file system")
def test_folders_on_two_file_systems_are_reported(tmp_path: Path) -> None:
    """A data directory with separately mounted folders gives an error that says so."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "mask.mrc").write_text("mask")
    with tempfile.TemporaryDirectory(dir=MEMORY) as elsewhere, pytest.raises(JobFailedError, match="different file"):
        publish(work, Path(elsewhere) / "artifacts" / "job", [Artifact(name="mask.mrc", size_bytes=4)])


def test_publishing_replaces_what_an_earlier_attempt_left(tmp_path: Path) -> None:
    """Files get their final names, over older ones; nothing else of the work folder does."""
    work, final = tmp_path / "work", tmp_path / "artifacts" / "job"
    work.mkdir()
    final.mkdir(parents=True)
    (final / "mask.mrc").write_text("old")
    for name in ("mask.mrc", "stats.json", "scratch"):
        (work / name).write_text(name)
    publish(work, final, [Artifact(name=name, size_bytes=1) for name in ("mask.mrc", "stats.json")])
    assert {file.name: file.read_text() for file in final.iterdir()} == {
        "mask.mrc": "mask.mrc",
        "stats.json": "stats.json",
    }
    assert [file.name for file in work.iterdir()] == ["scratch"]
