"""The scripts that make the pictures clean up after an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "docs" / "desktop_pictures.py"


def test_without_a_display_nothing_is_left(tmp_path: Path) -> None:
    """Qt aborts the process, and no service or folder is left."""
    hidden = {"DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"}
    env = {name: value for name, value in os.environ.items() if name not in hidden}
    made = subprocess.run(
        [sys.executable, str(SCRIPT)],
        env={**env, "QT_QPA_PLATFORM": "xcb", "TMPDIR": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert made.returncode < 0
    assert b"display" in made.stderr
    assert list(tmp_path.iterdir()) == []
