"""Several tomograms in one run of ``segment``: their tasks, what would be done with each, and the session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryomamba.errors import InvalidRequestError, JobFailedError
from cryomamba_cli import output
from cryomamba_cli.segmentation_task import Task
from cryomamba_cli.task_template import TaskTemplate

if TYPE_CHECKING:
    from cryomamba_cli.batch.plan import Plan


@dataclass(frozen=True, slots=True)
class Batch:
    """Tomograms that are segmented in the same way.

    Attributes
    ----------
    template : TaskTemplate
    tasks : sequence of Task
    folder : Path
        That of the masks.
    force : bool
        Repeat what was done before, and overwrite files of others.
    """

    template: TaskTemplate
    tasks: Sequence[Task]
    folder: Path
    force: bool = False

    @property
    def title(self) -> str:
        """The title of the report."""
        return f"Segmentation with {self.template.info.name}"

    def recipe(self, task: Task) -> dict[str, Any]:
        """Return all that a mask depends on besides the tomogram."""
        from cryomamba_cli.batch.record import recipe_of

        return recipe_of(task, self.template.info.parameters)

    def plans(self, *, server: bool) -> list[tuple[Task, str]]:
        """Return in words what would be done with each tomogram; no voxel is read."""
        from cryomamba_cli.batch.tomogram_list import planned

        return [(task, planned(task, self.recipe(task), force=self.force, server=server)) for task in self.tasks]


def require_names(tomograms: Sequence[str]) -> Sequence[str]:
    """Refuse a command without tomograms.

    Raises
    ------
    InvalidRequestError
    """
    if not tomograms:
        raise InvalidRequestError(
            "No tomogram was given.", hint="Give a file, a folder, a pattern in quotes, or --list."
        )
    return tomograms


def names_of(tomograms: Sequence[str] | None, list_file: Path | None) -> list[str]:
    """Return the names of tomograms that were given on the command line and in a list."""
    named = list(tomograms or ())
    if list_file is not None:
        from cryomamba_cli.batch.tomogram_list import read_list

        named += read_list(list_file)
    return named


def batch_of(template: TaskTemplate, names: Sequence[str], folder: Path, *, only_failed: bool, force: bool) -> Batch:
    """Return a batch of the tomograms that names, patterns and folders stand for.

    Raises
    ------
    InvalidRequestError
        There is none.
    ConflictError
        Two masks would have the same path.
    """
    from cryomamba_cli.batch.tomogram_list import expand, has_failed, mask_paths

    masks = mask_paths(expand(require_names(names)), folder, template.info.name)
    chosen = {path: mask for path, mask in masks.items() if not only_failed or has_failed(mask)}
    return Batch(template, [template.task(path, mask) for path, mask in chosen.items()], folder, force)


def print_plans(batch: Batch, *, server: bool, json: bool) -> None:
    """Print what would be done with each tomogram."""
    _print_plans(batch.plans(server=server), json=json)


def print_planned(plans: Sequence[Plan], *, server: bool, json: bool) -> None:
    """Print what would be done with each tomogram of a watched folder, as it is now."""
    from cryomamba_cli.batch.tomogram_list import is_own_result_file, planned

    def in_words(plan: Plan) -> str:
        if is_own_result_file(plan.task.tomogram):
            return "leave out: a result of CryoMamba"
        if plan.conflict is not None:
            return f"fail: {plan.conflict}"
        return planned(plan.task, plan.recipe, force=False, server=server)

    _print_plans([(plan.task, in_words(plan)) for plan in plans], json=json)


def _print_plans(plans: Sequence[tuple[Task, str]], *, json: bool) -> None:
    if json:
        fields = [
            {"tomogram": str(task.tomogram), "mask": str(task.mask), "engine": task.engine, "plan": plan}
            for task, plan in plans
        ]
        output.document(fields)
        return
    output.table(
        ("TOMOGRAM", "MASK", "ENGINE", "PLAN"),
        [(str(task.tomogram), str(task.mask), task.engine, plan) for task, plan in plans],
    )
    count = "1 tomogram" if len(plans) == 1 else f"{len(plans)} tomograms"
    output.note(f"{count}. Nothing was written.")


def run_batch(
    batch: Batch, server: str | None, dask: str | None, *, slots: int | None, pictures: bool, json: bool
) -> None:
    """Segment the tomograms of a batch.

    Raises
    ------
    JobFailedError
        Some of them failed.
    Interrupted
        A signal has arrived.
    """
    from cryomamba_cli.batch.plan import Options, Plan
    from cryomamba_cli.batch.report import SUMMARY
    from cryomamba_cli.batch.run_session import Source, Target, print_counts, run_session
    from cryomamba_cli.batch.session import Session
    from cryomamba_cli.batch.tomogram_list import listed, require_batch_outputs

    require_batch_outputs(batch.tasks, batch.folder, force=batch.force)
    plans = {task.tomogram: Plan(task, batch.recipe(task)) for task in batch.tasks}
    found = listed(plans)
    session = Session()
    run_session(
        session,
        Source(lambda: found, plans.__getitem__),
        Target(batch.folder, batch.title, server, slots, len(batch.tasks), json=json, dask=dask),
        Options(force=batch.force, server=server is not None, pictures=pictures),
    )
    failed = print_counts(session, batch.folder, json=json)
    if failed:
        raise JobFailedError(
            f"{failed} of {len(session)} tomograms failed.",
            hint=f"See '{batch.folder / SUMMARY}' for the reasons; run the same command again to retry.",
        )
