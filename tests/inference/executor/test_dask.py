"""Tiles on a Dask cluster: the same bytes, what is lost is done again, and words for what does not fit."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.inference.executor.dask_processes import DaskProcesses
from tests.inference.trained_models.networks import convolution, write_toml

from cryomamba.engines.api import Tile
from cryomamba.engines.registry import Registry
from cryomamba.errors import ErrorCode, InvalidRequestError, JobFailedError, UnavailableError
from cryomamba.synth import PhantomSpec, synthesize
from cryomamba.testing import wait_until
from cryomamba.volumes import open_volume, write_volume
from cryomamba_inference.executor import DaskExecutor, InlineExecutor, Result, TileExecutor
from cryomamba_inference.executor.dask_worker import own_versions, require_versions
from cryomamba_inference.failures import EngineFailedError, UnreadableFileError
from cryomamba_inference.runner import Control, Task, run_task

pytestmark = pytest.mark.slow
LONG_S = 600

ENGINES = """
import os, signal
from pathlib import Path
import numpy as np
from cryomamba.engines.api import Engine, EngineParameters, Tile
from cryomamba.testing import wait_until


def numbered(number):
    data = np.full((4, 5, 6), number, np.float32)
    return Tile(data, (slice(0, 4), slice(0, 5), slice(0, 6)), (number, 0, 0), (4, 5, 6))


class Base(Engine):
    name = summary = "test"
    Parameters = EngineParameters
    labels = {1: "a"}

    def __init__(self, folder=None):
        super().__init__(EngineParameters())
        self.folder = folder


class Doubling(Base):
    def predict(self, tile):
        return (2 * tile.data[tile.core]).astype(np.uint16)


class Waiting(Doubling):
    # Until somebody opens the gate.
    def predict(self, tile):
        (Path(self.folder) / f"begun-{tile.start[0]}-{os.getpid()}").touch()
        wait_until((Path(self.folder) / "gate").exists, timeout=600, what="the gate")
        return super().predict(tile)


class Dying(Base):
    def predict(self, tile):
        os.kill(os.getpid(), signal.SIGKILL)


class Raising(Base):
    def predict(self, tile):
        raise ZeroDivisionError


def reciprocal(number):
    return 1 / number
"""


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a module of engines, which this process and the workers can import."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "dask_engines.py").write_text(ENGINES)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder
    sys.modules.pop("dask_engines", None)


@pytest.fixture(scope="module")
def engines(modules: Path) -> Any:
    import dask_engines  # type: ignore[import-not-found]

    return dask_engines


@pytest.fixture(scope="module")
def cluster(modules: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskProcesses]:
    """A scheduler with two workers, which stay alive."""
    with DaskProcesses(tmp_path_factory.mktemp("cluster"), modules) as processes:
        processes.start_workers(2)
        yield processes


@pytest.fixture
def mortal(modules: Path, tmp_path: Path) -> Iterator[DaskProcesses]:
    """A scheduler of a single test."""
    (tmp_path / "mortal").mkdir()
    with DaskProcesses(tmp_path / "mortal", modules) as processes:
        yield processes


@pytest.fixture
def connected(tmp_path: Path) -> Iterator[Callable[..., DaskExecutor]]:
    """Connect executors, and close them at the end."""
    opened: list[DaskExecutor] = []

    def connect(cluster: DaskProcesses, **options: Any) -> DaskExecutor:
        opened.append(DaskExecutor(cluster.address, 1, **options))
        opened[-1].connect([], tmp_path)
        return opened[-1]

    yield connect
    for executor in opened:
        executor.close()


def begin(executor: TileExecutor, engine: Any, load: Callable[[Any], Tile]) -> None:
    executor.begin(engine, load, tile_voxels=120, result_nbytes=240)


def collect(executor: TileExecutor, count: int) -> list[Result]:
    """Return so many results, in the order of their indices."""
    results: list[Result] = []
    wait_until(lambda: len(results.__iadd__(executor.completed(0.1))) >= count, timeout=LONG_S, what="all tiles")
    return sorted(results, key=lambda result: result.index)


def require_doubled(results: list[Result]) -> None:
    for result in results:
        assert result.labels.dtype == np.uint16
        assert np.array_equal(result.labels, np.full((4, 5, 6), 2 * result.index))


def test_tiles_are_computed_by_all_workers(
    engines: Any, cluster: DaskProcesses, connected: Callable[..., DaskExecutor], tmp_path: Path
) -> None:
    """Each worker has two tiles in hand at most; all results come back, and nothing stays on the cluster."""
    executor = connected(cluster)
    begin(executor, engines.Waiting(str(tmp_path)), engines.numbered)
    assert executor.free_slots == 4
    for number in range(4):
        executor.submit(number, number)
    assert executor.free_slots == 0
    wait_until(lambda: len(list(tmp_path.glob("begun-*"))) == 2, timeout=LONG_S, what="a tile on each worker")
    assert len({path.name.rpartition("-")[2] for path in tmp_path.glob("begun-*")}) == 2
    (tmp_path / "gate").touch()
    require_doubled(collect(executor, 4))
    executor.end()
    wait_until(lambda: cluster.tasks() == 0, timeout=LONG_S, what="an empty scheduler")
    assert executor.dashboard_url is not None
    assert executor.dashboard_url.startswith("http://127.0.0.1:")
    assert not list(tmp_path.glob("shared-*"))


def test_a_cancelled_job_leaves_no_task(
    engines: Any, cluster: DaskProcesses, connected: Callable[..., DaskExecutor], tmp_path: Path
) -> None:
    """Tasks that wait are cancelled at once, those that run end with their tile, and the next job is computed."""
    executor = connected(cluster)
    begin(executor, engines.Waiting(str(tmp_path)), engines.numbered)
    for number in range(4):
        executor.submit(number, number)
    wait_until(lambda: len(list(tmp_path.glob("begun-*"))) == 2, timeout=LONG_S, what="a tile on each worker")
    executor.end()
    (tmp_path / "gate").touch()
    wait_until(lambda: cluster.busy() == 0 and cluster.tasks() == 0, timeout=LONG_S, what="an idle cluster")
    assert len(list(tmp_path.glob("begun-*"))) == 2
    begin(executor, engines.Doubling(), engines.numbered)
    executor.submit(7, 7)
    require_doubled(collect(executor, 1))


def test_a_function_is_spread_over_the_workers(
    engines: Any, cluster: DaskProcesses, connected: Callable[..., DaskExecutor]
) -> None:
    """Answers come in the order of the items, errors as they are, and an abandoned iterator leaves no task."""
    executor = connected(cluster)
    assert list(executor.map(engines.reciprocal, range(1, 12))) == [1 / number for number in range(1, 12)]
    with pytest.raises(EngineFailedError, match="ZeroDivisionError"):
        list(executor.map(engines.reciprocal, [1, 0, 1]))
    abandoned = executor.map(engines.reciprocal, range(1, 1000))
    next(abandoned)
    abandoned.close()  # type: ignore[attr-defined]
    assert list(executor.map(engines.reciprocal, [4])) == [0.25]
    wait_until(lambda: cluster.tasks() == 0, timeout=LONG_S, what="an empty scheduler")


def test_an_error_of_an_engine_comes_through(
    engines: Any, cluster: DaskProcesses, connected: Callable[..., DaskExecutor]
) -> None:
    """An exception of an engine is the typed error that it is on this machine, with the worker's traceback."""
    executor = connected(cluster)
    begin(executor, engines.Raising(), engines.numbered)
    executor.submit(0, 0)
    with pytest.raises(EngineFailedError) as caught:
        collect(executor, 1)
    assert "in predict" in caught.value.trace


def test_tiles_of_a_killed_worker_are_computed_again(
    engines: Any, mortal: DaskProcesses, connected: Callable[..., DaskExecutor], tmp_path: Path
) -> None:
    """SIGKILL of a worker in the middle of a tile: the other one computes its tiles, and none is missing."""
    mortal.start_workers(2)
    executor = connected(mortal)
    begin(executor, engines.Waiting(str(tmp_path)), engines.numbered)
    for number in range(4):
        executor.submit(number, number)
    wait_until(lambda: len(list(tmp_path.glob("begun-*"))) == 2, timeout=LONG_S, what="a tile on each worker")
    mortal.kill_worker(0)
    (tmp_path / "gate").touch()
    require_doubled(collect(executor, 4))


def test_a_tile_that_kills_its_workers_fails_the_job(
    engines: Any, mortal: DaskProcesses, connected: Callable[..., DaskExecutor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tile is not given to one worker after the other for ever: the job fails, and may be retried."""
    monkeypatch.setitem(mortal._environment, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")
    mortal.kill_scheduler()
    mortal.start_scheduler()
    mortal.start_workers(1)
    executor = connected(mortal)
    begin(executor, engines.Dying(), engines.numbered)
    executor.submit(0, 0)
    with pytest.raises(JobFailedError) as caught:
        collect(executor, 1)
    assert (caught.value.code, caught.value.retryable) == (ErrorCode.WORKER_LOST, True)


def test_a_restarted_scheduler_gets_the_tiles_again(
    engines: Any, mortal: DaskProcesses, connected: Callable[..., DaskExecutor], tmp_path: Path
) -> None:
    """SIGKILL of the scheduler, with which its workers end: once there are new ones, all tiles are computed."""
    mortal.start_workers(1)
    executor = connected(mortal, patience_s=LONG_S)
    begin(executor, engines.Waiting(str(tmp_path)), engines.numbered)
    for number in range(2):
        executor.submit(number, number)
    wait_until(lambda: len(list(tmp_path.glob("begun-*"))) == 1, timeout=LONG_S, what="a tile on the worker")
    (tmp_path / "gate").touch()
    mortal.kill_scheduler()
    results = executor.completed(0.1)
    executor.submit(2, 2)
    mortal.start_scheduler()
    mortal.start_workers(1)
    results += collect(executor, 3 - len(results))
    assert {result.index for result in results} == {0, 1, 2}
    require_doubled(results)


def test_a_scheduler_that_stays_away_fails_the_job(
    engines: Any, mortal: DaskProcesses, connected: Callable[..., DaskExecutor], tmp_path: Path
) -> None:
    """After a while without a scheduler, or without any worker, the job fails and may be retried."""
    executor = connected(mortal, patience_s=1)
    begin(executor, engines.Doubling(), engines.numbered)
    executor.submit(0, 0)
    with pytest.raises(JobFailedError, match="No worker is connected") as caught:
        collect(executor, 1)
    assert (caught.value.code, caught.value.retryable) == (ErrorCode.WORKER_LOST, True)
    executor.end()
    begin(executor, engines.Doubling(), engines.numbered)
    executor.submit(0, 0)
    mortal.kill_scheduler()
    with pytest.raises(JobFailedError, match="The connection was lost") as caught:
        collect(executor, 1)
    assert (caught.value.code, caught.value.retryable) == (ErrorCode.WORKER_LOST, True)


def test_a_scheduler_that_does_not_answer(tmp_path: Path) -> None:
    """The error names the address, and may be retried; a scheduler file that is missing is named likewise."""
    for address in ("tcp://127.0.0.1:9", str(tmp_path / "scheduler.json")):
        with pytest.raises(UnavailableError) as caught:
            DaskExecutor(address, 1).connect([], tmp_path)
        assert address in caught.value.message
        assert caught.value.retryable


def test_dask_s_own_configuration(cluster: DaskProcesses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """'config' takes the scheduler from Dask's configuration; a configuration without one is refused."""
    import dask

    with pytest.raises(InvalidRequestError, match="names no scheduler"):
        DaskExecutor("config", 1).connect([], tmp_path)
    with dask.config.set({"scheduler-address": cluster.address}):
        executor = DaskExecutor("config", 1)
        executor.connect([], tmp_path)
        assert executor.dashboard_url is not None
        executor.close()


def test_a_file_that_a_worker_does_not_see(cluster: DaskProcesses, tmp_path: Path) -> None:
    """The error names the worker and the file, before anything is computed; its path is for local users alone."""
    executor = DaskExecutor(cluster.address, 1)
    with pytest.raises(UnreadableFileError) as caught:
        executor.connect([tmp_path / "elsewhere.mrc"], tmp_path)
    executor.close()
    assert any(f"worker {worker} cannot read elsewhere.mrc" in str(caught.value) for worker in cluster.nthreads())
    assert str(tmp_path) not in str(caught.value)
    assert str(tmp_path / "elsewhere.mrc") in str(caught.value.for_local_run())


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"cryomamba": None}, "CryoMamba is not installed where the Dask worker tcp://w:1 runs"),
        ({"numpy": "1.0"}, "The Dask worker tcp://w:1 has numpy 1.0"),
        ({"onnxruntime": None}, "has no onnxruntime"),
        ({"python": "3.9"}, "has Python 3.9"),
    ],
)
def test_a_worker_with_other_packages_is_refused(found: dict[str, str | None], words: str) -> None:
    """The error names the worker, and which package is missing or has another version."""
    here = own_versions()
    require_versions(here, dict(here), "tcp://w:1")
    with pytest.raises(InvalidRequestError, match=words):
        require_versions(here, {**here, **found}, "tcp://w:1")


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Dask is not installed, the error says what to install."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InvalidRequestError) as caught:
        DaskExecutor("tcp://127.0.0.1:9", 1).connect([], tmp_path)
    assert "pip install 'cryomamba[dask]'" in caught.value.hint


@pytest.fixture
def tomogram(tmp_path: Path) -> Path:
    """A small phantom with membranes."""
    phantom = synthesize(PhantomSpec(shape=(24, 120, 120), voxel_size_A=14.0, noise=1.0))
    write_volume(tmp_path / "t.mrc", phantom.density, phantom.voxel_size_A)
    return tmp_path / "t.mrc"


def segmented(
    path: Path, name: str, params: dict[str, Any], folder: Path, executor: TileExecutor, events: Any
) -> bytes:
    folder.mkdir()
    engine = Registry.discover().create(name, params)
    with open_volume(path) as volume:
        outcome = run_task(Task(engine, volume, keep_scores=True), folder, executor, Control(), events)
    scores = b"" if outcome.scores is None else outcome.scores.read_bytes()
    return outcome.mask.read_bytes() + scores


@pytest.mark.parametrize("name", ["membrane", "threshold", "onnx"])
def test_the_mask_is_the_same(
    name: str, tomogram: Path, cluster: DaskProcesses, tmp_path: Path, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster gives the file that this process gives; its dashboard is in the progress."""
    engine = Registry.discover().get(name)
    monkeypatch.setattr(engine, "max_tile_bytes", lambda _self, _size: 4 * 24 * 70 * 70)
    params: dict[str, Any] = {}
    if name == "onnx":
        model = write_toml(tmp_path / "model", window=24, normalization="zero_mean_unit_variance")
        convolution(model / "net.onnx")
        params = {"model": str(model)}
    here = segmented(tomogram, name, params, tmp_path / "here", InlineExecutor(), recorder)
    assert recorder.reports[-1].dashboard_url is None
    executor = DaskExecutor(cluster.address, 1)
    try:
        there = segmented(tomogram, name, params, tmp_path / "there", executor, recorder)
    finally:
        executor.close()
    assert here == there
    assert recorder.reports[-1].dashboard_url == executor.dashboard_url
    assert recorder.reports[-1].total_tiles > 3


def test_one_worker_gives_the_same(
    tomogram: Path, mortal: DaskProcesses, tmp_path: Path, recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of workers, and of their threads, changes no byte."""
    monkeypatch.setattr(Registry.discover().get("threshold"), "max_tile_bytes", lambda _self, _size: 4 * 24 * 70 * 70)
    mortal.start_workers(1, threads=2)
    here = segmented(tomogram, "threshold", {"sigma_A": 20.0}, tmp_path / "here", InlineExecutor(), recorder)
    executor = DaskExecutor(mortal.address, 1)
    try:
        there = segmented(tomogram, "threshold", {"sigma_A": 20.0}, tmp_path / "there", executor, recorder)
    finally:
        executor.close()
    assert here == there
