"""A real SLURM cluster on this machine, and tomograms."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.slurm.cluster import Cluster, missing_program


@pytest.fixture(scope="module")
def running_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of one node."""
    missing = missing_program()
    if missing is not None:
        pytest.skip(f"{missing} is not installed")
    with Cluster(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@pytest.fixture
def cluster(running_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """The cluster, which the commands of a test and the jobs that they submit find by their environment."""
    monkeypatch.setenv("SLURM_CONF", str(running_cluster.configuration))
    return running_cluster


@pytest.fixture
def tomograms(tomogram: Path, tmp_path: Path) -> Path:
    """A folder with three tomograms, one of them truncated; its name is not easy for a shell script."""
    folder = tmp_path / "50% done"
    folder.mkdir()
    for name in ("a.mrc", "b.mrc"):
        shutil.copy(tomogram, folder / name)
    (folder / "broken.mrc").write_bytes(tomogram.read_bytes()[:3000])
    return folder
