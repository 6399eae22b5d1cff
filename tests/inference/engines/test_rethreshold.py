"""Scores are kept, and another threshold on them gives what the engine itself would have given."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import mrcfile
import numpy as np
import pytest
from tests import mask_flavours

from cryomamba.engines.api import Engine, EngineParameters, Labels, Tile
from cryomamba.engines.artifacts import ExportFormat
from cryomamba.engines.registry import Registry
from cryomamba.errors import CryoMambaError, ErrorCode, InvalidRequestError, VolumeError
from cryomamba.masks.region import Region
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba.models.jobs import SubmitRequest, VolumeSource
from cryomamba.synth import PhantomSpec, synthesize
from cryomamba.volumes import MaskWriter, blank_header, open_volume, write_volume
from cryomamba.volumes.header_encoder import own_label
from cryomamba_inference.engines.rethreshold import RethresholdEngine, RethresholdParameters
from cryomamba_inference.executor import InlineExecutor
from cryomamba_inference.local import LocalRunner
from cryomamba_inference.runner import Control, Outcome, Task, run_task

FLAVOURS = (*mask_flavours.GOOD, *mask_flavours.REFUSED)
ONE_SCORE = np.pad(np.full((1, 1, 1), 9, np.uint16), ((0, 3), (0, 3), (0, 3)))


class GradedParameters(EngineParameters):
    """Where the scores are cut."""

    high: int = 150
    low: int = 100


class Graded(Engine[GradedParameters]):
    """The darker, the higher the score."""

    name: ClassVar[str] = "graded"
    summary: ClassVar[str] = "Grades darkness"
    Parameters: ClassVar[type[EngineParameters]] = GradedParameters
    labels: Mapping[int, str] = {1: "dark"}
    keeps_scores: bool = True

    def __init__(self, parameters: GradedParameters) -> None:
        super().__init__(parameters)
        self.output = "scores"

    def thresholds(self) -> HysteresisThreshold:
        return HysteresisThreshold(self.parameters.high, self.parameters.low, 3)

    def predict(self, tile: Tile) -> Labels:
        return np.clip(-20 * tile.data[tile.core] + 60, 0, 255).astype(np.uint8)


def run(engine: Engine[Any], path: Path, folder: Path, recorder: Any, *, keep: bool = True) -> Outcome:
    folder.mkdir()
    with open_volume(path) as volume:
        task = Task(engine, volume, keep_scores=keep)
        return run_task(task, folder, InlineExecutor(), Control(), recorder)


def test_scores_are_kept_on_the_tomogram(make_volume: Callable[..., Path], tmp_path: Path, recorder: Any) -> None:
    """``scores.mrc`` holds 0 to 255 as they are, with the tomogram's voxel size; nothing else is left behind."""
    path = make_volume()
    outcome = run(Graded(GradedParameters()), path, tmp_path / "a", recorder)
    assert outcome.scores is not None
    assert outcome.thresholds == HysteresisThreshold(150, 100, 3)
    with mrcfile.open(outcome.scores) as kept, mrcfile.open(path) as density:
        assert int(kept.header.mode) == 6
        assert kept.voxel_size.x == density.voxel_size.x
        assert np.array_equal(kept.data, np.clip(-20 * density.data + 60, 0, 255).astype(np.uint8))
    assert sorted(file.name for file in (tmp_path / "a").iterdir()) == ["mask.mrc", "scores.mrc"]


def test_scores_are_kept_only_when_asked_for(make_volume: Callable[..., Path], tmp_path: Path, recorder: Any) -> None:
    """Without the wish for them, scores cost no disk."""
    outcome = run(Graded(GradedParameters()), make_volume(), tmp_path / "a", recorder, keep=False)
    assert outcome.scores is None
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["mask.mrc"]


@pytest.mark.parametrize(("high", "low"), [(150, 100), (200, 200), (90, 60)])
def test_another_threshold_is_as_good_as_another_run(
    make_volume: Callable[..., Path], tmp_path: Path, recorder: Any, high: int, low: int
) -> None:
    """Voxel for voxel, the cut scores equal the mask of an engine that was given those thresholds."""
    path = make_volume()
    scores = run(Graded(GradedParameters()), path, tmp_path / "a", recorder).scores
    assert scores is not None
    direct = run(Graded(GradedParameters(high=high, low=low)), path, tmp_path / "b", recorder)
    again = RethresholdEngine(RethresholdParameters(high=high, low=low, min_volume_nm3=3))
    moved = run(again, scores, tmp_path / "c", recorder)
    with mrcfile.open(direct.mask) as one, mrcfile.open(moved.mask) as other:
        assert one.data.any()
        assert np.array_equal(one.data, other.data)
        assert one.voxel_size.x == other.voxel_size.x


def test_what_is_no_score_map(make_volume: Callable[..., Path], tmp_path: Path, recorder: Any) -> None:
    """A tomogram is refused, and a lower threshold above the higher one."""
    engine = RethresholdEngine(RethresholdParameters(high=100))
    with pytest.raises(VolumeError, match="not a score map"):
        run(engine, make_volume(), tmp_path / "a", recorder)
    with pytest.raises(InvalidRequestError, match="above") as caught:
        RethresholdEngine(RethresholdParameters(high=100, low=101))
    assert caught.value.code == ErrorCode.INVALID_PARAMETERS


def run_on(path: Path, folder: Path, recorder: Any) -> Outcome:
    return run(RethresholdEngine(RethresholdParameters(high=1)), path, folder, recorder)


@pytest.mark.parametrize("stored", [(0, 1), (0, 255), (1,), (0, 1, 2, 3)])
def test_a_mask_is_not_a_score_map(tmp_path: Path, recorder: Any, stored: tuple[int, ...]) -> None:
    """A file that does not say what it is, with the values of a mask, is refused with a hint."""
    voxels = np.resize(np.array(stored, np.uint16), (4, 5, 6))
    write_volume(tmp_path / "m.mrc", voxels, 10.0, dtype="uint16")
    with pytest.raises(VolumeError, match=f"its only values are {', '.join(map(str, stored))}, as in a mask") as caught:
        run_on(tmp_path / "m.mrc", tmp_path / "a", recorder)
    assert "cryomamba clean" in caught.value.hint


def test_the_header_says_whether_it_is_a_mask(tmp_path: Path, recorder: Any) -> None:
    """A mask of CryoMamba is refused whatever its labels are, and a score map with few values is not."""
    for name, what in (("mask", "instance mask"), ("scores", "scores")):
        with MaskWriter(tmp_path / f"{name}.mrc", blank_header((4, 4, 4)), labels=255, engine="x", what=what) as file:
            file.write(0, 0, 0, np.arange(64, dtype=np.uint16).reshape(4, 4, 4) if name == "mask" else ONE_SCORE)
    with pytest.raises(VolumeError, match="its header says that it is a mask"):
        run_on(tmp_path / "mask.mrc", tmp_path / "a", recorder)
    assert mrcfile.read(run_on(tmp_path / "scores.mrc", tmp_path / "b", recorder).mask).sum() == 1


# With labels of 1 and 255 a file could be a score map.
@pytest.mark.parametrize("flavour", [name for name in FLAVOURS if mask_flavours.EXPECTED.get(name, {}).get(2) != 255])
def test_no_flavour_of_a_mask_is_a_score_map(tmp_path: Path, recorder: Any, flavour: str) -> None:
    """Masks of other programs are refused as score maps, too."""
    with pytest.raises(VolumeError):
        run_on(mask_flavours.write(tmp_path / "m.mrc", flavour), tmp_path / "a", recorder)


@pytest.mark.parametrize("labels", [(), (own_label("membrane scores"), "newstack: Images copied")])
@pytest.mark.parametrize("flavour", list(mask_flavours.SCORES))
def test_every_flavour_of_a_score_map(tmp_path: Path, recorder: Any, flavour: str, labels: tuple[str, ...]) -> None:
    """Whatever program stored the scores, and in whatever type, the same voxels are above the threshold."""
    path = mask_flavours.write(tmp_path / "s.mrc", flavour, *labels)
    engine = RethresholdEngine(RethresholdParameters(high=200, low=100))
    mask = mrcfile.read(run(engine, path, tmp_path / "a", recorder).mask)
    assert np.array_equal(mask, mask_flavours.scores() >= 100)


def test_low_scores_that_went_through_imod(tmp_path: Path, recorder: Any) -> None:
    """IMOD's signed bytes of which none is negative are scores as stored, as they would be labels."""
    with open_volume(mask_flavours.write(tmp_path / "s.mrc", "another program's mask through IMOD")) as volume:
        assert volume.header.imod_signed
    low = np.minimum(mask_flavours.scores(), 127).astype(np.int8)
    raw = (tmp_path / "s.mrc").read_bytes()[:1024] + low.tobytes()
    (tmp_path / "low.mrc").write_bytes(raw)
    engine = RethresholdEngine(RethresholdParameters(high=100))
    assert np.array_equal(mrcfile.read(run(engine, tmp_path / "low.mrc", tmp_path / "a", recorder).mask), low >= 100)


@pytest.mark.parametrize("flavour", list(mask_flavours.REFUSED_SCORES))
def test_refused_score_maps(tmp_path: Path, recorder: Any, flavour: str) -> None:
    """Values that are no scores are refused, with the values."""
    why = mask_flavours.REFUSED_SCORES[flavour][2]
    with pytest.raises(VolumeError, match=f"not a score map.*{why}") as caught:
        run_on(mask_flavours.write(tmp_path / "m.mrc", flavour), tmp_path / "a", recorder)
    assert caught.value.hint


def test_a_region_does_not_change_how_bytes_are_read(tmp_path: Path, recorder: Any) -> None:
    """IMOD's signed bytes are recognised by the whole file, even if all scores inside the region are high."""
    path = mask_flavours.write(tmp_path / "s.mrc", "scores: IMOD's signed bytes")
    inside = (mask_flavours.scores() >= 200).astype(np.uint8)
    (tmp_path / "a").mkdir()
    with open_volume(path) as volume:
        engine = RethresholdEngine(RethresholdParameters(high=1))
        task = Task(engine, volume, within=Region.of_array(inside))
        outcome = run_task(task, tmp_path / "a", InlineExecutor(), Control(), recorder)
    assert np.array_equal(mrcfile.read(outcome.mask), inside)


def test_locally_scores_come_with_the_mask(
    make_volume: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A local run writes them next to the mask, and says so of an engine that keeps none."""
    registry = Registry({"graded": Graded, **Registry.discover().engines})
    monkeypatch.setattr(Registry, "discover", staticmethod(lambda _=None: registry))
    path = make_volume()

    def segment(engine: str) -> tuple[Path, ...]:
        request = SubmitRequest(volume=VolumeSource(path=str(path)), engine=engine)
        runner, out = LocalRunner(processes=1), tmp_path / "m.mrc"
        events = {"on_event": lambda _: None, "cancelled": lambda: False}
        return runner.run(path, request, output=out, formats=("scores",), **events).exports  # type: ignore[arg-type]

    assert segment("graded") == (tmp_path / "m_scores.mrc",)
    assert (tmp_path / "m_scores.mrc").exists()
    with pytest.raises(CryoMambaError, match="does not keep"):
        segment("threshold")


@pytest.mark.parametrize("cut", [70, 95])
def test_particles_come_with_their_places(tmp_path: Path, cut: int) -> None:
    """Cut lower or higher, scores of particles give the very places and mask of a run with that threshold."""
    made = {"particles": 12, "particle_diameter_A": 250.0, "vesicles": 1, "fiducials": 0, "noise": 1.0}
    spec = PhantomSpec(shape=(48, 80, 80), voxel_size_A=14.0, seed=35, **made)
    write_volume(tmp_path / "t.mrc", synthesize(spec).density, spec.voxel_size_A)

    def segment(source: str, engine: str, formats: tuple[ExportFormat, ...], **params: Any) -> tuple[Any, bytes]:
        request = SubmitRequest(volume=VolumeSource(path=str(tmp_path / source)), engine=engine, params=params)
        output = tmp_path / f"{engine}{params}.mrc"
        events = {"on_event": lambda _: None, "cancelled": lambda: False}
        result = LocalRunner(processes=1).run(tmp_path / source, request, output=output, formats=formats, **events)  # type: ignore[arg-type]
        with open_volume(result.mask) as mask:
            rows = csv.DictReader(result.exports[0].read_text().splitlines())
            places = [(row["z"], row["y"], row["x"], row["score"]) for row in rows]
            return places, mask.read(*(slice(None),) * 3).tobytes()

    segment("t.mrc", "particles", ("csv", "scores", "candidates"))
    (tmp_path / "particles{}_scores.mrc").rename(tmp_path / "p_scores.mrc")
    (tmp_path / "particles{}_candidates.csv").rename(tmp_path / "p_candidates.csv")
    again = segment("p_scores.mrc", "rethreshold", ("csv",), high=cut)
    assert again == segment("t.mrc", "particles", ("csv",), threshold=cut)
    assert len(again[0]) > 5
    with pytest.raises(InvalidRequestError, match="does not pick"):
        segment("t.mrc", "rethreshold", ("csv",), high=cut)
