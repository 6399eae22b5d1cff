"""The uncertainty of engines that predict tiles, its file among the artifacts, and its mean over the mask."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import mrcfile
import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage, stats

from cryomamba.engines.api import Engine, EngineParameters, Labels, Tile, TileResult
from cryomamba.engines.uncertainty import UncertaintyOptions, entropy_percent
from cryomamba.errors import InvalidRequestError, JobFailedError, VolumeError
from cryomamba.masks.strokes import read_strokes
from cryomamba.models.jobs import SubmitRequest, VolumeSource
from cryomamba.synth import PhantomSpec, synthesize
from cryomamba.volumes import open_volume, result_kind, write_volume
from cryomamba_inference.artifacts import write_artifacts
from cryomamba_inference.engines.membrane import MembraneEngine, MembraneParameters
from cryomamba_inference.engines.pixels import PixelsEngine, PixelsParameters
from cryomamba_inference.executor import InlineExecutor, ProcessExecutor, TileExecutor
from cryomamba_inference.local import LocalRunner
from cryomamba_inference.pixels.classifier import load_classifier
from cryomamba_inference.pixels.features import feature_box
from cryomamba_inference.pixels.scales import scales_of
from cryomamba_inference.runner import Control, Outcome, Task, run_task

SHAPE = (24, 30, 36)
LINES = [
    {"label": 1, "radius": 1, "points": [[12, 15, 15], [12, 15, 21]]},
    {"label": 0, "radius": 1, "points": [[12, 3, 3], [12, 3, 30]]},
    {"label": 2, "radius": 1, "points": [[2, 2, 2]]},
]
NAMES = ["background", "ball", "speck"]


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessExecutor]:
    """Two processes."""
    executor = ProcessExecutor(2)
    yield executor
    executor.close()


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write membranes in noise."""
    spec = PhantomSpec(shape=(24, 64, 64), voxel_size_A=12.5, seed=2, noise=1.5, crowding=0.0, fiducials=0)
    path = tmp_path_factory.mktemp("phantom") / "t.mrc"
    write_volume(path, synthesize(spec).density, 12.5)
    return path


def run(
    engine: Engine[Any], path: Path, folder: Path, recorder: Any, executor: TileExecutor | None = None
) -> tuple[Outcome, npt.NDArray[Any]]:
    """Run an engine; return the outcome and the uncertainty."""
    folder.mkdir()
    with open_volume(path) as volume:
        task = Task(engine, volume, keep_scores=True)
        outcome = run_task(task, folder, executor or InlineExecutor(), Control(), recorder)
    assert outcome.uncertainty is not None
    return outcome, mrcfile.read(outcome.uncertainty)


def painted(**parameters: Any) -> PixelsEngine:
    """Return an engine for a ball and a speck."""
    strokes = read_strokes({"shape": SHAPE, "labels": NAMES, "lines": LINES})
    return PixelsEngine(PixelsParameters(strokes=strokes, scales=2, uncertainty=True, **parameters))


@pytest.mark.slow
def test_of_painted_structures_it_is_the_entropy_of_the_votes(
    make_volume: Any, tmp_path: Path, recorder: Any, pool: ProcessExecutor
) -> None:
    """The votes of the trees, smoothed as for the mask, have that entropy; two processes write the same bytes."""
    path, engine = make_volume(), painted()
    _, percent = run(engine, path, tmp_path / "a", recorder)
    engine.save_files(tmp_path)
    trained = load_classifier(str(tmp_path))
    with open_volume(path) as volume:
        whole = engine._normalized(volume.read(slice(None), slice(None), slice(None)))
    filtered = feature_box(whole.__getitem__, SHAPE, scales_of((10.0,) * 3, trained.finest_A, 2), (0, 0, 0), SHAPE)
    box = engine._sections.with_maps(filtered)
    kernel = np.multiply.outer(np.multiply.outer([1, 2, 1], [1, 4, 6, 4, 1]), [1, 4, 6, 4, 1])
    votes = [ndimage.convolve(each.astype(float), kernel, mode="nearest") for each in trained.forest.count_votes(box)]
    expected = 100 * stats.entropy(votes, axis=0, base=3)
    assert np.abs(percent - expected).max() <= 0.5 + 1e-9
    assert percent.max() > 50
    run(painted(), path, tmp_path / "b", recorder, pool)
    assert (tmp_path / "a/uncertainty.mrc").read_bytes() == (tmp_path / "b/uncertainty.mrc").read_bytes()


@pytest.mark.slow
def test_of_membranes_it_is_the_entropy_of_the_probability(
    phantom: Path, tmp_path: Path, recorder: Any, pool: ProcessExecutor
) -> None:
    """It fits to the score map, which is the probability in steps of 1/255; two processes write the same bytes."""
    outcome, percent = run(MembraneEngine(MembraneParameters(uncertainty=True)), phantom, tmp_path / "a", recorder)
    assert outcome.scores is not None
    scores = mrcfile.read(outcome.scores).astype(float)
    edges = np.clip(np.stack([scores - 0.5, scores + 0.5]) / 255, 0, 1)
    entropies = 100 * stats.entropy([edges, 1 - edges], axis=0, base=2)
    # Around one half, the largest entropy is between the edges.
    highest = np.where((edges[0] < 0.5) & (edges[1] > 0.5), 100, entropies.max(axis=0))
    assert (percent >= entropies.min(axis=0) - 0.51).all()
    assert (percent <= highest + 0.51).all()
    assert percent.max() > 95
    run(MembraneEngine(MembraneParameters(uncertainty=True)), phantom, tmp_path / "b", recorder, pool)
    assert (tmp_path / "a/uncertainty.mrc").read_bytes() == (tmp_path / "b/uncertainty.mrc").read_bytes()


def test_the_artifacts_have_the_file_and_its_mean(make_volume: Any, tmp_path: Path, recorder: Any) -> None:
    """The file is listed, and ``stats.json`` has the mean that numpy finds over the mask and over each label."""
    path, engine = make_volume(), painted()
    outcome, percent = run(engine, path, tmp_path / "a", recorder)
    artifacts = write_artifacts(outcome, engine, volume_name=path.name, formats=(), check=lambda: None)
    assert "uncertainty.mrc" in [artifact.name for artifact in artifacts]
    found = json.loads((tmp_path / "a/stats.json").read_text())["uncertainty"]
    mask = mrcfile.read(outcome.mask)
    assert found["mean_percent"] == pytest.approx(percent[mask > 0].mean(), abs=1e-3)
    assert found["by_label"] == {
        str(label): pytest.approx(percent[mask == label].mean(), abs=1e-3) for label in np.unique(mask[mask > 0])
    }
    assert "entropy" in found["method"]


def test_an_empty_mask_has_no_mean(tmp_path: Path, recorder: Any) -> None:
    """There is nothing whose uncertainty could be averaged."""
    write_volume(tmp_path / "t.mrc", np.random.default_rng(1).normal(size=SHAPE).astype(np.float32), 12.5)
    engine = MembraneEngine(MembraneParameters(uncertainty=True))
    outcome, _ = run(engine, tmp_path / "t.mrc", tmp_path / "a", recorder)
    write_artifacts(outcome, engine, volume_name="t.mrc", formats=(), check=lambda: None)
    found = json.loads((tmp_path / "a/stats.json").read_text())["uncertainty"]
    assert (found["mean_percent"], found["by_label"]) == (None, {})


def test_a_local_run_writes_it_next_to_the_mask(make_volume: Any, tmp_path: Path) -> None:
    """The file has the mask's name with an ending; an engine that was not asked for it refuses."""
    path = make_volume()
    request = SubmitRequest(
        volume=VolumeSource(path=str(path)),
        engine="pixels",
        params={"strokes": painted().parameters.model_dump(mode="json")["strokes"], "uncertainty": True},
    )
    arguments: dict[str, Any] = {"on_event": lambda _: None, "cancelled": lambda: False, "formats": ["uncertainty"]}
    result = LocalRunner(1).run(path, request, output=tmp_path / "m.mrc", **arguments)
    assert result.exports == (tmp_path / "m_uncertainty.mrc",)
    with open_volume(result.exports[0]) as written:
        assert result_kind(written.header.labels) == "uncertainty"
    plain = request.model_copy(update={"engine": "threshold", "params": {}})
    with pytest.raises(InvalidRequestError, match="does not give the uncertainty"):
        LocalRunner(1).run(path, plain, output=tmp_path / "n.mrc", **arguments)


def test_it_is_no_score_map(make_volume: Any, tmp_path: Path, recorder: Any) -> None:
    """Its values are those of a score map, but its header says what it is, and to re-threshold it is refused."""
    run(painted(), make_volume(), tmp_path / "a", recorder)
    request = SubmitRequest(volume=VolumeSource(path="unused"), engine="rethreshold")
    with pytest.raises(VolumeError, match="a map of the uncertainty"):
        LocalRunner(1).run(
            tmp_path / "a/uncertainty.mrc",
            request,
            output=tmp_path / "m.mrc",
            on_event=lambda _: None,
            cancelled=lambda: False,
        )


class Forgetful(Engine[EngineParameters]):
    """An engine that gives the uncertainty when nobody asked, and not when somebody did."""

    name: ClassVar[str] = "forgetful"
    summary: ClassVar[str] = "forgetful"
    Parameters: ClassVar[type[EngineParameters]] = UncertaintyOptions
    labels: Mapping[int, str] = {1: "all"}

    def predict(self, tile: Tile) -> Labels | TileResult:
        labels = np.ones(tile.shape, np.uint8)
        wanted = self.parameters == UncertaintyOptions(uncertainty=True)
        return TileResult(labels, uncertainty=None if wanted else labels)


@pytest.mark.parametrize("wanted", [True, False])
def test_an_engine_that_answers_another_question_is_named(
    wanted: bool, make_volume: Any, tmp_path: Path, recorder: Any
) -> None:
    """An engine that leaves out the uncertainty, or gives it unasked, fails with a sentence for its author."""
    (tmp_path / "a").mkdir()
    with open_volume(make_volume()) as volume:
        task = Task(Forgetful(UncertaintyOptions(uncertainty=wanted)), volume)
        with pytest.raises(JobFailedError, match="uncertainty of a tile as"):
            run_task(task, tmp_path / "a", InlineExecutor(), Control(), recorder)
    assert not list((tmp_path / "a").iterdir())


def test_certain_and_undecided_voxels_are_the_ends_of_the_scale() -> None:
    """A probability of 1 is 0 %, equal ones are 100 %, however many classes there are."""
    for classes in (2, 3, 7):
        certain, equal = np.zeros((classes, 1), np.float32), np.full((classes, 1), 1 / classes, np.float32)
        certain[1] = 1
        assert entropy_percent(certain).item() == 0
        assert entropy_percent(equal).item() == 100
