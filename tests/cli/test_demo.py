"""The demo, as ``make demo`` runs it, on a smaller volume."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from cryomamba.errors import UnavailableError
from cryomamba_cli.services import SERVICES, Stack

pytestmark = pytest.mark.system

DEMO = [sys.executable, "-m", "cryomamba_cli", "demo", "--shape", "32,64,64", "--engine", "threshold", "--out"]


def assert_nobody_listens(url: str) -> None:
    host, _, port = url.removeprefix("http://").partition(":")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((host, int(port)), 5)


def test_the_demo_shows_that_everything_works(tmp_path: Path) -> None:
    """Previews arrive, the mask is scored well, the picture is there, and all services have ended."""
    done = subprocess.run([*DEMO, str(tmp_path / "out"), "--json"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])["data"]
    assert result["previews"] >= 2
    assert 0.5 < result["score"]["f1"] <= 1
    assert result["statistics"]["labels"][0]["voxels"] > 0
    with Image.open(result["picture"]) as picture:
        assert picture.width > 1000
    assert all(Path(result[name]).is_file() for name in ("tomogram", "truth", "mask"))
    assert_nobody_listens(done.stderr.split("the gateway is at ")[1].split(".\n")[0])
    log = (tmp_path / "out" / "services.log").read_text()
    assert all(f"{service}.1 stopped" in log for service in SERVICES)


def test_ctrl_c_ends_everything(tmp_path: Path) -> None:
    """A signal in the middle ends services and program with 130, and says where the log is."""
    command = [*DEMO, str(tmp_path / "out"), "--engine", "demo"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        url = next(line for line in running.stderr if "the gateway is at" in line).split(" at ")[1].rstrip(".\n")
        next(line for line in running.stderr if "running" in line)
        running.send_signal(signal.SIGINT)
        _, told = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "services.log" in told
    assert_nobody_listens(url)


def test_a_service_that_ends_is_told(tmp_path: Path) -> None:
    """If a service cannot start, the others end too, and the error says where the log is."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "jobs.sqlite").mkdir()
    with Stack(home, root=tmp_path, log=tmp_path / "services.log") as stack:
        stack.start()
        with pytest.raises(UnavailableError, match="A service ended"):
            stack.wait_ready()
    assert_nobody_listens(stack.url)
