"""Every field of every panel shows its value."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.desktop import fields_shown

from cryomamba.testing import DEADLINE_S

pytestmark = [pytest.mark.desktop, pytest.mark.slow]


@pytest.mark.parametrize("scale", [1, 2])
def test_each_field_shows_its_value(qapp_args: list[str], phantom_file: Path, tmp_path: Path, scale: int) -> None:
    """The pixels of a field change over the whole length of its text when its value is removed, in both themes."""
    command = [sys.executable, fields_shown.__file__, str(phantom_file), str(tmp_path)]
    environment = {**os.environ, "QT_SCALE_FACTOR": str(scale)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["ratio"] == scale
    assert found["fields"] > 40
    assert found["unreadable"] == []
