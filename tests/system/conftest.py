"""Real stacks of services, small volumes, and an engine in a package of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from cryomamba.stack import SERVICES
from cryomamba.testing import Stack
from cryomamba.volumes import write_volume

StackMaker = Callable[..., Stack]

HOG = '''
import ctypes
from typing import ClassVar
import numpy as np
from pydantic import Field
from cryomamba.engines.api import Engine, EngineParameters


class Parameters(EngineParameters):
    seconds: float = Field(1.0, ge=0, le=60, title="Seconds", description="How long a tile holds the interpreter lock.")


class Hog(Engine[Parameters]):
    """Holds the interpreter lock for a while in each tile; labels the voxels above zero."""

    name = "hog"
    summary = "Holds the interpreter lock"
    Parameters = Parameters
    labels: ClassVar = {1: "positive"}

    def predict(self, tile):
        # PyDLL, unlike CDLL, keeps the interpreter lock during the call.
        ctypes.PyDLL(None).usleep(int(self.parameters.seconds * 1e6))
        return (tile.data[tile.core] > 0).astype(np.uint8)
'''


@pytest.fixture
def make_stack(tmp_path: Path) -> Iterator[StackMaker]:
    """Make stacks with data directories of their own; all of them stop with the test."""
    with ExitStack() as stacks:

        def make(name: str = "home", **env: str) -> Stack:
            return stacks.enter_context(Stack(tmp_path / name, roots=[tmp_path], env=env))

        yield make


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with short leases that reads the files of every test."""
    folder = tmp_path_factory.getbasetemp()
    with Stack(tmp_path_factory.mktemp("stack"), roots=[folder], env={"CRYOMAMBA_LEASE_S": "4"}) as stack:
        yield stack.start()


@pytest.fixture
def stack(shared_stack: Stack) -> Stack:
    """The ready stack of the module; a service that an earlier test has ended is started again."""
    for service in SERVICES:
        process = shared_stack.processes.get(service)
        if process is None or process.poll() is not None:
            shared_stack.start(service)
    return shared_stack.wait_ready()


@pytest.fixture
def tomogram(tmp_path: Path) -> Path:
    """A small volume with a bright ball in noise."""
    rng = np.random.default_rng(11)
    z, y, x = np.ogrid[-1:1:32j, -1:1:40j, -1:1:48j]
    ball = (z**2 + y**2 + x**2 < 0.3).astype(np.float32)
    path = tmp_path / "ball.mrc"
    write_volume(path, ball * 4 + rng.normal(size=ball.shape).astype(np.float32), 10.0)
    return path


@pytest.fixture
def hog_package(tmp_path: Path) -> Path:
    """A folder for PYTHONPATH with an installed third-party package that has an engine."""
    return write_hog_package(tmp_path)


def write_hog_package(parent: Path) -> Path:
    """Write the package of an engine that takes its time, and return the folder for PYTHONPATH."""
    folder = parent / "site"
    info = folder / "hog-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "hog.py").write_text(HOG)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hog\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[cryomamba.engines]\nhog = hog:Hog\n")
    return folder
