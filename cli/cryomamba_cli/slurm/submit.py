"""Submit a batch: leave out what is done or queued, write the folder of the submission, and submit its scripts."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryomamba.atomic import write_atomically
from cryomamba.errors import CryoMambaError, InvalidRequestError
from cryomamba_cli.batch.record import made_from, matching_record
from cryomamba_cli.batch.tomogram_list import file_states, require_batch_outputs
from cryomamba_cli.segment_batch import Batch
from cryomamba_cli.segmentation_task import Task
from cryomamba_cli.slurm import scheduler
from cryomamba_cli.slurm.folders import create_folder
from cryomamba_cli.slurm.overview import queue_of
from cryomamba_cli.slurm.scripts import Resources, array_script, summary_script
from cryomamba_cli.slurm.submission import Submission, Tomogram, path_of, quoted, submissions, write_submission


@dataclass(frozen=True, slots=True)
class Division:
    """What becomes of the tomograms of a batch.

    Attributes
    ----------
    done, queued, pending : tuple of Task
        Segmented before, in the queue by an earlier submission, and to be submitted.
    """

    done: tuple[Task, ...]
    queued: tuple[Task, ...]
    pending: tuple[Task, ...]


def divide(batch: Batch, *, ask: bool) -> Division:
    """Find out which tomograms of a batch are to be submitted, by size and date: no voxel is read.

    Parameters
    ----------
    batch : Batch
    ask : bool
        Whether to ask SLURM for earlier submissions that have not ended.
    """
    busy = _queued_masks(batch.folder) if ask else set()
    done, queued, pending = [], [], []
    for task in batch.tasks:
        if task.mask.absolute() in busy:
            queued.append(task)
        elif not batch.force and _is_done(batch, task):
            done.append(task)
        else:
            pending.append(task)
    return Division(tuple(done), tuple(queued), tuple(pending))


def _is_done(batch: Batch, task: Task) -> bool:
    record = matching_record(task, batch.recipe(task))
    return record is not None and record.state == "done" and made_from(record, file_states(task.tomogram))


def _queued_masks(results: Path) -> set[Path]:
    found = set()
    for _, submission in submissions(results):
        queue = queue_of(submission)
        live = {task for (_, task), queued in queue.items() if not queued.ended}
        found |= {path_of(one.mask) for one in submission.tomograms if one.task in live}
    return found


def submission_of(batch: Batch, division: Division, per_task: int, *, pictures: bool) -> Submission:
    """Return the submission of a batch, with `per_task` tomograms for each task; those done before have none."""
    template = batch.template
    numbered = [(task, 0) for task in division.done]
    numbered += [(task, number // per_task + 1) for number, task in enumerate(division.pending)]
    return Submission(
        created_at=datetime.now(UTC),
        title=batch.title,
        engine=template.info.name,
        params=dict(template.params),
        voxel_size_A=template.size,
        nifti=template.nifti,
        nrrd=template.nrrd,
        scores=template.scores,
        formats=template.formats,
        force=batch.force,
        pictures=pictures,
        tomograms=tuple(
            Tomogram(
                name=quoted(task.tomogram),
                path=quoted(task.tomogram.absolute()),
                mask=quoted(task.mask.absolute()),
                task=number,
            )
            for task, number in numbered
        ),
    )


def tomograms_per_task(asked: int | None, tomograms: int, most: int) -> int:
    """Return how many tomograms a task has, so that an array has at most `most` tasks.

    Raises
    ------
    InvalidRequestError
        With the number that was asked for there would be more.
    """
    least = max(-(-tomograms // most), 1)
    if asked is not None and asked < least:
        raise InvalidRequestError(
            f"{tomograms} tomograms with {asked} in a task are more than the {most} tasks that an array of this "
            "cluster can have.",
            hint=f"Give --per-task {least}, or leave it out.",
        )
    return asked or least


def scripts(submission: Submission, resources: Resources, folder: Path) -> tuple[str, str]:
    """Return the scripts of the array and of the report."""
    cwd = Path.cwd()
    return array_script(resources, folder, submission.tasks, cwd), summary_script(resources, folder, cwd)


def submit_batch(batch: Batch, submission: Submission, resources: Resources) -> tuple[Path, Submission]:
    """Write the folder of a submission and submit its jobs.

    Returns
    -------
    Path
        The folder.
    Submission
        With the ids of its jobs.

    Raises
    ------
    InvalidRequestError
        SLURM refuses; nothing is left in the queue, or an output cannot be written.
    UnavailableError
        SLURM cannot be reached.
    """
    require_batch_outputs(batch.tasks, batch.folder, force=batch.force)
    folder = create_folder(batch.folder.absolute(), submission.created_at)
    array, summary = folder / "array.sh", folder / "summary.sh"
    for path, text in zip((array, summary), scripts(submission, resources, folder), strict=True):
        write_atomically(path, text)
    # Before the array: a task may start at once.
    write_submission(folder, submission)
    try:
        submission = _submit(folder, submission, array, summary)
    except CryoMambaError:
        # It was just made, and nothing runs.
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder, submission


def _submit(folder: Path, submission: Submission, array: Path, summary: Path) -> Submission:
    job = scheduler.submit(array)
    submission = submission.model_copy(update={"array_job": job})
    write_submission(folder, submission)
    try:
        report = scheduler.submit(summary, after=job)
    except CryoMambaError:
        scheduler.cancel(job)
        raise
    submission = submission.model_copy(update={"summary_job": report})
    write_submission(folder, submission)
    return submission
