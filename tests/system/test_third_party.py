"""The example with the whole interface: installed, found, listed, run, and its scores thresholded again."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

import cryomamba
from cryomamba.engines.api import Engine, Slices, Tile, TileResult, VolumeContext
from cryomamba.engines.registry import Registry
from cryomamba.errors import InvalidRequestError, NotFoundError
from cryomamba.geometry import Shape
from cryomamba.testing import DEADLINE_S, Stack
from cryomamba.volumes import open_volume, stream_statistics, write_volume
from napari_cryomamba.models.form import FormModel

pytestmark = [pytest.mark.system, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "examples" / "cryomamba-beads"
BEADS = ((8, 9, 12), (12, 24, 20), (22, 14, 40), (25, 31, 33))


@pytest.fixture(scope="module")
def beads_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, built and installed into a folder for PYTHONPATH."""
    site = tmp_path_factory.mktemp("site")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    install += ["--no-deps", "--no-build-isolation", "--target", str(site), str(PACKAGE)]
    subprocess.run(install, check=True, timeout=DEADLINE_S)
    return site


@pytest.fixture
def registry(beads_package: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """The engines of this process and the one of the package."""
    monkeypatch.syspath_prepend(str(beads_package))
    yield Registry.discover()
    del sys.modules["cryomamba_beads"]


@pytest.fixture
def tomogram(tmp_path: Path) -> Path:
    """Dark beads of 100 Å in noise; voxels of 12.5 × 10 × 10 Å."""
    density = np.random.default_rng(5).normal(0, 0.5, (32, 40, 48)).astype(np.float32)
    z, y, x = np.indices(density.shape)
    for at in BEADS:
        density[((z - at[0]) * 1.25) ** 2 + (y - at[1]) ** 2 + (x - at[2]) ** 2 <= 25] -= 4
    write_volume(tmp_path / "beads.mrc", density, (12.5, 10.0, 10.0))
    return tmp_path / "beads.mrc"


def expected(scores: Path, high: int) -> np.ndarray:
    """Return the mask of the scores at or above a threshold."""
    mask: np.ndarray = (read(scores) >= high).astype(np.int8)
    return mask


def positions(table: Path) -> list[tuple[int, ...]]:
    with table.open(newline="", encoding="utf-8") as file:
        return sorted(tuple(round(float(row[axis])) for axis in "zyx") for row in csv.DictReader(file))


def run_cli(package: Path, folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(package), "CRYOMAMBA_HOME": str(folder / "cli"), "CRYOMAMBA_PROCESSES": "2"}
    command = [sys.executable, "-m", "cryomamba_cli", *(str(argument) for argument in arguments)]
    return subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=True, timeout=DEADLINE_S)


def post(url: str, body: object) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as reply:
        return json.load(reply)


def read(path: Path) -> np.ndarray:
    with mrcfile.open(path) as file:
        return np.array(file.data)


def box(start: Shape, shape: Shape, margin: Shape) -> Slices:
    """Return the slices of a box with a margin on either side."""
    z, y, x = (slice(a - more, a + side + more) for a, side, more in zip(start, shape, margin, strict=True))
    return z, y, x


def predict(engine: Engine[Any], whole: np.ndarray, start: Shape, shape: Shape, halo: Shape) -> TileResult:
    """Return the result of the engine for a box of the volume."""
    found = engine.predict(Tile(whole[box(start, shape, halo)], box(halo, shape, (0, 0, 0)), start, shape))
    assert isinstance(found, TileResult)
    return found


def test_without_services(beads_package: Path, tomogram: Path, tmp_path: Path) -> None:
    """The command line lists the engine, runs it, writes its picks, and thresholds its scores again."""
    listed = json.loads(run_cli(beads_package, tmp_path, "engines", "beads", "--json").stdout)
    assert listed["parameters"]["properties"]["diameter_A"]["unit"] == "\u00c5"
    run_cli(beads_package, tmp_path, "segment", tomogram, "-e", "beads", "--scores", "-o", "a.mrc")
    assert positions(tmp_path / "a.csv") == list(BEADS)
    mask = read(tmp_path / "a.mrc")
    assert np.array_equal(mask, expected(tmp_path / "a_scores.mrc", 120))
    assert all(mask[at] for at in BEADS)
    run_cli(beads_package, tmp_path, "threshold", "a_scores.mrc", "--high", 90, "-o", "b.mrc")
    assert np.array_equal(read(tmp_path / "b.mrc"), expected(tmp_path / "a_scores.mrc", 90))
    assert positions(tmp_path / "b.csv") == list(BEADS)


def test_the_halo_is_large_enough(registry: Registry, tomogram: Path) -> None:
    """A core within the volume gets the scores and picks that the whole volume has there."""
    engine = registry.create("beads", {})
    with open_volume(tomogram) as volume:
        whole, statistics = volume.read(*(slice(None),) * 3), stream_statistics(volume)
        engine.prepare(VolumeContext(volume.shape, volume.voxel_size_A, statistics, lambda slices: whole[slices]))
        halo = engine.halo(volume.voxel_size_A)
    every = predict(engine, whole, (0, 0, 0), whole.shape, (0, 0, 0))
    start, shape = (11, 13, 15), (9, 12, 14)
    here = predict(engine, whole, start, shape, halo)
    assert here.points is not None
    assert every.points is not None
    inside = box(start, shape, (0, 0, 0))
    assert np.array_equal(here.labels, every.labels[inside])
    within = [all(s.start <= at < s.stop for at, s in zip(row, inside, strict=False)) for row in every.points]
    assert np.array_equal(here.points, every.points[within])
    assert len(here.points) == 1


def test_the_desktop_makes_a_form(registry: Registry) -> None:
    """Fields have titles with units and bounds in words; only values that differ from the defaults are sent."""
    form = FormModel(registry.get("beads").Parameters.model_json_schema())
    assert [(field.label, field.kind, field.bounds_text) for field in form.fields] == [
        ("Diameter (\u00c5)", "number", "at least 20 and at most 1000"),
        ("Threshold", "integer", "at least 1 and at most 255"),
    ]
    assert form.problems(form.defaults) == {}
    assert form.problems({**form.defaults, "diameter_A": 5.0}).keys() == {"diameter_A"}
    assert form.changed({**form.defaults, "diameter_A": 120.0}) == {"diameter_A": 120.0}


def test_with_services(
    make_stack: Callable[..., Stack], beads_package: Path, hog_package: Path, tomogram: Path, tmp_path: Path
) -> None:
    """A server lists the engine with its schema; a new threshold by client, HTTP and command line makes a new job."""
    paths = f"{beads_package}{os.pathsep}{hog_package}"
    stack = make_stack(CRYOMAMBA_LEASE_S="5", PYTHONPATH=paths).start().wait_ready()
    with urllib.request.urlopen(f"{stack.http_url}/v1/server/info", timeout=DEADLINE_S) as reply:
        engines = {engine["name"]: engine for engine in json.load(reply)["engines"]}
    assert {"beads", "hog", "rethreshold"} <= engines.keys()
    assert engines["beads"]["parameters"]["properties"]["high"]["maximum"] == 255
    with cryomamba.connect(stack.bus_url) as client:
        first = client.submit(tomogram, engine="beads").wait()
        assert {"mask.mrc", "scores.mrc", "picks.csv", "picks.star", "stats.json"} <= {
            file.name for file in first.artifacts
        }
        scores = client.download(first.job_id, "scores.mrc", tmp_path)
        assert positions(client.download(first.job_id, "picks.csv", tmp_path)) == list(BEADS)
        stats = json.loads(client.download(first.job_id, "stats.json", tmp_path).read_text())
        assert stats["threshold"] == {"high": 120, "low": 120, "min_voxels": 0}
        moved = client.threshold(first.job_id, 90).wait()
        assert np.array_equal(read(client.download(moved.job_id, to=tmp_path / "90.mrc")), expected(scores, 90))
        assert positions(client.download(moved.job_id, "picks.csv", tmp_path)) == list(BEADS)
        created = post(f"{stack.http_url}/v1/jobs/{first.job_id}/threshold", {"high": 200, "low": 200})
        assert created["engine"] == "rethreshold"
        client.job(created["job_id"]).wait()
        assert np.array_equal(read(client.download(created["job_id"], to=tmp_path / "200.mrc")), expected(scores, 200))
        with pytest.raises(NotFoundError, match="score map"):
            client.threshold(moved.job_id, 90)
        with pytest.raises(InvalidRequestError, match="high"):
            client.threshold(first.job_id, 300)
    run_cli(beads_package, tmp_path, "threshold", first.job_id[:8], "--high", 60, "-o", "60.mrc", "-s", stack.http_url)
    assert np.array_equal(read(tmp_path / "60.mrc"), expected(scores, 60))
    assert positions(tmp_path / "60.csv") == list(BEADS)
    with pytest.raises(urllib.error.HTTPError) as refused:
        post(f"{stack.http_url}/v1/jobs/{first.job_id}/threshold", {"high": "90"})
    assert refused.value.code == 400
    refused.value.close()
