"""What ``deploy/`` holds, held against the code and against the programs that read it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.fixture(scope="session")
def deploy() -> Path:
    """The folder of the repository."""
    return DEPLOY


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """Find a program; a test that needs an absent one is skipped with its name."""

    def find(name: str) -> str:
        # nginx lies where a person's path does not lead.
        found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin")))
        if found is None:
            pytest.skip(f"{name} is not installed")
        return found

    return find
