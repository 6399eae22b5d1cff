"""``slurm``: segment many tomograms on a cluster."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cryomamba.errors import InvalidRequestError, JobFailedError
from cryomamba_cli import output
from cryomamba_cli.engines import choose, offered
from cryomamba_cli.error_boundary import Commands
from cryomamba_cli.options import Force, Json, Parameters, VoxelSize, voxel_size
from cryomamba_cli.parameters import parse
from cryomamba_cli.segment_batch import Batch, batch_of, names_of
from cryomamba_cli.segment_options import EngineName, Formats, ListFile, Model, Nifti, Nrrd, Pictures, Scores, Tomograms
from cryomamba_cli.slurm.options import (
    Account,
    AtOnce,
    Cpus,
    Memory,
    Partition,
    PerTask,
    Program,
    Qos,
    SbatchLines,
    Setup,
    SummaryLines,
    Time,
)
from cryomamba_cli.slurm.scripts import DEFAULT_CPUS, Resources
from cryomamba_cli.task_template import TaskTemplate

if TYPE_CHECKING:
    from cryomamba_cli.slurm.submission import Submission
    from cryomamba_cli.slurm.submit import Division

_TASK_VARIABLE: Final = "SLURM_ARRAY_TASK_ID"
_LISTED: Final = 20
"""Tomograms that `status` lists; the report has all."""

app = typer.Typer(
    name="slurm",
    cls=Commands,
    no_args_is_help=True,
    help="Segment many tomograms on a SLURM cluster, without a server.",
)

OutDir = Annotated[
    Path,
    typer.Option(
        "--out-dir", "-o", help="Folder for the results, which all compute nodes can write; created if missing."
    ),
]
OnlyFailed = Annotated[bool, typer.Option("--only-failed", help="Only tomograms that failed in an earlier run.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the script for sbatch; nothing is written or submitted.")
]
Results = Annotated[
    Path, typer.Argument(metavar="DIR", help="Folder of the results, or of one submission in its folder 'slurm'.")
]


@app.command(
    epilog="Examples:\n\n  cryomamba slurm submit 'tomograms/*.mrc' -o masks/ --partition cpu --time 1:00:00\n\n"
    "  cryomamba slurm submit tomograms/ -o masks/ -e membrane --cpus-per-task 8 --jobs 50 --dry-run"
)
def submit(
    out_dir: OutDir,
    tomogram: Tomograms = None,
    engine: EngineName = None,
    param: Parameters = None,
    size: VoxelSize = None,
    model: Model = None,
    nifti: Nifti = False,
    nrrd: Nrrd = False,
    scores: Scores = False,
    formats: Formats = None,
    list_file: ListFile = None,
    pictures: Pictures = True,
    only_failed: OnlyFailed = False,
    force: Force = False,
    partition: Partition = None,
    account: Account = None,
    qos: Qos = None,
    time: Time = None,
    cpus: Cpus = DEFAULT_CPUS,
    mem: Memory = None,
    at_once: AtOnce = None,
    per_task: PerTask = None,
    sbatch: SbatchLines = None,
    sbatch_summary: SummaryLines = None,
    setup: Setup = None,
    program: Program = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Submit an array of jobs, a task for each tomogram, and a job that writes report.html and summary.csv at the end.

    Tomograms that are done, or in the queue by an earlier submission, are left out. After failures, time limits or
    scancel, run the same command again: only what is missing is submitted. All files must be where the compute nodes
    see them.
    """
    from cryomamba_cli.segment import learned_parameters

    info = choose(offered(None), engine)
    params = parse(param or (), info.parameters, owner=info.name)
    params |= learned_parameters(info, None, model, None, several=True)
    template = TaskTemplate(
        info, params, voxel_size(size), nifti=nifti, nrrd=nrrd, scores=scores, formats=tuple(formats or ())
    )
    template.require_formats()
    _require_valid(template)
    resources = Resources(
        program=_program(program),
        partition=partition,
        account=account,
        qos=qos,
        time=time,
        cpus=cpus,
        mem=mem,
        at_once=at_once,
        lines=tuple(sbatch or ()),
        summary_lines=tuple(sbatch_summary or ()),
        setup=tuple(setup or ()),
    )
    batch = batch_of(template, names_of(tomogram, list_file), out_dir, only_failed=only_failed, force=force)
    _submit_pending(batch, resources, per_task, pictures=pictures, dry_run=dry_run, json=json)


def _submit_pending(
    batch: Batch, resources: Resources, per_task: int | None, *, pictures: bool, dry_run: bool, json: bool
) -> None:
    """Submit the tomograms of a batch that are neither done nor queued, or show the script."""
    from cryomamba_cli.slurm import scheduler
    from cryomamba_cli.slurm.folders import FOLDER
    from cryomamba_cli.slurm.submit import divide, scripts, submission_of, submit_batch, tomograms_per_task

    division = divide(batch, ask=not dry_run)
    number = len(division.pending)
    if not number:
        output.note(f"{_left_out(division)}; there is nothing to submit.")
        return
    submission = submission_of(
        batch, division, tomograms_per_task(per_task, number, scheduler.most_tasks()), pictures=pictures
    )
    if dry_run:
        for line in scripts(submission, resources, (batch.folder / FOLDER / "DATE").absolute())[0].splitlines():
            output.say(line)
        output.note(f"{number} tomograms in {submission.tasks} tasks. {_left_out(division)}. Nothing was submitted.")
        return
    folder, submission = submit_batch(batch, submission, resources)
    _print_submitted(folder, submission, division, batch.folder, json=json)


def _require_valid(template: TaskTemplate) -> None:
    """Check the parameters here, before they fail in every task."""
    from cryomamba.engines.registry import Registry

    Registry.discover().create(template.info.name, dict(template.params))


def _program(command: str | None) -> tuple[str, ...]:
    if command is None:
        return (sys.executable, "-m", "cryomamba_cli")
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise InvalidRequestError(f"--program cannot be read: {error}.", hint="Close its quotes.") from None
    if not words:
        raise InvalidRequestError("--program is empty.", hint="For example: 'apptainer run cryomamba.sif'.")
    return words


def _left_out(division: Division) -> str:
    return f"{len(division.done)} were already done, {len(division.queued)} are in the queue already"


def _print_submitted(folder: Path, submission: Submission, division: Division, out_dir: Path, *, json: bool) -> None:
    number = len(division.pending)
    if json:
        output.document(
            {
                "folder": str(folder),
                "array_job": submission.array_job,
                "summary_job": submission.summary_job,
                "tasks": submission.tasks,
                "tomograms": {"submitted": number, "done": len(division.done), "queued": len(division.queued)},
            }
        )
        return
    tasks = "1 task" if submission.tasks == 1 else f"{submission.tasks} tasks"
    tomograms = "1 tomogram" if number == 1 else f"{number} tomograms"
    output.note(f"Submitted {tomograms} in {tasks}; {_left_out(division)}.")
    output.note(f"Job {submission.summary_job} writes the report when all have ended.")
    output.note(f"Scripts and logs: {folder}")
    output.note(
        f"Follow it: cryomamba slurm status {shlex.quote(str(out_dir))}   Cancel it: scancel {submission.array_job}"
    )
    output.say(submission.array_job)


@app.command(epilog="Examples:\n\n  cryomamba slurm status masks/\n\n  cryomamba slurm status masks/ --json")
def status(results: Results, json: Json = False) -> None:
    """Show how far the newest submission is: its tomograms by their records and by SLURM's queue."""
    from cryomamba_cli.batch.display import row_fields
    from cryomamba_cli.batch.session import State
    from cryomamba_cli.slurm.overview import counts_text, entries
    from cryomamba_cli.slurm.scheduler import tasks_of
    from cryomamba_cli.slurm.submission import find_submission

    folder, submission = find_submission(results)
    queue = tasks_of([submission.array_job]) if submission.array_job else {}
    found = entries(folder, submission, choose(offered(None), submission.engine), queue)
    if json:
        tomograms = [
            {
                **row_fields(entry.row, len(found)),
                "task": entry.task or None,
                "log": None if entry.log is None else str(entry.log),
            }
            for entry in found
        ]
        jobs = {"array_job": submission.array_job, "summary_job": submission.summary_job}
        output.document({"folder": str(folder), **jobs, "tomograms": tomograms})
        return
    shown = {State.RUNNING, State.FAILED, State.INTERRUPTED}
    listed = [entry for entry in found if entry.row.state in shown]
    if listed:
        rows = [
            (entry.row.tomogram, str(entry.row.state), str(entry.task), entry.row.error or str(entry.log or ""))
            for entry in listed[:_LISTED]
        ]
        output.table(("TOMOGRAM", "STATE", "TASK", "REASON OR LOG"), rows)
    if len(listed) > _LISTED:
        output.note(f"and {len(listed) - _LISTED} more; see the report, or --json.")
    output.say(f"Job {submission.array_job}: {counts_text(entry.row for entry in found)}")
    output.note(f"Scripts and logs: {folder}")


@app.command(epilog="Example:\n\n  cryomamba slurm report masks/")
def report(results: Results) -> None:
    """Write report.html and summary.csv of the newest submission, also while it runs; its last job does the same."""
    from cryomamba_cli.batch.report import REPORT, SUMMARY
    from cryomamba_cli.batch.session import State
    from cryomamba_cli.slurm.folders import results_of
    from cryomamba_cli.slurm.overview import counts_text
    from cryomamba_cli.slurm.report import write_report
    from cryomamba_cli.slurm.submission import find_submission

    folder, submission = find_submission(results)
    rows = write_report(folder.absolute(), submission)
    output.note(counts_text(rows))
    for name in (SUMMARY, REPORT):
        output.say(str(results_of(folder) / name))
    bad = sum(row.state in {State.FAILED, State.INTERRUPTED} for row in rows)
    if bad:
        raise JobFailedError(
            f"{bad} of {len(rows)} tomograms have failed or were interrupted.",
            hint="See the report for the reasons. Submit the same command again to try them again.",
        )


@app.command(hidden=True)
def task(folder: Annotated[Path, typer.Argument(help="Folder of the submission.")]) -> None:
    """Segment the tomograms of one task. The script of the array runs this on a compute node."""
    from cryomamba.settings import load_settings
    from cryomamba_cli.slurm.run_task import run_task
    from cryomamba_cli.slurm.submission import find_submission

    number = os.environ.get(_TASK_VARIABLE, "")
    if not number.isdecimal():
        raise InvalidRequestError(
            f"{_TASK_VARIABLE} is not set: this command is for the tasks of an array.",
            hint="Use 'cryomamba slurm submit'.",
        )
    _, submission = find_submission(folder)
    info = choose(offered(None), submission.engine)
    run_task(folder, submission, info, int(number), load_settings().processes or os.cpu_count() or 1)
