"""Segmentation in this process, without any service."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from cryomamba.printable import file_text
from cryomamba_cli.reporter import Reporter
from cryomamba_cli.segmentation_task import Task
from cryomamba_cli.signals import Interrupted, Interrupts

if TYPE_CHECKING:
    from cryomamba.models.events import Event
    from cryomamba_inference.local import LocalResult

_NO_PREVIEWS_S: Final = 60.0
"""The longest interval between previews that a request may ask for."""


def run_locally(
    task: Task, display: Reporter, interrupts: Interrupts, *, dask: str | None = None, dask_volume: str | None = None
) -> dict[str, Any]:
    """Segment a tomogram and return the statistics of the mask; the options are as for :func:`segment_locally`.

    Raises
    ------
    CryoMambaError
        The volume or a parameter is not valid, or the engine failed.
    Interrupted
        A signal arrived, and the engine stopped after its current tile; nothing was written, unless the mask was
        complete already.
    """
    result: LocalResult | None = None
    try:
        with interrupts.deferred():
            result = segment_locally(task, display.event, interrupts.pending, dask=dask, dask_volume=dask_volume)
    except Interrupted:
        outcome = "The job is cancelled; nothing was written." if result is None else f"{task.mask} is complete."
        display.note(f"Interrupted. {outcome}")
        raise
    return result.statistics


def segment_locally(
    task: Task,
    on_event: Callable[[Event], None],
    cancelled: Callable[[], bool],
    *,
    processes: int | None = None,
    dask: str | None = None,
    dask_volume: str | None = None,
    previews: bool = True,
) -> LocalResult:
    """Write the files of a task, except for the conversions. May be called in several threads.

    Parameters
    ----------
    task : Task
    on_event : callable
        Called with progress and previews.
    cancelled : callable
        Called often; return True to cancel.
    processes : int, optional
        ``CRYOMAMBA_PROCESSES`` if not given.
    dask : str, optional
        The Dask scheduler whose workers compute the tiles; ``CRYOMAMBA_DASK`` if neither this nor `processes` is given.
    dask_volume : str, optional
        Where a gateway serves the tomogram to workers that do not see its path.
    previews : bool
        Whether somebody sees the previews; without, none but the last is made.

    Raises
    ------
    CryoMambaError
        The volume or a parameter is not valid, the engine failed, or the run was cancelled.
    """
    from cryomamba.optional_imports import requires_extra

    with requires_extra("inference"):
        from cryomamba_inference.local import LocalRunner
    from cryomamba.models.jobs import PreviewOptions, SubmitRequest, VolumeSource

    request = SubmitRequest(
        volume=VolumeSource(path=file_text(task.tomogram), voxel_size_A=task.voxel_size_A),
        engine=task.engine,
        params=dict(task.params),
        name=task.name,
        preview=PreviewOptions() if previews else PreviewOptions(interval_s=_NO_PREVIEWS_S),
    )
    return LocalRunner(processes, dask=dask, dask_volume=dask_volume).run(
        task.tomogram,
        request,
        output=task.mask,
        on_event=on_event,
        cancelled=cancelled,
        formats=tuple(task.exports),
        within=task.within,
        model=task.model,
    )
