"""The installed program as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cryomamba import __version__

PROGRAM = Path(sys.executable).with_name("cryomamba")
HEAVY = ("numpy", "pydantic", "rich", "zmq", "httpx", "scipy", "numba", "mrcfile", "asyncio")


def test_the_console_script_is_installed() -> None:
    """``cryomamba`` runs, and so does ``python -m cryomamba.cli``."""
    for command in ([str(PROGRAM)], [sys.executable, "-m", "cryomamba.cli"]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
        assert done.stdout == f"cryomamba {__version__}\n"


def test_starting_imports_nothing_heavy() -> None:
    """What every start costs is typer and the standard library alone."""
    code = f"import sys, cryomamba.cli.app; print([name for name in {HEAVY!r} if name in sys.modules])"
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
