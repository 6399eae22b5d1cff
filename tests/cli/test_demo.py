"""``demo`` as ``make demo`` runs it, on a smaller volume."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from cryomamba.errors import ConflictError
from cryomamba.testing import DEADLINE_S
from cryomamba_cli.demo import Files
from cryomamba_cli.synth import phantom_spec, write_phantom

pytestmark = pytest.mark.system

DEMO = [sys.executable, "-m", "cryomamba_cli", "demo", "--shape", "32,64,64", "--engine", "threshold", "--out"]


def assert_nobody_listens(url: str) -> None:
    host, _, port = url.removeprefix("http://").partition(":")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((host, int(port)), 5)


def score_of(result: dict[str, Any]) -> dict[str, float]:
    """Return precision, recall and F1 of the written mask against all membranes of the written ground truth."""
    near = ndimage.generate_binary_structure(3, 1)
    with mrcfile.open(result["mask"]) as mask, mrcfile.open(result["truth"]) as truth:
        found, true = mask.data != 0, np.isin(truth.data, (1, 5))
    precision = float(ndimage.binary_dilation(true, near)[found].mean())
    recall = float(ndimage.binary_dilation(found, near)[true].mean())
    return {"precision": precision, "recall": recall, "f1": 2 * precision * recall / (precision + recall)}


def test_a_demo_replaces_an_earlier_one_and_nothing_else(tmp_path: Path) -> None:
    """A second demo may use the folder of the first; a tomogram of that name from elsewhere is kept."""
    files = Files(tmp_path)
    write_phantom(phantom_spec("16", "10", 1, []), files.tomogram, files.truth)
    files.require_replaceable()
    with mrcfile.new(files.tomogram, np.zeros((4, 4, 4), np.float32), overwrite=True):
        pass
    with pytest.raises(ConflictError, match="not the result of a demo"):
        files.require_replaceable()


def test_the_demo_scores_a_mask(tmp_path: Path) -> None:
    """Previews arrive, the score is against all true membranes, the picture is drawn, all services have stopped."""
    done = subprocess.run([*DEMO, str(tmp_path / "out"), "--json"], capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])["data"]
    # On a busy machine the last frame may replace all others before they are sent.
    assert result["previews"] >= 1
    assert 0.5 < result["score"]["f1"] <= 1
    assert score_of(result) == pytest.approx(result["score"])
    assert result["statistics"]["labels"][0]["voxels"] > 0
    with Image.open(result["picture"]) as picture:
        assert picture.width > 1000
    assert all(Path(result[name]).is_file() for name in ("tomogram", "truth", "mask"))
    assert_nobody_listens(done.stderr.split("the gateway is at ")[1].split(".\n")[0])
    assert {log.stem for log in (tmp_path / "out" / "logs").iterdir()} == {"broker", "inference", "gateway"}


def test_ctrl_c_cancels_the_job_and_stops_the_services(tmp_path: Path) -> None:
    """A signal during the job ends the demo with 130, names the folder of the logs, and leaves no service running."""
    command = [*DEMO, str(tmp_path / "out"), "--engine", "demo"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        url = next(line for line in running.stderr if "the gateway is at" in line).split(" at ")[1].rstrip(".\n")
        next(line for line in running.stderr if "running" in line)
        running.send_signal(signal.SIGINT)
        _, printed = running.communicate(timeout=DEADLINE_S)
    assert running.returncode == 130
    assert f"logs of the services are in {tmp_path / 'out' / 'logs'}" in printed
    assert_nobody_listens(url)
