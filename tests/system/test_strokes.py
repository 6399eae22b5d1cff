"""Segmentation from strokes through real services, over HTTP and the bus: strokes are added while the job runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

import cryomamba
from cryomamba.client import Client
from cryomamba.engines.artifacts import model_files
from cryomamba.errors import ConflictError
from cryomamba.masks.strokes import Strokes, read_strokes
from cryomamba.models.events import PreviewEvent, ProgressEvent
from cryomamba.testing import Stack
from cryomamba.volumes import write_volume

pytestmark = pytest.mark.system
SHAPE = (40, 96, 100)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All services, and a tomogram of two kinds of balls in noise."""
    home = tmp_path_factory.mktemp("strokes")
    density = np.random.default_rng(3).normal(0, 1, SHAPE).astype(np.float32)
    z, y, x = np.indices(SHAPE)
    for (a, b, c), radius, depth in (((20, 30, 30), 10, 4), ((20, 70, 70), 14, 4), ((20, 30, 75), 5, -6)):
        density[(z - a) ** 2 + (y - b) ** 2 + (x - c) ** 2 < radius**2] -= depth
    write_volume(home / "balls.mrc", density, 10.0)
    with Stack(home / "home", roots=[home]) as running:
        yield running.start().wait_ready()


@pytest.fixture(params=["http", "bus"])
def client(request: pytest.FixtureRequest, stack: Stack) -> Iterator[Client]:
    """A client over each transport."""
    with cryomamba.connect(stack.http_url if request.param == "http" else stack.bus_url) as connected:
        yield connected


def painted(*, bright: bool) -> Strokes:
    lines: list[dict[str, Any]] = [
        {"label": 1, "radius": 2, "points": [[20, 30, 26], [20, 30, 34]]},
        {"label": 0, "radius": 2, "points": [[20, 8, 10], [20, 8, 90]]},
        {"label": 0, "radius": 2, "points": [[4, 50, 10], [4, 50, 90]]},
    ]
    lines += [{"label": 2, "radius": 2, "points": [[20, 30, 75]]}] if bright else []
    return read_strokes({"shape": SHAPE, "labels": ["background", "dark", "bright"], "lines": lines})


def mask_of(client: Client, job_id: str, folder: Path) -> np.ndarray:
    path = client.download(job_id, to=folder / f"{job_id}.mrc")
    with mrcfile.open(path) as mask:
        return np.array(mask.data)


def test_strokes_added_to_a_running_job_are_in_its_mask(client: Client, stack: Stack, tmp_path: Path) -> None:
    """The mask is, byte for byte, that of a job that had all strokes at once; the model that was learned is one of
    its files, and a job that has ended takes no more strokes."""
    path = stack.home.parent / "balls.mrc"
    given = {"strokes": painted(bright=False).model_dump(mode="json")}
    once = client.submit(path, engine="pixels", params={"strokes": painted(bright=True).model_dump(mode="json")})
    job = client.submit(path, engine="pixels", params=given)
    client.focus(job.job_id, (20.0, 30.0, 75.0))
    added, shown = False, []
    for event in client.watch(job.job_id):
        if isinstance(event, ProgressEvent) and not added:
            added = True
            client.set_strokes(job.job_id, painted(bright=True))
        if isinstance(event, PreviewEvent):
            shown.append(event.frame)
    record = client.record(job.job_id)
    assert added
    assert record.state == "completed", record.errors
    assert (record.attempt, record.params["strokes"]) == (1, painted(bright=True).model_dump(mode="json"))
    assert shown[-1].labels == {1: "dark", 2: "bright"}
    mask = mask_of(client, job.job_id, tmp_path)
    assert (mask[20, 30, 30], mask[20, 70, 70], mask[20, 30, 75], mask[20, 5, 50]) == (1, 1, 2, 0)
    once.wait()
    np.testing.assert_array_equal(mask, mask_of(client, once.job_id, tmp_path))
    assert set(model_files()) <= {artifact.name for artifact in record.artifacts}
    with pytest.raises(ConflictError, match="takes no more strokes"):
        client.set_strokes(job.job_id, painted(bright=False))
