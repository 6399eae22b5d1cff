"""Segmentation on a server: submit a job, follow it, download its files."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from cryomamba.errors import ConflictError, CryoMambaError
from cryomamba_cli.jobs import follow
from cryomamba_cli.reporter import Reporter
from cryomamba_cli.segmentation_task import Task, model_paths
from cryomamba_cli.signals import Interrupted, Interrupts

if TYPE_CHECKING:
    from cryomamba.client import Client, Job


def run_on_server(task: Task, server: str, display: Reporter, interrupts: Interrupts) -> dict[str, Any]:
    """Segment a tomogram on a server and return the statistics of the mask.

    Raises
    ------
    CryoMambaError
        The job was refused, failed or was cancelled, or the server is away.
    Interrupted
        A signal arrived; the job is cancelled.
    """
    import cryomamba
    from cryomamba.models.jobs import Priority

    name = task.tomogram.name
    with cryomamba.connect(server) as client:

        def submit() -> Job:
            return client.submit(
                task.tomogram,
                engine=task.engine,
                params=task.params,
                voxel_size_A=task.voxel_size_A,
                within=task.within,
                name=task.name,
                priority=Priority[task.priority.upper()],
                progress=interrupts.aborting(partial(display.transfer, name)),
                reading=interrupts.aborting(_upload_announced(name, display)),
            )

        return submit_and_download(client, submit, task, display, interrupts)


def _upload_announced(name: str, display: Reporter) -> Callable[[int, int], None]:
    """Return a callback for the first pass over a file that is uploaded; its first call announces the upload."""
    announced = False

    def reading(done: int, total: int) -> None:
        nonlocal announced
        if not announced:
            announced = True
            display.note(f"The server cannot read {name} by its path; uploading it.")
        display.transfer(f"reading {name}", done, total)

    return reading


def submit_and_download(
    client: Client, submit: Callable[[], Job], task: Task, display: Reporter, interrupts: Interrupts
) -> dict[str, Any]:
    """Submit a job, follow it to its end, download its files, and return the statistics; a signal cancels the job."""
    job_id = ""
    try:
        # A signal during the request must not leave a job behind whose id is unknown here.
        with interrupts.deferred():
            job_id = submit().job_id
        follow(client, job_id, display).raise_for_state()
        return download_files(client, job_id, task, display.transfer)
    except Interrupted:
        if job_id:
            with interrupts.deferred():
                display.note(cancel_interrupted(client, job_id))
        raise


def download_files(
    client: Client, job_id: str, task: Task, transfer: Callable[[str, int, int], None] = lambda *_: None
) -> dict[str, Any]:
    """Download the files of a task and return the statistics.

    Parameters
    ----------
    transfer : callable
        Called with the name of a file, bytes received and bytes in all.
    """
    from cryomamba.engines.artifacts import EXPORTS, STATISTICS

    for form, path in task.exports.items():
        client.download(job_id, EXPORTS[form].name, path, progress=partial(transfer, path.name))
    if task.model is not None:
        for name, path in model_paths(task.model).items():
            client.download(job_id, name, path, progress=partial(transfer, name))
    client.download(job_id, to=task.mask, progress=partial(transfer, task.mask.name))
    with tempfile.TemporaryDirectory(prefix="cryomamba-") as folder:
        path = client.download(job_id, STATISTICS.name, folder)
        statistics: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return statistics


def cancel_interrupted(client: Client, job_id: str) -> str:
    """Cancel a job after Ctrl-C or SIGTERM, and return a message with the outcome."""
    try:
        client.cancel(job_id)
    except ConflictError:
        return f"Interrupted. Job {job_id} had already ended; nothing was written here."
    except CryoMambaError as error:
        return f"Interrupted, but job {job_id} could not be cancelled: {error.message} Try 'cryomamba cancel {job_id}'."
    return f"Interrupted. Job {job_id} is cancelled and stops after its current tile; nothing was written here."
