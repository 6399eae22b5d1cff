"""`cryomamba slurm` without a cluster: the scripts, and what is refused."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from cryomamba_cli.slurm.scripts import Resources, array_script, summary_script
from cryomamba_cli.slurm.submit import tomograms_per_task

Cli = Callable[..., Result]
ALL = Resources(
    program=("python 3", "-m", "cryomamba_cli"),
    partition="gpu",
    account="lab",
    qos="long",
    time="2:00:00",
    cpus=8,
    at_once=5,
    lines=("--gpus=1",),
    summary_lines=("--mail-type=END",),
    setup=("module load cuda", "export X='1 2'"),
)


def options(script: str) -> list[str]:
    return [line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH ")]


def test_the_script_of_the_array_asks_for_what_was_given() -> None:
    """Further options come last, memory follows the processors, and a percent sign in a path is no placeholder."""
    script = array_script(ALL, Path("/data/50% done/slurm/1"), 12, Path("/data"))
    assert options(script) == [
        "--job-name=cryomamba",
        "--array=1-12%5",
        "--partition=gpu",
        "--account=lab",
        "--qos=long",
        "--chdir=/data",
        "--cpus-per-task=8",
        "--mem=9G",
        "--time=2:00:00",
        "'--output=/data/50%% done/slurm/1/logs/%a.log'",
        "--open-mode=append",
        "--gpus=1",
    ]
    assert script.splitlines()[-4:-1] == ["module load cuda", "export X='1 2'", "export CRYOMAMBA_PROCESSES=8"]
    assert script.splitlines()[-1] == "exec 'python 3' -m cryomamba_cli slurm task '/data/50% done/slurm/1'"


def test_the_script_of_the_report_asks_for_little() -> None:
    """It runs where the array runs, with its own further options."""
    found = options(summary_script(ALL, Path("/data/slurm/1"), Path("/data")))
    assert {"--partition=gpu", "--account=lab", "--cpus-per-task=1", "--mem=2G"} <= set(found)
    assert found[-1] == "--mail-type=END"
    assert "--gpus=1" not in found


@pytest.mark.parametrize(
    "script", [array_script(ALL, Path("/a b/$c"), 1, Path("/")), summary_script(ALL, Path("/a b/$c"), Path("/"))]
)
def test_scripts_are_shell_scripts(script: str) -> None:
    """The shell accepts them."""
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_a_dry_run_needs_no_cluster(cli: Cli, tomogram: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It prints the script and writes nothing."""
    monkeypatch.setenv("PATH", "/nowhere")
    done = cli("slurm", "submit", tomogram, "-o", "out", "-e", "threshold", "--dry-run")
    assert done.exit_code == 0
    assert done.stdout.startswith("#!/bin/bash\n")
    assert "#SBATCH --array=1-1\n" in done.stdout
    assert not Path("out").exists()


def test_without_slurm_nothing_is_left(cli: Cli, tomogram: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says that the commands are missing and where they are found."""
    monkeypatch.setenv("PATH", "/nowhere")
    done = cli("slurm", "submit", tomogram, "-o", "out", "-e", "threshold")
    assert done.exit_code == 4
    assert "'sbatch' was not found" in done.stderr
    assert "login node" in done.stderr
    assert list(Path("out/slurm").iterdir()) == []


def test_parameters_are_checked_before_anything_is_submitted(cli: Cli, tomogram: Path) -> None:
    """A wrong value is refused here, instead of failing in every task."""
    done = cli("slurm", "submit", tomogram, "-o", "out", "-e", "threshold", "-p", "sigma_A=-3")
    assert done.exit_code == 2
    assert not Path("out").exists()


def test_a_folder_without_submission_has_no_status(cli: Cli, tmp_path: Path) -> None:
    """The message says which folder is meant."""
    for command in ("status", "report"):
        done = cli("slurm", command, tmp_path)
        assert done.exit_code == 3
        assert "Nothing was submitted" in done.stderr


@pytest.mark.parametrize(
    ("asked", "tomograms", "most", "expected"), [(None, 9, 1000, 1), (None, 9, 4, 3), (5, 9, 4, 5)]
)
def test_tomograms_are_divided_among_tasks(asked: int | None, tomograms: int, most: int, expected: int) -> None:
    """One for each, or as few as the cluster allows, or as many as were asked for."""
    assert tomograms_per_task(asked, tomograms, most) == expected
