"""Small volumes on disk, and a recorder of events."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from cryomamba.models.frames import PreviewFrame
from cryomamba.models.jobs import Progress
from cryomamba.volumes import write_volume

VolumeMaker = Callable[..., Path]


class Recorder:
    """A :class:`~cryomamba_inference.runner.EventSink` that records everything."""

    def __init__(self) -> None:
        self.reports: list[Progress] = []
        self.frames: list[PreviewFrame] = []
        self.on_report: Callable[[Progress], None] = lambda _: None

    def on_progress(self, progress: Progress) -> None:
        self.reports.append(progress)
        self.on_report(progress)

    def on_preview(self, frame: PreviewFrame) -> None:
        self.frames.append(frame)


@pytest.fixture
def recorder() -> Recorder:
    """A recorder for one test."""
    return Recorder()


def density(shape: tuple[int, int, int], seed: int = 5) -> npt.NDArray[np.float32]:
    """A dark ball, a small dark speck and noise; density 0 ± 1, features −6."""
    rng = np.random.default_rng(seed)
    z, y, x = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in shape)]
    values = rng.normal(size=shape)
    values[(z**2 + y**2 + x**2) < 0.3] -= 6
    values[1:3, 1:3, 1:3] -= 9
    return values.astype(np.float32)


@pytest.fixture
def make_volume(tmp_path: Path) -> VolumeMaker:
    """Write a volume of dark features, 10 Å voxels, and return its path."""

    def make(shape: tuple[int, int, int] = (24, 30, 36), *, name: str = "tomogram.mrc", seed: int = 5) -> Path:
        path = tmp_path / name
        write_volume(path, density(shape, seed), 10.0)
        return path

    return make
