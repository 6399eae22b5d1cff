"""``segment``: a tomogram becomes a mask, in this process or on a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryomamba.cli import output
from cryomamba.cli.engines import choose, offered
from cryomamba.cli.jobs import follow
from cryomamba.cli.naming import mask_path, require_free
from cryomamba.cli.options import Force, Json, Parameters, VoxelSize, voxel_size
from cryomamba.cli.parameters import parse
from cryomamba.cli.reporter import Reporter, stderr_reporter
from cryomamba.cli.signals import Interrupted, Interrupts, interruptible
from cryomamba.errors import ConflictError, CryoMambaError

if TYPE_CHECKING:
    from cryomamba.client import Client
    from cryomamba.records import Spacing


def segment(
    tomogram: Annotated[Path, typer.Argument(metavar="IN.mrc", help="The tomogram.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The mask, or a folder for it; <tomogram>__<engine>.mrc here if not given."),
    ] = None,
    engine: Annotated[
        str | None, typer.Option("--engine", "-e", help="The method; 'cryomamba engines' lists them.")
    ] = None,
    param: Parameters = None,
    size: VoxelSize = None,
    server: Annotated[
        str | None,
        typer.Option("--server", "-s", metavar="URL", help="Let a server do it, which must see the file by its path."),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="A label for the job on the server.")] = "",
    force: Force = False,
    json: Json = False,
) -> None:
    """Segment a tomogram. Without --server it runs in this process, and no service is needed.

    Ctrl-C cancels the job and leaves nothing behind.
    """
    info = choose(offered(server), engine)
    work = Work(
        tomogram=tomogram,
        target=mask_path(tomogram, out, info.name),
        engine=info.name,
        params=parse(param or (), info.parameters, owner=info.name),
        voxel_size_A=voxel_size(size),
        name=name,
    )
    require_free(work.target, force=force)
    display = stderr_reporter(json=json)
    try:
        with interruptible() as interrupts:
            if server is None:
                run_here(work, display, interrupts)
            else:
                run_there(work, server, display, interrupts)
    finally:
        display.close()
    if json:
        output.line({"type": "saved", "data": {"path": str(work.target), "size_bytes": work.target.stat().st_size}})
    else:
        output.say(str(work.target))


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be segmented, how, and where the mask goes."""

    tomogram: Path
    target: Path
    engine: str
    params: Mapping[str, Any]
    voxel_size_A: Spacing | None
    name: str


def run_here(work: Work, display: Reporter, interrupts: Interrupts) -> None:
    """Segment in this process; a signal stops the work at its next tile and goes on.

    Raises
    ------
    CryoMambaError
        The volume or a parameter does not fit, or the engine failed.
    Interrupted
        A signal came; nothing has been written, unless the mask was complete by then.
    """
    from cryomamba.local import find_local_runner
    from cryomamba.records import SubmitRequest, VolumeSource

    request = SubmitRequest(
        volume=VolumeSource(path=str(work.tomogram), voxel_size_A=work.voxel_size_A),
        engine=work.engine,
        params=dict(work.params),
        name=work.name,
    )
    complete = False
    try:
        with interrupts.held():
            find_local_runner().run(
                work.tomogram, request, output=work.target, on_event=display.event, cancelled=interrupts.asked
            )
            complete = True
    except Interrupted:
        done = f"The mask was complete: {work.target}" if complete else "The job is cancelled, nothing was written."
        display.note(f"Interrupted. {done}")
        raise


def run_there(work: Work, server: str, display: Reporter, interrupts: Interrupts) -> None:
    """Submit, follow and download; a signal cancels the job and goes on.

    Raises
    ------
    CryoMambaError
        The job was refused, failed or was cancelled, or the server is away.
    Interrupted
        A signal came; the job has been cancelled.
    """
    import cryomamba

    # The server looks for a path as it is; a name relative to this folder would mean another one there.
    path = work.tomogram.absolute() if work.tomogram.exists() else work.tomogram
    with cryomamba.connect(server) as client:
        with interrupts.held():
            record = client.submit(
                path, engine=work.engine, params=work.params, voxel_size_A=work.voxel_size_A, name=work.name
            )
        try:
            follow(client, record.job_id, display).raise_for_state()
            client.download(record.job_id, to=work.target, progress=partial(display.transfer, work.target.name))
        except Interrupted:
            with interrupts.held():
                display.note(cancel_and_say(client, record.job_id))
            raise


def cancel_and_say(client: Client, job_id: str) -> str:
    """Cancel a job at a person's wish and return the sentence that tells how it went."""
    try:
        client.cancel(job_id)
    except ConflictError:
        return f"Interrupted. Job {job_id} had ended already; nothing was written here."
    except CryoMambaError as error:
        return f"Interrupted, but job {job_id} could not be cancelled: {error.message} Try 'cryomamba cancel {job_id}'."
    return f"Interrupted. Job {job_id} is cancelled; it stops at its next tile, and nothing was written here."
