"""Workers of a Dask cluster that do not see the tomograms: they read them from the gateway, as OME-Zarr."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
from tests.inference.executor.dask_processes import DaskProcesses

import cryomamba
from cryomamba.engines.registry import Registry
from cryomamba.errors import AccessError, CryoMambaError, InvalidRequestError, VolumeError
from cryomamba.testing import Stack, wait_until
from cryomamba.volumes import open_volume
from cryomamba_gateway.volumes.input_ids import input_id
from cryomamba_inference.executor import DaskExecutor, InlineExecutor, TileExecutor
from cryomamba_inference.executor.served_volume import ServedVolume
from cryomamba_inference.runner import Control, Task, run_task
from cryomamba_inference.runner.tile_loop import TileReader
from cryomamba_inference.tiling import plan_tiles
from cryomamba_server.tokens import Scope, TokenStore

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="mount namespaces are Linux's")]
SHAPE = (40, 150, 170)
PARAMS = {"sigma_A": 20.0}
LONG_S = 600


@dataclass
class Site:
    """A folder of tomograms that the gateway sees and the workers do not, and what is running."""

    tomograms: Path
    stack: Stack
    token: str
    cluster: DaskProcesses

    def tomogram(self, name: str, dtype: str = "float32") -> Path:
        """Write a tomogram with the same voxels for each name."""
        path = self.tomograms / f"{name}.mrc"
        noise = np.random.default_rng(len(name)).normal(20.0, 9.0, SHAPE)
        with mrcfile.new(path) as mrc:
            mrc.set_data(noise.astype(dtype))
            mrc.voxel_size = 10.0
        return path

    def url(self, path: Path) -> str:
        """Return where the gateway serves a tomogram."""
        return f"{self.stack.http_url}/v1/zarr/0.5/inputs/{input_id(str(path))}.ome.zarr"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with tokens whose jobs are computed on a cluster, and the cluster."""
    folder = tmp_path_factory.mktemp("site")
    for name in ("tomograms", "cluster"):
        (folder / name).mkdir()
    with Stack(folder / "home", roots=[folder / "tomograms"]) as stack:
        token = TokenStore(folder / "home" / "keys").create("root", [Scope.ADMIN], days=1)[0]
        with DaskProcesses(folder / "cluster", hidden=folder / "tomograms") as cluster:
            cluster.start_workers(2)
            stack.env_of["inference"] = {
                "CRYOMAMBA_DASK": cluster.address,
                "CRYOMAMBA_DASK_VOLUMES": stack.http_url,
                "CRYOMAMBA_TOKEN": token,
            }
            stack.start().wait_ready()
            yield Site(folder / "tomograms", stack, token, cluster)


@pytest.fixture
def connected(site: Site) -> Iterator[Callable[..., DaskExecutor]]:
    """Make executors for the cluster, and close them at the end."""
    opened: list[DaskExecutor] = []

    def connect(volumes: str | None, token: str | None) -> DaskExecutor:
        opened.append(DaskExecutor(site.cluster.address, 1, volumes=volumes, token=token))
        return opened[-1]

    yield connect
    for executor in opened:
        executor.close()


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Registry.discover().get("threshold"), "max_tile_bytes", lambda *_: 4 * 40 * 70 * 70)


def segmented(path: Path, folder: Path, executor: TileExecutor, events: Any) -> bytes:
    folder.mkdir()
    with open_volume(path) as volume:
        task = Task(Registry.discover().create("threshold", PARAMS), volume)
        return run_task(task, folder, executor, Control(), events).mask.read_bytes()


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "float32", "float16"])
def test_the_mask_is_the_same(
    dtype: str, site: Site, connected: Callable[..., DaskExecutor], tmp_path: Path, recorder: Any, small_tiles: None
) -> None:
    """Of voxels of every type, workers that read over HTTP make the file that this process makes from the path."""
    path = site.tomogram(dtype, dtype)
    there = segmented(path, tmp_path / "there", connected(site.url(path), site.token), recorder)
    assert recorder.reports[-1].total_tiles > 3
    assert there == segmented(path, tmp_path / "here", InlineExecutor(), recorder)


def test_a_worker_gets_every_voxel(site: Site, connected: Callable[..., DaskExecutor], tmp_path: Path) -> None:
    """Each tile that a worker reads has the bytes that are in the file, over the borders of chunks, too."""
    path = site.tomogram("voxels")
    with open_volume(path) as volume:
        executor = connected(site.url(path), site.token)
        executor.connect([], tmp_path, volume)
        plan, read = plan_tiles(SHAPE, halo=(5, 9, 7), tile_bytes=4 * 40 * 70 * 70), TileReader(volume, 0)
        tiles = list(executor.map(read, plan))
        assert len(tiles) > 3
        for spec, tile in zip(plan, tiles, strict=True):
            assert tile.data.tobytes() == mrcfile.read(path)[spec.read].tobytes()


def test_a_job_of_a_server(site: Site, tmp_path: Path, recorder: Any) -> None:
    """A job is computed on a cluster that sees nothing of the tomogram but what the gateway serves."""
    path = site.tomogram("job")
    with cryomamba.connect(site.stack.http_url, token=site.token) as client:
        job = client.submit(path, engine="threshold", params=PARAMS)
        job.wait(timeout=LONG_S)
        there = job.download(tmp_path / "there.mrc").read_bytes()
    here = segmented(path, tmp_path / "here", InlineExecutor(), recorder)
    assert np.array_equal(mrcfile.read(tmp_path / "there.mrc"), mrcfile.read(tmp_path / "here" / "mask.mrc"))
    assert there[1024:] == here[1024:]


def test_a_gateway_that_is_restarted(site: Site, connected: Callable[..., DaskExecutor], tmp_path: Path) -> None:
    """A worker asks again until the gateway is back."""
    path = site.tomogram("restarted")
    with open_volume(path) as volume:
        executor = connected(site.url(path), site.token)
        executor.connect([], tmp_path, volume)
        (spec, *_) = plan_tiles(SHAPE, halo=(0, 0, 0), tile_bytes=4 * 40 * 70 * 70)
        site.stack.stop("gateway")
        with ThreadPoolExecutor(1) as thread:
            found = thread.submit(lambda: list(executor.map(TileReader(volume, 0), [spec])))
            wait_until(lambda: site.cluster.busy() == 1, timeout=LONG_S, what="a worker that reads")
            site.stack.start("gateway").wait_ready()
            (tile,) = found.result(LONG_S)
    assert tile.data.tobytes() == mrcfile.read(path)[spec.read].tobytes()


def test_another_tomogram_is_refused(site: Site, connected: Callable[..., DaskExecutor], tmp_path: Path) -> None:
    """The address of another tomogram, no address at all, and a token that is wrong end the job before it begins."""
    path, other = site.tomogram("mine"), site.tomogram("another")
    with open_volume(path) as volume:
        with pytest.raises(InvalidRequestError, match=r"another volume than mine\.mrc"):
            connected(site.url(other), site.token).connect([], tmp_path, volume)
        with pytest.raises(InvalidRequestError, match="must begin with http"):
            connected("em.example.org", site.token).connect([], tmp_path, volume)
        with pytest.raises(AccessError):
            connected(site.url(path), None).connect([], tmp_path, volume)
        with pytest.raises(CryoMambaError, match=r"cannot read mine\.mrc"):
            connected(None, None).connect([], tmp_path, volume)


def test_workers_that_do_not_reach_the_gateway(site: Site, tmp_path: Path) -> None:
    """The error names the worker and what it was answered, and neither link nor token."""
    path = site.tomogram("unreached")
    executor = DaskExecutor(site.cluster.address, 1)
    executor.connect([], tmp_path)
    with open_volume(path) as volume, pytest.raises(VolumeError) as caught:
        executor._require_reached(volume, ServedVolume(site.url(path), "no-token"))
    executor.close()
    assert any(f"worker {worker} does not see" in str(caught.value) for worker in site.cluster.nthreads())
    assert "no-token" not in str(caught.value)


def test_from_the_command_line(site: Site, tmp_path: Path) -> None:
    """``--dask-volume`` is the address of the tomogram, and the token is that of the environment."""
    path = site.tomogram("command")
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "CRYOMAMBA_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "cryomamba_cli", "segment", str(path), "-e", "threshold", "-p", "sigma_A=20"]
    subprocess.run([*command, "-o", "here.mrc"], cwd=tmp_path, env=environment, check=True)
    dask = ["--dask", site.cluster.address, "--dask-volume", site.url(path), "-o", "there.mrc"]
    subprocess.run([*command, *dask], cwd=tmp_path, env={**environment, "CRYOMAMBA_TOKEN": site.token}, check=True)
    assert (tmp_path / "here.mrc").read_bytes() == (tmp_path / "there.mrc").read_bytes()
