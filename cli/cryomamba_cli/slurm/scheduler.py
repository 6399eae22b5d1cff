"""SLURM's own commands: submit, list and cancel jobs."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryomamba.errors import CryoMambaError, InvalidRequestError, UnavailableError
from cryomamba.printable import printable

_ANSWER_S: Final = 120.0
"""A busy controller answers late; SLURM's commands give up by themselves before this."""
_MAX_ARRAY_SIZE: Final = 1001
"""SLURM's default of MaxArraySize: the largest index and one."""
_NO_SUCH_JOB: Final = "Invalid job id"
_AWAY: Final = ("Unable to contact", "Connection refused", "Zero Bytes were transmitted", "Socket timed out")
_LIVE: Final = frozenset(
    ["PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "STOPPED", "REQUEUED", "REQUEUE_HOLD", "RESIZING"]
)


@dataclass(frozen=True, slots=True)
class QueuedTask:
    """A task of an array as SLURM lists it.

    Attributes
    ----------
    state : str
        Such as ``PENDING``, ``RUNNING``, ``TIMEOUT``.
    reason : str
        Why it is pending; ``None`` without a reason.
    """

    state: str
    reason: str

    @property
    def ended(self) -> bool:
        """Whether it will not run any more; one that is requeued is pending."""
        return self.state not in _LIVE


def submit(script: Path, *, after: str | None = None) -> str:
    """Submit a script, and return the id of the job.

    Parameters
    ----------
    script : Path
    after : str, optional
        A job that must have ended first, in whatever way.

    Raises
    ------
    UnavailableError
        There is no ``sbatch`` here, or the cluster's controller does not answer.
    InvalidRequestError
        SLURM refuses the job.
    """
    dependency = [] if after is None else [f"--dependency=afterany:{after}"]
    printed = _run(["sbatch", "--parsable", *dependency, str(script)])
    # With several clusters, the name of the cluster follows.
    return printed.strip().partition(";")[0]


def cancel(job: str) -> None:
    """Cancel a job with all its tasks."""
    _run(["scancel", job])


def tasks_of(jobs: Sequence[str]) -> Mapping[tuple[str, int], QueuedTask]:
    """Return the tasks of arrays that SLURM still lists: those that have not ended, and for minutes those that have.

    Returns
    -------
    mapping of (str, int) to QueuedTask
        By the id of the array and the number of the task.
    """
    found = {}
    for job in jobs:
        form = "--format=%F|%K|%T|%r"
        try:
            printed = _run(["squeue", "--array", "--noheader", "--states=all", f"--jobs={job}", form])
        except InvalidRequestError as error:
            if _NO_SUCH_JOB in error.message:
                continue
            raise
        for line in printed.splitlines():
            array, task, state, reason = line.strip().split("|", 3)
            if task.isdecimal():
                found[array, int(task)] = QueuedTask(state, reason)
    return found


def most_tasks() -> int:
    """Return how many tasks an array of this cluster can have."""
    try:
        match = re.search(r"^MaxArraySize\s*=\s*(\d+)", _run(["scontrol", "show", "config"]), re.MULTILINE)
    except CryoMambaError:
        match = None
    return (_MAX_ARRAY_SIZE if match is None else int(match[1])) - 1


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603 (SLURM's commands, from the user's PATH)  # nosec B603
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_ANSWER_S, check=False
        )
    except FileNotFoundError:
        raise UnavailableError(
            f"'{command[0]}' was not found: SLURM's commands are not on this machine.",
            hint="Run this on a login node of the cluster. --dry-run prints the script without SLURM.",
            retryable=False,
        ) from None
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"'{command[0]}' has not answered for {_ANSWER_S:.0f} s.", hint="Try again.") from None
    if done.returncode == 0:
        return done.stdout.decode("utf-8", "replace")
    problem = printable(" ".join(_messages(done.stderr.decode("utf-8", "replace"))) or f"status {done.returncode}")
    if any(sign in problem for sign in _AWAY):
        raise UnavailableError(f"SLURM's controller does not answer: {problem}", hint="Try again later.")
    raise InvalidRequestError(
        f"SLURM refused '{command[0]}': {problem}",
        hint="'sinfo' lists partitions, their time limits and nodes, 'sacctmgr show associations user=$USER' accounts.",
    )


def _messages(stderr: str) -> list[str]:
    """Return the lines of an error without the name of the program before each."""
    return [re.sub(r"^\w+: (error: )?", "", line.strip()) for line in stderr.splitlines() if line.strip()]
