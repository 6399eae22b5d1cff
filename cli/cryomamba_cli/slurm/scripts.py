"""The scripts that ``sbatch`` gets. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryomamba_cli.slurm.folders import log_path, summary_log_path

DEFAULT_CPUS: Final = 4
_GB_PER_PROCESS: Final = 1
"""As for a batch on one machine: docs/operations/capacity.md has what was measured."""
_GB_BESIDES: Final = 1
"""For the program itself and for pictures."""
_SUMMARY_GB: Final = 2
_SUMMARY_MINUTES: Final = 30
"""The report of 500 tomograms takes seconds; a slow file system and recovered results are allowed for."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What is asked of SLURM, in its own words; None leaves a value to the cluster.

    Attributes
    ----------
    partition, account, qos, time : str or None
    cpus : int
        Processes of a task.
    mem : str or None
        Memory of a task, such as ``8G``; if not given, 1 GB for each process and 1 GB more.
    at_once : int or None
        Tasks that run at once.
    lines, summary_lines : tuple of str
        Further options of ``sbatch`` for the array, and for the job that writes the report.
    setup : tuple of str
        Shell commands before the program starts.
    program : tuple of str
        The words that start ``cryomamba`` on a compute node.
    """

    program: tuple[str, ...]
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time: str | None = None
    cpus: int = DEFAULT_CPUS
    mem: str | None = None
    at_once: int | None = None
    lines: tuple[str, ...] = ()
    summary_lines: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()

    @property
    def memory(self) -> str:
        """The memory of a task."""
        return self.mem or f"{self.cpus * _GB_PER_PROCESS + _GB_BESIDES}G"


def array_script(resources: Resources, folder: Path, tasks: int, cwd: Path) -> str:
    """Return the script of the array, whose tasks segment tomograms.

    Parameters
    ----------
    resources : Resources
    folder : Path
        Absolute path of the submission.
    tasks : int
    cwd : Path
        Relative names are relative to it.
    """
    throttle = "" if resources.at_once is None else f"%{resources.at_once}"
    options = [
        "--job-name=cryomamba",
        f"--array=1-{tasks}{throttle}",
        *_common(resources, cwd),
        f"--cpus-per-task={resources.cpus}",
        f"--mem={resources.memory}",
        *([] if resources.time is None else [f"--time={resources.time}"]),
        f"--output={_pattern(log_path(folder, 0).parent)}/%a.log",
        "--open-mode=append",
    ]
    return _script(
        "Segments the tomograms of submission.json, task by task.",
        options,
        resources.lines,
        [*resources.setup, f"export CRYOMAMBA_PROCESSES={resources.cpus}"],
        [*resources.program, "slurm", "task", str(folder)],
    )


def summary_script(resources: Resources, folder: Path, cwd: Path) -> str:
    """Return the script of the job that writes the report when all tasks have ended, in whatever way."""
    options = [
        "--job-name=cryomamba-report",
        *_common(resources, cwd),
        "--cpus-per-task=1",
        f"--mem={_SUMMARY_GB}G",
        f"--time={_SUMMARY_MINUTES}",
        f"--output={_pattern(summary_log_path(folder))}",
        "--open-mode=append",
    ]
    return _script(
        "Writes report.html and summary.csv when all tasks have ended.",
        options,
        resources.summary_lines,
        resources.setup,
        [*resources.program, "slurm", "report", str(folder)],
    )


def _common(resources: Resources, cwd: Path) -> list[str]:
    named = {"partition": resources.partition, "account": resources.account, "qos": resources.qos}
    return [f"--{name}={value}" for name, value in named.items() if value is not None] + [f"--chdir={cwd}"]


def _script(
    about: str, options: Sequence[str], lines: Sequence[str], setup: Sequence[str], command: Sequence[str]
) -> str:
    head = ["#!/bin/bash", f"# {about} Written by 'cryomamba slurm submit'."]
    # Those of the user come last: of an option that is given twice, sbatch takes the second.
    head += [f"#SBATCH {shlex.quote(option)}" for option in options] + [f"#SBATCH {line}" for line in lines]
    # In place of the shell, so that the program gets the signal with which SLURM ends a task.
    return "\n".join([*head, "", *setup, f"exec {shlex.join(command)}", ""])


def _pattern(path: Path) -> str:
    """Return a path for ``--output``, where a percent sign begins a placeholder."""
    return str(path).replace("%", "%%")
