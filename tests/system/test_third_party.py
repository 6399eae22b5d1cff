"""An engine from a package of its own is found, offered, run, and its scores are cut anew."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

import cryomamba
from cryomamba.errors import InvalidRequestError, NotFoundError
from cryomamba.testing import Stack

GRADER = '''
from typing import ClassVar
import numpy as np
from pydantic import Field
from cryomamba.engine import Engine, EngineParameters, ScoreCut


class Parameters(EngineParameters):
    high: int = Field(150, ge=1, le=255, title="Threshold", description="Score of what is kept.")


class Grader(Engine[Parameters]):
    """The brighter, the higher the score."""

    name = "grader"
    summary = "Grades brightness"
    Parameters = Parameters
    labels: ClassVar = {1: "bright"}
    keeps_scores = True

    def __init__(self, parameters):
        super().__init__(parameters)
        self.output = "scores"

    def cut(self):
        return ScoreCut(self.parameters.high, self.parameters.high)

    def predict(self, tile):
        return np.clip(tile.data[tile.core] * 30, 0, 255).astype(np.uint8)
'''


@pytest.fixture
def grader_package(tmp_path: Path) -> Path:
    """An installed package with an engine that keeps its scores, as a folder for PYTHONPATH."""
    folder = tmp_path / "grader-site"
    info = folder / "grader-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "grader.py").write_text(GRADER)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: grader\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[cryomamba.engines]\ngrader = grader:Grader\n")
    return folder


def expected(tomogram: Path, high: int) -> np.ndarray:
    scores = np.clip(read(tomogram) * 30, 0, 255).astype(np.uint8)
    mask: np.ndarray = (scores >= high).astype(np.int8)
    return mask


def run_cli(package: Path, folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(package), "CRYOMAMBA_HOME": str(folder / "cli"), "CRYOMAMBA_PROCESSES": "2"}
    command = [sys.executable, "-m", "cryomamba.cli", *(str(argument) for argument in arguments)]
    return subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=True, timeout=120)


def post(url: str, body: object) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def read(path: Path) -> np.ndarray:
    with mrcfile.open(path) as file:
        return np.array(file.data)


def test_without_services(grader_package: Path, tomogram: Path, tmp_path: Path) -> None:
    """The command line lists it with its parameters, runs it, and cuts its scores anew."""
    listed = json.loads(run_cli(grader_package, tmp_path, "engines", "grader", "--json").stdout)
    assert listed["parameters"]["properties"]["high"]["title"] == "Threshold"
    run_cli(grader_package, tmp_path, "segment", tomogram, "-e", "grader", "-p", "high=120", "--scores", "-o", "a.mrc")
    assert np.array_equal(read(tmp_path / "a.mrc"), expected(tomogram, 120))
    run_cli(grader_package, tmp_path, "threshold", "a_scores.mrc", "--high", 90, "-o", "b.mrc")
    assert np.array_equal(read(tmp_path / "b.mrc"), expected(tomogram, 90))


def test_with_services(
    make_stack: Callable[..., Stack], grader_package: Path, hog_package: Path, tomogram: Path, tmp_path: Path
) -> None:
    """Bus and gateway offer it with its schema; a threshold by client, HTTP and command line makes a job of its own."""
    paths = f"{grader_package}{os.pathsep}{hog_package}"
    stack = make_stack(CRYOMAMBA_LEASE_S="5", PYTHONPATH=paths).start().wait_ready()
    with urllib.request.urlopen(f"{stack.http_url}/v1/server/info", timeout=30) as answer:
        offered = {engine["name"]: engine for engine in json.load(answer)["engines"]}
    assert {"grader", "hog", "rethreshold"} <= offered.keys()
    assert offered["grader"]["parameters"]["properties"]["high"]["maximum"] == 255
    with cryomamba.connect(stack.bus_url) as client:
        first = client.wait(client.submit(tomogram, engine="grader").job_id)
        assert {"mask.mrc", "scores.mrc", "stats.json", "stats.csv"} <= {file.name for file in first.artifacts}
        stats = json.loads(client.download(first.job_id, "stats.json", tmp_path).read_text())
        assert stats["threshold"] == {"high": 150, "low": 150, "min_voxels": 0}
        moved = client.wait(client.threshold(first.job_id, 90).job_id)
        assert np.array_equal(read(client.download(moved.job_id, to=tmp_path / "90.mrc")), expected(tomogram, 90))
        created = post(f"{stack.http_url}/v1/jobs/{first.job_id}/threshold", {"high": 200, "low": 200})
        assert created["engine"] == "rethreshold"
        client.wait(created["job_id"])
        assert np.array_equal(
            read(client.download(created["job_id"], to=tmp_path / "200.mrc")), expected(tomogram, 200)
        )
        with pytest.raises(NotFoundError, match="scores"):
            client.threshold(moved.job_id, 90)
        with pytest.raises(InvalidRequestError, match="high"):
            client.threshold(first.job_id, 300)
    run_cli(grader_package, tmp_path, "threshold", first.job_id[:8], "--high", 60, "-o", "60.mrc", "-s", stack.http_url)
    assert np.array_equal(read(tmp_path / "60.mrc"), expected(tomogram, 60))
    with pytest.raises(urllib.error.HTTPError) as refused:
        post(f"{stack.http_url}/v1/jobs/{first.job_id}/threshold", {"high": "90"})
    assert refused.value.code == 400
    refused.value.close()
