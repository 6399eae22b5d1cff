"""Untrusted bytes: coverage-guided fuzzing of the parsers, and ten kinds of damaged volumes.

``make fuzz`` runs this for longer, with more targets. Inputs that once crashed a parser are kept under ``crashes`` and
read again in every run.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
SECONDS = os.environ.get("FUZZ_SECONDS", "1")
FILES = os.environ.get("FUZZ_FILES", "600")
SEED = os.environ.get("FUZZ_SEED", "20261126")
TARGETS = ["envelope", "frame", "web_frame", "mrc_header"]
if os.environ.get("FUZZ_ALL"):
    TARGETS += ["request", "buffer", "topic", "inbound"]


def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"tests.fuzz.{module}", *arguments, "--seed", SEED]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", cwd=ROOT, check=False)
    sys.stdout.write(done.stdout)
    return done


def test_no_input_breaks_a_parser() -> None:
    """For any bytes, a parser returns or raises its documented error, within seconds and bounded memory."""
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris has wheels for Linux on x86-64 only")
    done = run("coverage", *TARGETS, "--seconds", SECONDS)
    assert done.returncode == 0, f"seed {SEED}\n{done.stderr[-4000:]}"
    assert done.stdout.split("\n") == [*(f"{target}: no finding" for target in TARGETS), ""]
    assert done.stderr.count("stat::number_of_executed_units") == len(TARGETS)


@pytest.mark.skipif(sys.platform != "linux", reason="needs the memory limits of Linux")
def test_damaged_volumes_are_refused_or_read_correctly() -> None:
    """No damaged file crashes or hangs the reader, takes half a gigabyte of memory, or gives wrong voxels."""
    done = run("mutants", "--count", FILES)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\nthe last file: {done.stderr[-60:]}"
    assert f"{FILES} files, 0 findings" in done.stdout
