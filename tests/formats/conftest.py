"""Libraries of other programs, in an environment of their own because they need other packages than CryoMamba."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
# The environment beside the one that runs the tests: .venv-formats-3.12 beside .venv-3.12.
_NAME = Path(sys.prefix).name.replace(".venv", ".venv-formats") if ".venv" in sys.prefix else ".venv-formats"
_PYTHON = ROOT / _NAME / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

OtherProgram = Callable[..., Any]


@pytest.fixture(scope="session")
def other_program() -> OtherProgram:
    """Run a script of this folder with the libraries of other programs; returns its last line as JSON."""
    if not _PYTHON.is_file():
        pytest.skip("the libraries of other programs are not installed: make .venv-formats/.formats")

    def run(script: str, *arguments: object) -> Any:
        done = subprocess.run(
            [_PYTHON, "-W", "ignore", Path(__file__).with_name(script), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        # Some libraries print messages first.
        lines = done.stdout.strip().splitlines()
        return json.loads(lines[-1]) if lines else None

    return run
