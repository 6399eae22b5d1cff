"""The uncertainty of engines that predict windows: the entropy of what all members, mirrorings and windows say."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import numpy.typing as npt
import pytest
from scipy import special, stats
from tests.inference.windows import windowed
from tests.inference.windows.test_window_run import SHAPE, positions
from tests.inference.windows.windowed import NoParameters, ResampledEngine, SigmoidEngine, SmoothEngine

from cryomamba.engines.windows import Scores, WindowEngine
from cryomamba.masks.region import Region
from cryomamba.volumes import open_volume, write_volume
from cryomamba_inference.executor import InlineExecutor, ProcessExecutor, TileExecutor
from cryomamba_inference.runner import Control, Task, run_task
from cryomamba_inference.windows.grid import NetworkGrid

WANTED = NoParameters(uncertainty=True)


class CertainEngine(SmoothEngine):
    """Gives probabilities in place of logits."""

    name = "certain"
    logits = False

    def predict_window(self, data: npt.NDArray[np.float32], member: int) -> Scores:
        return np.asarray(special.softmax(super().predict_window(data, member), axis=0), np.float32)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """Write a volume of smooth noise with voxels of 10 Å."""
    values = np.random.default_rng(8).normal(size=SHAPE).astype(np.float32)
    write_volume(tmp_path / "t.mrc", values * 3 + 100, 10.0)
    return tmp_path / "t.mrc"


def files_of(
    path: Path,
    engine: WindowEngine[Any],
    folder: Path,
    watcher: Any,
    *,
    executor: TileExecutor | None = None,
    **task: Any,
) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    """Run an engine, and return its mask and its uncertainty."""
    folder.mkdir()
    with open_volume(path) as opened:
        outcome = run_task(Task(engine, opened, **task), folder, executor or InlineExecutor(), Control(), watcher)
    if outcome.uncertainty is None:
        return mrcfile.read(outcome.mask), None
    return mrcfile.read(outcome.mask), mrcfile.read(outcome.uncertainty)


def votes_of(engine: WindowEngine[Any], window: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float64]]:
    """Return the probabilities of each member and mirroring for a window, each by itself."""
    axes = [" zyx".index(axis) for axis in engine.mirror]
    found = []
    for member, count in itertools.product(range(engine.members), range(len(axes) + 1)):
        for flipped in itertools.combinations(axes, count):
            turned = np.flip(window[None], flipped)[0]
            scores = np.flip(engine.predict_window(turned, member).astype(np.float64), flipped)
            if engine.logits:
                scores = special.softmax(scores, axis=0) if engine.scoring == "softmax" else special.expit(scores)
            found.append(scores)
    return found


def expected_percent(path: Path, engine: WindowEngine[Any]) -> npt.NDArray[np.float64]:
    """Compute the entropy with arrays of the whole volume, in 64 bits, of the votes themselves."""
    with open_volume(path) as opened:
        data, size = opened.read(slice(None), slice(None), slice(None)), opened.header.voxel_size_A
    grid = NetworkGrid.of(data.shape, size, engine.network_voxel_size_A, 0.05)
    z, y, x = ((0, count) for count in grid.nodes)
    nodes = grid.resample(data.__getitem__, (z, y, x))
    total, weights = np.zeros((engine.channels, *nodes.shape)), np.zeros(nodes.shape)
    bells = [np.maximum(np.exp(-0.5 * ((np.arange(w) - (w - 1) / 2) / (w / 8)) ** 2), 1e-6) for w in engine.window]
    bell = bells[0][:, None, None] * bells[1][:, None] * bells[2]
    for start in itertools.product(
        *(positions(n, w, o) for n, w, o in zip(nodes.shape, engine.window, engine.overlap, strict=True))
    ):
        at = tuple(slice(s, s + w) for s, w in zip(start, engine.window, strict=True))
        total[(slice(None), *at)] += np.mean(votes_of(engine, engine.normalize(nodes[at])), axis=0) * bell
        weights[at] += bell
    z, y, x = ((0, count) for count in data.shape)
    mean = grid.interpolate((total / weights).astype(np.float32), (0, 0, 0), (z, y, x)).astype(np.float64)
    if engine.scoring == "softmax":
        return np.asarray(100 * stats.entropy(mean, axis=0, base=engine.channels))
    return np.asarray(100 * np.max([stats.entropy([p, 1 - p], axis=0, base=2) for p in mean], axis=0))


@pytest.mark.parametrize("make", [SmoothEngine, SigmoidEngine, ResampledEngine, CertainEngine])
def test_it_is_the_entropy_of_the_mean_of_all_votes(make: Any, volume: Path, tmp_path: Path, recorder: Any) -> None:
    """What the runner writes is the entropy that the members' own outputs have, rounded to a percent."""
    engine = make(WANTED)
    engine.mirror, engine.members = ("z", "x"), 2
    _, percent = files_of(volume, engine, tmp_path / "run", recorder)
    expected = expected_percent(volume, engine)
    assert percent is not None
    assert np.abs(percent - expected).max() < 0.51
    assert expected.max() - expected.min() > 50


def test_members_that_contradict_each_other_are_seen(volume: Path, tmp_path: Path, recorder: Any) -> None:
    """One is certain of the label and the other against it, though less: their mean logit would be certain."""

    class Contrary(SmoothEngine):
        def predict_window(self, data: npt.NDArray[np.float32], member: int) -> Scores:
            logit = np.full_like(data, 30.0 if member else -8.0)
            return np.stack([-logit / 2, logit / 2])

    engine = Contrary(WANTED, labels=1)
    engine.members = 2
    mask, percent = files_of(volume, engine, tmp_path / "run", recorder)
    assert mask.all()
    assert percent is not None
    assert (percent == 100).all()


def test_the_mask_is_the_same_with_and_without(volume: Path, tmp_path: Path, recorder: Any) -> None:
    """To ask for the uncertainty changes no byte of the mask, and without it there is no file."""
    with_it, without = SmoothEngine(WANTED), SmoothEngine()
    _, percent = files_of(volume, with_it, tmp_path / "with", recorder)
    _, none = files_of(volume, without, tmp_path / "without", recorder)
    assert percent is not None
    assert none is None
    assert (tmp_path / "with" / "mask.mrc").read_bytes() == (tmp_path / "without" / "mask.mrc").read_bytes()
    assert [path.name for path in (tmp_path / "without").iterdir()] == ["mask.mrc"]


def test_processes_and_focus_do_not_change_a_byte(
    volume: Path, tmp_path: Path, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process and two, from either end, write the same file."""
    monkeypatch.syspath_prepend(str(Path(windowed.__file__).parent))
    files_of(volume, SmoothEngine(WANTED), tmp_path / "a", recorder)
    pool = ProcessExecutor(2)
    try:
        files_of(volume, SmoothEngine(WANTED), tmp_path / "b", recorder, executor=pool, focus=(29.0, 0.0, 36.0))
    finally:
        pool.close()
    assert (tmp_path / "a/uncertainty.mrc").read_bytes() == (tmp_path / "b/uncertainty.mrc").read_bytes()


def test_nothing_is_uncertain_outside_of_the_region_or_in_padding(tmp_path: Path, recorder: Any) -> None:
    """What is not segmented has no uncertainty."""
    values = np.full(SHAPE, 7, np.float32)
    values[:, :12] = np.random.default_rng(1).normal(size=(30, 12, 37)) + 7
    write_volume(tmp_path / "padded.mrc", values, 10.0)
    inside = np.ones(SHAPE, np.uint8)
    inside[:9] = 0
    _, percent = files_of(
        tmp_path / "padded.mrc", SmoothEngine(WANTED), tmp_path / "run", recorder, within=Region.of_array(inside)
    )
    assert percent is not None
    assert percent[9:, :8].any()
    assert not percent[:9].any()
    assert not percent[:, 30:].any()


def test_the_header_is_that_of_the_tomogram(volume: Path, tmp_path: Path, recorder: Any) -> None:
    """Grid and placement are the tomogram's; bytes below 128 are the same to programs that read them as signed."""
    files_of(volume, SmoothEngine(WANTED), tmp_path / "run", recorder)
    with mrcfile.open(tmp_path / "run/uncertainty.mrc") as found, mrcfile.open(volume) as tomogram:
        assert found.is_volume()
        assert found.header.mode == 0
        assert found.voxel_size == tomogram.voxel_size
        assert found.header.origin == tomogram.header.origin
        assert (found.header.dmin, found.header.dmax) == (found.data.min(), found.data.max())
        labels = [str(label) for label in found.get_labels()]
    assert labels[-2] == "Uncertainty: predictive entropy, percent of the largest (0-100)"
    assert labels[-1].endswith("smooth uncertainty")
    assert mrcfile.validate(tmp_path / "run/uncertainty.mrc")
