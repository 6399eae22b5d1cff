"""The machine and the versions that a result was measured with."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version

from cryomamba import __version__


def machine() -> str:
    """Return cores, system and Python."""
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def versions() -> str:
    """Return the versions of this program and of the libraries that its speed depends on."""
    libraries = ("numpy", "pyzmq", "websockets")
    return ", ".join([f"CryoMamba {__version__}", *(f"{name} {version(name)}" for name in libraries)])


def today() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}"


def load() -> float | None:
    """Return the processes that wanted a core in the last five minutes; None where the system does not count them."""
    return os.getloadavg()[1] if hasattr(os, "getloadavg") else None
