"""A Dask cluster that speaks TLS only, set up by Dask's own configuration as the guide says."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.inference.executor.dask_processes import DaskProcesses

from cryomamba.engines.registry import Registry
from cryomamba.errors import InvalidRequestError, UnavailableError
from cryomamba.volumes import open_volume, write_volume
from cryomamba_inference.executor import DaskExecutor, InlineExecutor, TileExecutor
from cryomamba_inference.runner import Control, Task, run_task

pytestmark = pytest.mark.slow

CONFIGURATION = """
distributed:
  comm:
    default-scheme: tls
    require-encryption: true
    tls:
      ca-file: {folder}/ca.pem
      scheduler: {{cert: {folder}/node.pem, key: {folder}/node.key}}
      worker: {{cert: {folder}/node.pem, key: {folder}/node.key}}
      client: {{cert: {folder}/node.pem, key: {folder}/node.key}}
"""


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def write_configuration(folder: Path) -> Path:
    """Make an authority, a certificate signed by it, and the folder of a configuration that names both."""
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(folder, "req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority")
    openssl(folder, "req", *new_key, "-keyout", "node.key", "-out", "node.csr", "-subj", "/CN=node")
    openssl(folder, "x509", "-req", "-in", "node.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-out", "node.pem")
    configuration = folder / "configuration"
    configuration.mkdir()
    (configuration / "tls.yaml").write_text(CONFIGURATION.format(folder=folder))
    return configuration


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskProcesses]:
    """A scheduler and a worker with certificates, which are in the configuration of this process, too."""
    import dask

    folder = write_configuration(tmp_path_factory.mktemp("certificates"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DASK_CONFIG", str(folder))
        dask.config.refresh(paths=[str(folder)])
        try:
            with DaskProcesses(tmp_path_factory.mktemp("cluster")) as processes:
                processes.start_workers(1)
                yield processes
        finally:
            patch.undo()
            dask.config.refresh()


def segmented(path: Path, folder: Path, executor: TileExecutor, events: Any) -> bytes:
    folder.mkdir()
    with open_volume(path) as volume:
        task = Task(Registry.discover().create("threshold", {"sigma_A": 20.0}), volume)
        return run_task(task, folder, executor, Control(), events).mask.read_bytes()


def test_over_tls(cluster: DaskProcesses, tmp_path: Path, recorder: Any) -> None:
    """With certificates from Dask's configuration, the connection is encrypted, and the mask that of this process."""
    assert cluster.address.startswith("tls://")
    write_volume(tmp_path / "t.mrc", np.random.default_rng(1).normal(size=(20, 30, 40)).astype(np.float32), 10.0)
    executor = DaskExecutor(cluster.address, 1)
    try:
        there = segmented(tmp_path / "t.mrc", tmp_path / "there", executor, recorder)
    finally:
        executor.close()
    assert there == segmented(tmp_path / "t.mrc", tmp_path / "here", InlineExecutor(), recorder)


def test_without_certificates(cluster: DaskProcesses, tmp_path: Path) -> None:
    """A client whose configuration has none is told so; one that does not encrypt is not served."""
    import dask

    names = ("ca-file", "client.cert", "client.key")
    with dask.config.set({f"distributed.comm.tls.{name}": None for name in names}):
        with pytest.raises(InvalidRequestError, match="certificates"):
            DaskExecutor(cluster.address, 1).connect([], tmp_path)
        plain = dask.config.set({"distributed.comm.require-encryption": False})
        with plain, pytest.raises(UnavailableError):
            DaskExecutor(cluster.address.replace("tls://", "tcp://"), 1).connect([], tmp_path)


def test_with_certificates_of_another_authority(cluster: DaskProcesses, tmp_path: Path) -> None:
    """A client does not trust a scheduler whose certificate another authority has signed."""
    import dask

    (tmp_path / "others").mkdir()
    write_configuration(tmp_path / "others")
    theirs = {"ca-file": "ca.pem", "client.cert": "node.pem", "client.key": "node.key"}
    settings = {f"distributed.comm.tls.{name}": str(tmp_path / "others" / file) for name, file in theirs.items()}
    with dask.config.set(settings), pytest.raises(UnavailableError):
        DaskExecutor(cluster.address, 1).connect([], tmp_path)
