"""The checks of ``doctor`` about this machine: memory, display, OpenGL."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryomamba_server.check_result import CheckResult, Level

_MEMORY_WARN_BYTES: Final = 2e9
_WINDOW_S: Final = 30.0
# A process of its own: a system library that is missing ends it.
_OPEN_CONTEXT: Final = """
from qtpy.QtGui import QGuiApplication, QOffscreenSurface, QOpenGLContext
app = QGuiApplication([])
surface, context = QOffscreenSurface(), QOpenGLContext()
surface.create()
made = context.create() and context.makeCurrent(surface)
version = context.format().version() if made else (0, 0)
print("OpenGL", *version, flush=True)
"""
_LIBRARIES: Final = (
    "sudo apt install libgl1 libegl1 libopengl0 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 "
    "libxcb-shape0"
)


def is_installed(name: str) -> bool:
    """Return whether a distribution package is installed."""
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def memory() -> Iterator[CheckResult]:
    """Check that there is memory for a run: about 1 GB for each process."""
    free = available_memory()
    if free is None:
        return
    level: Level = "ok" if free >= _MEMORY_WARN_BYTES else "warn"
    hint = "Close other programs, or use fewer processes: CRYOMAMBA_PROCESSES=1" if level == "warn" else ""
    yield CheckResult(level, "memory", f"{free / 1e9:.1f} GB free", hint)


def available_memory() -> int | None:
    """Return the bytes of memory that programs can still use; None on systems without /proc."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def display() -> Iterator[CheckResult]:
    """Check that a window with OpenGL can be opened, if the desktop is installed."""
    if not is_installed("napari"):
        return
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        hint = "The desktop needs a display: log in with 'ssh -X', for example. The command line needs none."
        yield CheckResult("warn", "display", "neither DISPLAY nor WAYLAND_DISPLAY is set", hint)
        return
    yield _opengl()


def _opengl() -> CheckResult:
    command = [sys.executable, "-c", _OPEN_CONTEXT]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_WINDOW_S, check=False)  # noqa: S603  # nosec B603
    except (OSError, subprocess.TimeoutExpired):
        return CheckResult("fail", "display", f"no window could be opened within {_WINDOW_S:.0f} s", _advice())
    found = next((line.split()[1:] for line in done.stdout.splitlines() if line.startswith("OpenGL ")), None)
    if found is None:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        return CheckResult(
            "fail", "display", f"no window can be opened: {lines[0] if lines else 'Qt ended'}", _advice()
        )
    if found[0] == "0":
        return CheckResult("fail", "display", "a window can be opened, but without OpenGL", _advice())
    return CheckResult("ok", "display", f"a window can be opened, with OpenGL {'.'.join(found)}")


def _advice() -> str:
    if sys.platform == "linux":
        return f"On Debian and Ubuntu: {_LIBRARIES}"
    return "Update the graphics driver; over a remote desktop, try to log in directly."
