"""Segmentation in this process, without any service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryomamba.printable import file_text
from cryomamba_cli.reporter import Reporter
from cryomamba_cli.segmentation_task import Task
from cryomamba_cli.signals import Interrupted, Interrupts

if TYPE_CHECKING:
    from cryomamba_inference.local import LocalResult


def run_locally(task: Task, display: Reporter, interrupts: Interrupts) -> dict[str, Any]:
    """Segment a tomogram and return the statistics of the mask.

    Raises
    ------
    CryoMambaError
        The volume or a parameter is not valid, or the engine failed.
    Interrupted
        A signal arrived, and the engine stopped after its current tile; nothing was written, unless the mask was
        complete already.
    """
    from cryomamba.optional_imports import requires_extra

    with requires_extra("inference"):
        from cryomamba_inference.local import LocalRunner
    from cryomamba.models.jobs import SubmitRequest, VolumeSource

    request = SubmitRequest(
        volume=VolumeSource(path=file_text(task.tomogram), voxel_size_A=task.voxel_size_A),
        engine=task.engine,
        params=dict(task.params),
        name=task.name,
    )
    result: LocalResult | None = None
    try:
        with interrupts.deferred():
            result = LocalRunner().run(
                task.tomogram,
                request,
                output=task.mask,
                on_event=display.event,
                cancelled=interrupts.pending,
                formats=tuple(task.exports),
                within=task.within,
                model=task.model,
            )
    except Interrupted:
        outcome = "The job is cancelled; nothing was written." if result is None else f"{task.mask} is complete."
        display.note(f"Interrupted. {outcome}")
        raise
    return result.statistics
