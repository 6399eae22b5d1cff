"""The files in ``deploy/``, checked against the code and by the programs that read them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.fixture(scope="session")
def deploy() -> Path:
    """The folder ``deploy`` of the repository."""
    return DEPLOY


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """Find a program; a test is skipped if the program is not installed."""

    def find(name: str) -> str:
        # nginx is in a folder that is not in every user's PATH.
        found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin")))
        if found is None:
            pytest.skip(f"{name} is not installed")
        return found

    return find
