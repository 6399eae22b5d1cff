"""``demo`` as ``make demo`` runs it, on a smaller volume."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from cryomamba.testing import DEADLINE_S

pytestmark = pytest.mark.system

DEMO = [sys.executable, "-m", "cryomamba_cli", "demo", "--shape", "32,64,64", "--engine", "threshold", "--out"]


def assert_nobody_listens(url: str) -> None:
    host, _, port = url.removeprefix("http://").partition(":")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((host, int(port)), 5)


def test_the_demo_scores_a_mask(tmp_path: Path) -> None:
    """Previews arrive, the mask scores well, the picture is drawn, and all services have stopped in order."""
    done = subprocess.run([*DEMO, str(tmp_path / "out"), "--json"], capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])["data"]
    assert result["previews"] >= 2
    assert 0.5 < result["score"]["f1"] <= 1
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
