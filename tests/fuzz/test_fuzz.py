"""Foreign bytes: fuzzed with coverage as the guide, and ten flavours of broken volumes.

``make fuzz`` runs all of it for long. What once crashed a parser lies under ``crashes`` and is read again each time.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = os.environ.get("FUZZ_SECONDS", "2")
FILES = os.environ.get("FUZZ_FILES", "1500")
SEED = os.environ.get("FUZZ_SEED", "20261126")
TARGETS = ["envelope", "frame", "web_frame", "mrc_header"]
if os.environ.get("FUZZ_ALL"):
    TARGETS += ["request", "buffer", "topic", "inbound"]


def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"tests.fuzz.{module}", *arguments, "--seed", SEED]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", cwd=ROOT, check=False)
    sys.stdout.write(done.stdout)
    return done


@pytest.mark.parametrize("target", TARGETS)
def test_no_input_breaks_a_parser(target: str) -> None:
    """Whatever the bytes, a parser answers or raises its documented error, quickly and in little memory."""
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris has wheels for Linux on x86-64 alone")
    done = run("coverage", target, "--seconds", SECONDS)
    assert done.returncode == 0, f"seed {SEED}\n{done.stderr[-4000:]}"
    assert "stat::number_of_executed_units" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is bounded and measured as on Linux")
def test_broken_volumes_are_refused_or_read_right() -> None:
    """No mutated file crashes or hangs the reader, takes half a gigabyte, or gives other voxels than it holds."""
    done = run("mutants", "--count", FILES)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\nthe last file: {done.stderr[-60:]}"
    assert f"{FILES} files, 0 findings" in done.stdout
