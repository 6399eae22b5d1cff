"""The GPUs of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryomamba.errors import UnavailableError
from cryomamba_server.gpus import list_gpus, parse_gpus


def fake_nvidia_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a program of this name first on the PATH."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def test_names_may_contain_commas_and_other_lines_are_skipped() -> None:
    """Each line is a name and a memory size in MiB."""
    assert parse_gpus("NVIDIA H100 80GB HBM3, 81559\nOdd, name, 100\nno number, [N/A]\n\n") == [
        ("NVIDIA H100 80GB HBM3", 81559 * 2**20),
        ("Odd, name", 100 * 2**20),
    ]


def test_the_gpus_are_those_that_nvidia_smi_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program is asked for name and memory."""
    fake_nvidia_smi(tmp_path, monkeypatch, 'test "$1" = --query-gpu=name,memory.total && echo "NVIDIA A40, 46068"')
    assert list_gpus() == [("NVIDIA A40", 46068 * 2**20)]


def test_a_machine_without_nvidia_smi_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is no error."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert list_gpus() == []


def test_a_failing_nvidia_smi_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken driver is not the same as no GPU."""
    fake_nvidia_smi(tmp_path, monkeypatch, "exit 9")
    with pytest.raises(UnavailableError, match="nvidia-smi"):
        list_gpus()
