"""The command line in this process, a small tomogram, and a server."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from cryomamba.testing import Stack
from cryomamba.volumes import write_volume
from cryomamba_cli.app import app

Cli = Callable[..., Result]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run a command in an empty folder, with its own data directory."""
    monkeypatch.setenv("CRYOMAMBA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CRYOMAMBA_PROCESSES", "1")
    monkeypatch.delenv("CRYOMAMBA_LOG", raising=False)
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, [str(argument) for argument in arguments])


def write_ball(path: Path, side: int = 24) -> Path:
    """Write a small volume with a bright ball in noise."""
    rng = np.random.default_rng(5)
    z, y, x = np.ogrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j, -1 : 1 : side * 1j]
    ball = (z**2 + y**2 + x**2 < 0.3).astype(np.float32)
    write_volume(path, ball * 6 + rng.normal(size=ball.shape).astype(np.float32), 10.0)
    return path


@pytest.fixture
def tomogram(tmp_path: Path) -> Path:
    """A small volume in the current folder."""
    return write_ball(tmp_path / "ball.mrc")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack; the folder above its data directory is an input directory."""
    folder = tmp_path_factory.mktemp("stack")
    with Stack(folder / "home", roots=[folder], env={"CRYOMAMBA_LEASE_S": "5"}) as stack:
        yield stack.start().wait_ready()


@pytest.fixture(params=["http", "bus"])
def url(request: pytest.FixtureRequest, server: Stack, monkeypatch: pytest.MonkeyPatch) -> str:
    """The server's address of either kind, in ``CRYOMAMBA_SERVER``."""
    found = server.http_url if request.param == "http" else server.bus_url
    monkeypatch.setenv("CRYOMAMBA_SERVER", found)
    return found


@pytest.fixture
def volume(server: Stack) -> Path:
    """A volume in an input directory of the server, with a unique name."""
    path = server.home.parent / f"{uuid.uuid4().hex}.mrc"
    voxels = np.random.default_rng(3).normal(size=(16, 20, 24)).astype(np.float32)
    voxels[4:9] += 8
    write_volume(path, voxels, 10.0)
    return path
