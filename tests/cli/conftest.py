"""The command line as tests call it, and a small tomogram."""

from __future__ import annotations

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
    """Run a command in an empty folder, with a home of its own."""
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
    """A small volume in the working folder."""
    return write_ball(tmp_path / "ball.mrc")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack; below its home's parent it may read files."""
    folder = tmp_path_factory.mktemp("stack")
    with Stack(folder / "home", roots=[folder], env={"CRYOMAMBA_LEASE_S": "5"}) as stack:
        yield stack.start().wait_ready()
