"""``jobs``, ``show``, ``watch``, ``cancel``, ``retry``: the jobs of a server."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cryomamba_cli import output
from cryomamba_cli.options import Job, Json, Server
from cryomamba_cli.reporter import Reporter, reporter, state_line
from cryomamba_cli.signals import interruptible

if TYPE_CHECKING:
    from cryomamba.client import Client
    from cryomamba.models.jobs import JobRecord

State = Literal["pending", "running", "completed", "failed", "cancelled"]
SHORT = 8
_LOOK_BACK = 500
_ID_LENGTH = 36


def jobs(
    state: Annotated[State | None, typer.Option("--state", help="Only jobs in this state.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="At most so many.")] = 20,
    server: Server = None,
    json: Json = False,
) -> None:
    """List the jobs of a server, newest first."""
    import cryomamba
    from cryomamba.models.jobs import JobState

    with cryomamba.connect(server) as client:
        found = [job.record for job in client.jobs(state=JobState(state) if state else None, limit=limit)]
    if json:
        output.document(found)
    elif not found:
        output.note("There are no jobs.")
    else:
        heads = ("JOB", "STATE", "DONE", "ENGINE", "VOLUME", "NAME", "CREATED")
        output.table(heads, [_row(record) for record in found])


def _row(record: JobRecord) -> tuple[str, ...]:
    return (
        record.job_id[:SHORT],
        str(record.state),
        f"{record.progress.fraction:.0%}",
        record.engine,
        record.volume.name,
        record.name,
        local_time(record.created_at),
    )


def show(job: Job, server: Server = None, json: Json = False) -> None:
    """Show everything about a job: parameters, progress, files, errors and history."""
    import cryomamba

    with cryomamba.connect(server) as client:
        record = client.record(resolve(client, job))
    if json:
        output.document(record)
        return
    output.facts(_facts(record))
    for artifact in record.artifacts:
        output.say(f"file  {artifact.name}  {output.nbytes(artifact.size_bytes)}")
    for error in record.errors:
        output.say(f"error in attempt {error.attempt}: {error.message} ({error.code}) {error.hint}".rstrip())
    for event in record.history:
        output.say(f"{local_time(event.at)}  {event.type}  {event.reason}".rstrip())


def _facts(record: JobRecord) -> list[tuple[str, str]]:
    from cryomamba_cli.parameters import typed

    volume, progress = record.volume, record.progress
    eta = f", {output.seconds(progress.eta_s)} to go" if progress.eta_s is not None else ""
    facts = [
        ("job", record.job_id),
        ("name", record.name),
        ("state", str(record.state) + (", cancel asked for" if record.cancel_requested else "")),
        ("engine", record.engine),
        ("parameters", ", ".join(f"{key}={typed(value)}" for key, value in record.params.items())),
        ("volume", f"{volume.name}, {output.triple(volume.shape)} voxels of {output.triple(volume.voxel_size_A)} Å"),
        (
            "progress",
            f"{progress.fraction:.0%} {progress.stage}, {progress.done_tiles} of {progress.total_tiles} tiles{eta}",
        ),
        ("attempt", str(record.attempt)),
    ]
    return [(name, value) for name, value in facts if value] + [("warning", text) for text in volume.warnings]


def watch(job: Job, server: Server = None, json: Json = False) -> None:
    """Follow a job to its end. Ctrl-C stops watching; the job goes on."""
    import cryomamba

    with interruptible(), cryomamba.connect(server) as client:
        display = reporter(json=json, stream=sys.stdout)
        try:
            record = follow(client, resolve(client, job), display)
        finally:
            display.close()
    record.raise_for_state()


def follow(client: Client, job_id: str, display: Reporter) -> JobRecord:
    """Show a job's events until it has ended, and return it as it stands then."""
    from cryomamba.models.events import StateEvent

    record: JobRecord | None = None
    for event in client.watch(job_id):
        display.event(event)
        if isinstance(event, StateEvent):
            record = event.record
    return record or client.record(job_id)


def cancel(job: Job, server: Server = None, json: Json = False) -> None:
    """Cancel a job: a waiting one at once, a running one at its next tile."""
    import cryomamba

    with cryomamba.connect(server) as client:
        record = client.cancel(resolve(client, job))
    _answer(record, json=json)


def retry(job: Job, server: Server = None, json: Json = False) -> None:
    """Put a failed or cancelled job back into the queue."""
    import cryomamba

    with cryomamba.connect(server) as client:
        record = client.retry(resolve(client, job))
    _answer(record, json=json)


def _answer(record: JobRecord, *, json: bool) -> None:
    if json:
        output.document(record)
        return
    asked = (
        ", cancel asked for: it stops at its next tile" if record.cancel_requested and not record.state.final else ""
    )
    output.say(state_line(record) + asked)


def resolve(client: Client, text: str) -> str:
    """Return the id of the job whose id begins with a text.

    Raises
    ------
    NotFoundError
        None of the newest 500 does.
    InvalidRequestError
        Several do.
    """
    from cryomamba.errors import InvalidRequestError, no_such_job

    if len(text) == _ID_LENGTH:
        return text
    found = [record.job_id for record in client.jobs(limit=_LOOK_BACK) if record.job_id.startswith(text)]
    if not found:
        raise no_such_job(text)
    if len(found) > 1:
        listed = ", ".join(job_id[: len(text) + SHORT] for job_id in found[:3])
        raise InvalidRequestError(f"{len(found)} jobs begin with '{text}'.", hint=f"Write more of the id: {listed} …")
    return found[0]


def local_time(moment: datetime) -> str:
    """Write a time as the clock on the wall shows it."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
