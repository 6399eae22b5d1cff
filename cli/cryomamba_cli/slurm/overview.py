"""The tomograms of a submission as they are now: by the records among the results, and by SLURM's queue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryomamba.errors import CryoMambaError
from cryomamba_cli.batch.record import TomogramRecord, made_from, matching_record, recipe_of
from cryomamba_cli.batch.rows import Row
from cryomamba_cli.batch.session import State
from cryomamba_cli.batch.tomogram_list import file_states
from cryomamba_cli.segmentation_task import Task
from cryomamba_cli.slurm.folders import log_path
from cryomamba_cli.slurm.scheduler import QueuedTask, tasks_of
from cryomamba_cli.slurm.submission import Submission

if TYPE_CHECKING:
    from cryomamba.engines.info import EngineInfo

Queue = Mapping[tuple[str, int], QueuedTask]
_NO_REASON: Final = "None"


@dataclass(frozen=True, slots=True)
class Entry:
    """A tomogram of a submission.

    Attributes
    ----------
    row : Row
    task : int
        Which task of the array segments it; 0 if that was done before.
    log : Path or None
        Of that task, if it has one.
    """

    row: Row
    task: int
    log: Path | None


def queue_of(submission: Submission) -> Queue:
    """Return the tasks of a submission that SLURM lists; empty where SLURM cannot be asked."""
    try:
        return tasks_of([submission.array_job])
    except CryoMambaError:
        return {}


def entries(folder: Path, submission: Submission, info: EngineInfo, queue: Queue) -> list[Entry]:
    """Return the tomograms of a submission with their states.

    Parameters
    ----------
    folder : Path
        That of the submission.
    submission : Submission
    info : EngineInfo
        Its engine.
    queue : mapping
        The tasks that SLURM lists.
    """
    found: list[Entry] = []
    busy: set[int] = set()
    for number, (one, (name, task)) in enumerate(
        zip(submission.tomograms, submission.segmented(info).items(), strict=True), start=1
    ):
        record = _record(submission, task, info)
        queued = queue.get((submission.array_job, one.task))
        if record is not None:
            state = State.FAILED if record.state == "failed" else State.DONE if one.task else State.SKIPPED
            problem = ""
        else:
            state, problem = _without_record(queued, first=one.task not in busy)
            busy.add(one.task)
        log = log_path(folder, one.task) if one.task else None
        if state is State.INTERRUPTED:
            problem = f"Task {one.task} of job {submission.array_job} ended before it was done{problem}. Log: {log}"
        row = Row(number, str(name), state, submission.engine, task.mask, record, problem)
        found.append(Entry(row, one.task, log if log is not None and log.exists() else None))
    return found


def _record(submission: Submission, task: Task, info: EngineInfo) -> TomogramRecord | None:
    """Return the record of a tomogram if it belongs to this submission, or was done before and counts."""
    record = matching_record(task, recipe_of(task, info.parameters))
    if record is None:
        return None
    is_own = record.ended_at >= submission.created_at
    if record.state == "failed":
        return record if is_own else None
    counts = is_own or not submission.force
    return record if counts and made_from(record, file_states(task.tomogram)) else None


def _without_record(queued: QueuedTask | None, *, first: bool) -> tuple[State, str]:
    if queued is None:
        return State.INTERRUPTED, ""
    if queued.ended:
        return State.INTERRUPTED, f" ({queued.state})"
    if queued.state == "PENDING":
        return State.WAITING, "" if queued.reason == _NO_REASON else f"Pending: {queued.reason}"
    # A task takes its tomograms one after the other.
    return (State.RUNNING if first else State.WAITING), ""


def counts_text(rows: Iterable[Row]) -> str:
    """Return how many tomograms are in each state, as text."""
    counts = Counter(row.state for row in rows)
    words = {State.WAITING: "not started", State.SKIPPED: "already done"}
    return ", ".join(f"{counts[state]} {words.get(state, state)}" for state in State if counts[state])
