"""The engine of painted strokes: exact in tiles, deterministic, a model of its own, begun again with new strokes."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cryomamba.engines.api import Labels, Slices, Tile, VolumeContext
from cryomamba.engines.registry import Registry
from cryomamba.errors import InvalidRequestError
from cryomamba.masks.strokes import Strokes, read_strokes
from cryomamba.volumes import open_volume
from cryomamba_inference.engines.membrane import MembraneEngine
from cryomamba_inference.engines.pixels import PixelsEngine, PixelsParameters
from cryomamba_inference.executor import InlineExecutor
from cryomamba_inference.network.model import checksum
from cryomamba_inference.runner import Control, Outcome, Task, run_to_last_strokes
from cryomamba_inference.runner.binned_copy import array_statistics
from cryomamba_inference.tiling import plan_tiles

Density = npt.NDArray[np.float32]
SHAPE = (24, 30, 36)
SIZE = (10.0, 10.0, 10.0)


def strokes(*, more: bool = False, near: bool = False, shape: tuple[int, int, int] = SHAPE) -> Strokes:
    """A stroke in the dark ball, and two beside it; one of each kind near its border."""
    lines = [
        {"label": 1, "radius": 2, "points": [[12, 15, 14], [12, 15, 22]]},
        {"label": 0, "radius": 1, "points": [[12, 2, 3], [12, 2, 30]]},
        {"label": 0, "radius": 1, "points": [[3, 27, 6], [3, 27, 30]]},
    ]
    lines += [{"label": 2, "radius": 1, "points": [[2, 2, 2]]}] if more else []
    if near:
        lines.append({"label": 1, "radius": 1, "points": [[12, 15, 9], [12, 15, 26]]})
        lines.append({"label": 0, "radius": 1, "points": [[12, 4, 10], [12, 4, 25]]})
    return read_strokes({"shape": shape, "labels": ["background", "ball", "speck"], "lines": lines})


def context(data: Density) -> VolumeContext:
    def read(where: Slices) -> Density:
        return np.ascontiguousarray(data[where])

    return VolumeContext(data.shape, SIZE, array_statistics(data), read)


def engine(**parameters: Any) -> PixelsEngine:
    return PixelsEngine(PixelsParameters(**{"scales": 2, **parameters}))


def prepare(made: PixelsEngine, data: Density) -> PixelsEngine:
    """Do all that the runner does before the tiles."""
    made.prepare(context(data))
    made.section(context(data), 12)
    for refine in made.refinements():
        refine(context(data))
    return made


def in_tiles(prepared: PixelsEngine, data: Density, tile_bytes: int) -> Labels:
    plan = plan_tiles(data.shape, halo=prepared.halo(SIZE), align=prepared.align(SIZE), tile_bytes=tile_bytes)
    out = np.full(data.shape, 255, np.uint8)
    for spec in plan:
        tile = Tile(np.ascontiguousarray(data[spec.read]), spec.core, spec.start, spec.shape)
        out[spec.target] = prepared.predict(tile).labels
    assert len(plan) > 1 or tile_bytes > data.nbytes
    return out


@pytest.fixture
def data(make_volume: Any) -> Density:
    with open_volume(make_volume()) as volume:
        z, y, x = (slice(0, n) for n in SHAPE)
        return volume.read(z, y, x)


def test_tiles_and_sections_equal_the_whole(data: Density) -> None:
    """Tiles of two sizes, and the section that is shown first, have bit for bit the labels of the whole volume."""
    trained = prepare(engine(strokes=strokes(more=True)), data)
    whole = in_tiles(trained, data, 10 * data.nbytes)
    assert set(np.unique(whole)) == {0, 1, 2}
    np.testing.assert_array_equal(in_tiles(trained, data, 60_000), whole)
    for z in (0, 11, 23):
        shown = trained.section(context(data), z)
        assert shown is not None
        np.testing.assert_array_equal(shown[0], whole[z])


def test_the_ball_is_found_from_five_strokes(data: Density) -> None:
    """The dark ball is segmented, apart from its rim, and little else is."""
    trained = prepare(engine(strokes=strokes(near=True)), data)
    mask = in_tiles(trained, data, 10 * data.nbytes) == 1
    z, y, x = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in SHAPE)]
    ball = (z**2 + y**2 + x**2) < 0.3
    assert 2 * np.count_nonzero(mask & ball) / (np.count_nonzero(mask) + np.count_nonzero(ball)) > 0.85


def test_a_saved_model_gives_the_same_mask(data: Density, tmp_path: Path) -> None:
    """A model that was kept gives the mask of its strokes, has their label names, and always has the same bytes."""
    trained = prepare(engine(strokes=strokes()), data)
    files = trained.save_files(tmp_path)
    kept = prepare(engine(model=str(tmp_path)), data)
    assert kept.labels == {1: "ball", 2: "speck"}
    np.testing.assert_array_equal(in_tiles(kept, data, 10**9), in_tiles(trained, data, 10**9))
    first = [(tmp_path / name).read_bytes() for name in files]
    trained.save_files(tmp_path)
    assert [(tmp_path / name).read_bytes() for name in files] == first


def test_training_again_gives_what_training_once_does(data: Density) -> None:
    """With strokes added to a trained engine the labels are those of an engine that had all of them at once."""
    one = prepare(engine(strokes=strokes()), data)
    again, fresh = one.with_strokes(strokes(more=True)), engine(strokes=strokes(more=True))
    for each in (again, fresh):
        prepare(each, data)
    np.testing.assert_array_equal(in_tiles(again, data, 10**9), in_tiles(fresh, data, 10**9))


def test_a_section_is_shown_before_the_network_is_applied(data: Density, tmp_path: Path) -> None:
    """Strokes alone give a section at once, and then a model that needs the network; a model waits for the network."""
    trained = engine(strokes=strokes())
    trained.prepare(context(data))
    assert trained.section(context(data), 12) is not None
    trained.save_files(tmp_path)
    assert str(np.load(tmp_path / "forest.npz")["network"]) == ""
    prepare(trained, data).save_files(tmp_path)
    assert str(np.load(tmp_path / "forest.npz")["network"]) == checksum()
    kept = engine(model=str(tmp_path))
    kept.prepare(context(data))
    assert kept.section(context(data), 12) is None
    assert prepare(kept, data).section(context(data), 12) is not None


def test_a_model_without_the_network_still_runs(data: Density, tmp_path: Path) -> None:
    """A forest of the first format, which knows no network, gives its labels without one."""
    trained = engine(strokes=strokes())
    trained.prepare(context(data))
    trained.save_files(tmp_path)
    arrays = {**np.load(tmp_path / "forest.npz"), "version": np.int64(1)}
    del arrays["network"]
    np.savez(tmp_path / "forest.npz", **arrays)
    kept = engine(model=str(tmp_path))
    kept.prepare(context(data))
    assert kept.refinements() == ()
    np.testing.assert_array_equal(in_tiles(kept, data, 10**9), in_tiles(trained, data, 10**9))


def test_strokes_do_not_stop_the_preparation_of_the_network(data: Density, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strokes that come while the volume is prepared stop the wait for it alone: it is prepared once."""
    prepared: list[int] = []
    original = MembraneEngine.prepare

    def counted(self: MembraneEngine, given: VolumeContext) -> None:
        prepared.append(1)
        original(self, given)

    class Added(Exception):  # noqa: N818 (as in the runner)
        """What the runner raises."""

    def stop(_fraction: float, doing: str = "", /) -> None:
        if doing != "training":
            raise Added

    monkeypatch.setattr(MembraneEngine, "prepare", counted)
    one = engine(strokes=strokes())
    one.prepare(context(data))
    with pytest.raises(Added):
        one.refinements()[0](replace(context(data), report_progress=stop))
    again = prepare(one.with_strokes(strokes(more=True)), data)
    assert prepared == [1]
    fresh = prepare(engine(strokes=strokes(more=True)), data)
    np.testing.assert_array_equal(in_tiles(again, data, 10**9), in_tiles(fresh, data, 10**9))
    one.stop()


@pytest.mark.parametrize("when", ["classifying", "writing files"])
def test_a_run_takes_strokes_that_are_added(when: str, make_volume: Any, recorder: Any, tmp_path: Path) -> None:
    """Strokes that come while tiles are computed or files are written: the mask is that of the last strokes, and the
    first preview after them has the section under the view."""
    control = Control()
    added: list[int] = []

    def look(progress: Any) -> None:
        if progress.stage.startswith(when) and not added:
            added.append(len(recorder.frames))
            control.set_strokes(strokes(more=True))

    recorder.on_report = look

    def run(given: Strokes, folder: Path, events: Any) -> bytes:
        folder.mkdir()

        def finish(outcome: Outcome, _engine: Any) -> bytes:
            outcome.meter.enter("writing files")
            control.check()
            return outcome.mask.read_bytes()

        with open_volume(make_volume()) as volume:
            task = Task(engine(strokes=given), volume, focus=(1.0, 5.0, 5.0))
            return run_to_last_strokes(task, folder, InlineExecutor(), control, events, finish)

    begun = run(strokes(), tmp_path / "begun", recorder)
    assert added
    once = run(strokes(more=True), tmp_path / "once", type(recorder)())
    assert begun == once
    assert 2 in recorder.frames[added[0]].mask[1]
    assert recorder.frames[-1].final


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, "needs strokes or a model"),
        ({"strokes": strokes(), "model": "x"}, "not both"),
        ({"model": "no-such-model"}, "There is no model 'no-such-model'"),
    ],
)
def test_strokes_or_a_model_are_needed(parameters: dict[str, Any], words: str) -> None:
    """Nothing to learn from, two of them, or an unknown model: a sentence."""
    with pytest.raises(InvalidRequestError, match=words):
        engine(**parameters)


def test_strokes_that_teach_nothing_are_refused(data: Density) -> None:
    """Strokes of one label, of none, or of a tomogram of another shape end with a sentence."""
    lines = [{"label": 1, "points": [[1, 1, 1]]}]
    one = read_strokes({"shape": SHAPE, "labels": ["background", "ball"], "lines": lines})
    none = read_strokes({"shape": SHAPE, "labels": ["background", "ball"]})
    for given, words in (
        (one, "only 'ball' was painted"),
        (none, "nothing was painted"),
        (strokes(shape=(24, 30, 37)), r"24 × 30 × 37 voxels; this one has 24 × 30 × 36"),
    ):
        with pytest.raises(InvalidRequestError, match=words):
            engine(strokes=given).prepare(context(data))


def hostile(folder: Path, name: str) -> None:
    """Damage a saved model."""
    path = folder / "forest.npz"
    arrays = dict(np.load(path))
    match name:
        case "no archive":
            path.write_bytes(b"PK no")
        case "pickle":
            arrays["features"] = np.array([{"a": 1}], object)
        case "feature":
            arrays["features"] = arrays["features"] + np.int16(1000)
        case "depth":
            arrays["thresholds"] = arrays["thresholds"][:, :-1]
        case "votes":
            arrays["votes"] = np.full_like(arrays["votes"], 255)
        case "classes":
            arrays["classes"] = np.array([0, 9], np.uint8)
        case "version":
            arrays["version"] = np.int64(9)
        case "nan":
            arrays["thresholds"] = np.full_like(arrays["thresholds"], np.nan)
        case "network":
            arrays["network"] = np.array("0" * 64)
        case "missing":
            del arrays["votes"]
    if name == "huge":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("features.npy", bytes(10**8))
    elif name != "no archive":
        np.savez(path, **arrays)


@pytest.mark.parametrize(
    "name",
    ["no archive", "pickle", "feature", "depth", "votes", "classes", "version", "network", "nan", "missing", "huge"],
)
def test_a_hostile_model_is_refused(name: str, data: Density, tmp_path: Path) -> None:
    """A damaged or hostile model is refused with a sentence, and nothing in it is executed."""
    trained = prepare(engine(strokes=strokes()), data)
    trained.save_files(tmp_path)
    hostile(tmp_path, name)
    with pytest.raises(InvalidRequestError, match="cannot be used"):
        engine(model=str(tmp_path))


def test_parameters_travel_as_json() -> None:
    """The registry makes the engine from plain fields, names its labels, and refuses damaged strokes by name."""
    made = Registry.discover().create("pixels", {"strokes": strokes().model_dump(mode="json")})
    assert made.labels == {1: "ball", 2: "speck"}
    with pytest.raises(InvalidRequestError, match=r"strokes.*damaged"):
        Registry.discover().create("pixels", {"strokes": {**strokes().model_dump(mode="json"), "voxels": "?"}})
