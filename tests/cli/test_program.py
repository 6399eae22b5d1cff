"""The installed program as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cryomamba import __version__
from cryomamba.volumes import write_volume

PROGRAM = Path(sys.executable).with_name("cryomamba")
HEAVY = ("numpy", "pydantic", "rich", "zmq", "httpx", "scipy", "numba", "mrcfile", "asyncio")


def test_the_console_script_is_installed() -> None:
    """``cryomamba`` runs, and so does ``python -m cryomamba_cli``."""
    for command in ([str(PROGRAM)], [sys.executable, "-m", "cryomamba_cli"]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
        assert done.stdout == f"cryomamba {__version__}\n"


def test_starting_imports_nothing_heavy() -> None:
    """What every start costs is typer and the standard library alone."""
    code = f"import sys, cryomamba_cli.app; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGPIPE")
def test_a_closed_pipe_is_no_error() -> None:
    """When the reader goes, the program ends without a word."""
    with subprocess.Popen(
        [str(PROGRAM), "engines", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == ""
    assert running.returncode == 141


@pytest.mark.skipif(sys.platform == "win32", reason="there are no process groups")
def test_ctrl_c_at_a_terminal_reaches_the_whole_group(tmp_path: Path) -> None:
    """Processes that compute tiles get the signal too, even while they start, and nobody prints a traceback."""
    piece = np.random.default_rng(1).normal(size=(1, 512, 512)).astype(np.float32)
    write_volume(tmp_path / "t.mrc", (piece for _ in range(100)), 10.0, shape=(100, 512, 512))
    command = [str(PROGRAM), "segment", "t.mrc", "-e", "threshold"]
    environment = {**os.environ, "CRYOMAMBA_PROCESSES": "2"}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        assert running.stderr is not None
        next(line for line in running.stderr if "segmenting" in line)
        os.killpg(running.pid, signal.SIGINT)
        told = running.stderr.read()
    assert running.returncode == 130
    assert "Traceback" not in told
    assert told.endswith("Interrupted. The job is cancelled; nothing was written.\n")
    assert [path.name for path in tmp_path.iterdir()] == ["t.mrc"]
