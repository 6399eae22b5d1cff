"""``jobs``, ``show``, ``watch``, ``cancel``, ``retry``: the jobs of a server."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cryomamba_cli import output
from cryomamba_cli.options import Job, Json, Server
from cryomamba_cli.reporter import Reporter, reporter, state_line
from cryomamba_cli.signals import Interrupted, interruptible

if TYPE_CHECKING:
    from cryomamba.client import Client
    from cryomamba.models.jobs import JobRecord

State = Literal["pending", "running", "completed", "failed", "cancelled"]
SHORT = 8
_SEARCHED = 500
_ID_LENGTH = 36


def jobs(
    state: Annotated[State | None, typer.Option("--state", help="List only jobs in this state.")] = None,
    engine: Annotated[str | None, typer.Option("--engine", help="List only jobs of this engine.")] = None,
    search: Annotated[
        str | None,
        typer.Option("--search", help="List only jobs in whose id, name, volume, engine or owner each word occurs."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="Maximum number of jobs.")] = 20,
    server: Server = None,
    json: Json = False,
) -> None:
    """List the jobs of a server, newest first."""
    import cryomamba
    from cryomamba.models.jobs import JobState

    with cryomamba.connect(server) as client:
        wanted = client.jobs(state=JobState(state) if state else None, engine=engine, search=search, limit=limit)
        found = [one.record for one in wanted]
    heads = ("JOB", "STATE", "DONE", "ENGINE", "VOLUME", "NAME", "CREATED")
    output.listing(found, heads, _row, json=json, none="No jobs.")


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
    """Show all details of a job: parameters, progress, files, errors and history."""
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
    from cryomamba.models.estimates import estimates_line
    from cryomamba_cli.parameters import typed

    volume, progress = record.volume, record.progress
    eta = "" if progress.eta_s is None or record.state.final else f", {output.seconds(progress.eta_s)} left"
    facts = [
        ("job", record.job_id),
        ("name", record.name),
        ("state", str(record.state) + (", cancellation requested" if record.cancel_requested else "")),
        ("engine", record.engine),
        ("parameters", ", ".join(f"{key}={typed(value)}" for key, value in record.params.items())),
        ("volume", f"{volume.name}, {output.triple(volume.shape)} voxels of {output.triple(volume.voxel_size_A)} Å"),
        ("within", "" if record.within is None else record.within.name),
        (
            "progress",
            f"{progress.fraction:.0%} {progress.stage}, {progress.done_tiles} of {progress.total_tiles} tiles{eta}",
        ),
        ("dashboard", progress.dashboard_url or ""),
        ("attempt", str(record.attempt)),
        ("priority", priority_text(record.priority)),
        ("queue", queue_text(record)),
    ]
    facts.append(("estimated", estimates_line(record.estimates)))
    return [(name, value) for name, value in facts if value] + [("warning", text) for text in record.warning_texts]


def priority_text(priority: int) -> str:
    """Return a priority in words; empty for that of most jobs."""
    return {-1: "low", 0: "", 1: "high"}.get(priority, str(priority))


def queue_text(record: JobRecord) -> str:
    """Return where a pending job stands in the queue, or why no worker can run it; empty where neither is known."""
    if record.blocked_reason:
        return record.blocked_reason
    ahead = (record.queue_position or 0) - 1
    if ahead < 0:
        return ""
    return "next" if ahead == 0 else f"{ahead} {'job' if ahead == 1 else 'jobs'} before it"


def watch(job: Job, server: Server = None, json: Json = False) -> None:
    """Follow a job until it ends. Ctrl-C stops watching; the job continues."""
    import cryomamba

    display = reporter(json=json, stream=sys.stdout)
    with interruptible(), closing(display), cryomamba.connect(server) as client:
        job_id = resolve(client, job)
        try:
            record = follow(client, job_id, display)
        except Interrupted:
            output.note(f"Stopped watching. Job {job_id} continues; 'cryomamba cancel {job_id}' cancels it.")
            raise
    record.raise_for_state()


def follow(client: Client, job_id: str, display: Reporter) -> JobRecord:
    """Show the events of a job until it has ended, and return its final record."""
    from cryomamba.models.events import StateEvent

    record: JobRecord | None = None
    for event in client.watch(job_id):
        display.event(event)
        if isinstance(event, StateEvent):
            record = event.record
    return record or client.record(job_id)


def cancel(job: Job, server: Server = None, json: Json = False) -> None:
    """Cancel a job: a pending job at once, a running job after the current tile."""
    import cryomamba

    with cryomamba.connect(server) as client:
        record = client.cancel(resolve(client, job))
    _print_record(record, json=json)


def retry(job: Job, server: Server = None, json: Json = False) -> None:
    """Requeue a failed or cancelled job."""
    import cryomamba

    with cryomamba.connect(server) as client:
        record = client.retry(resolve(client, job))
    _print_record(record, json=json)


def _print_record(record: JobRecord, *, json: bool) -> None:
    stopping = record.cancel_requested and not record.state.final
    text = state_line(record) + (", cancellation requested: it stops after the current tile" if stopping else "")
    output.result(record, text, json=json)


def resolve(client: Client, text: str) -> str:
    """Return the full id of the job whose id begins with a text.

    Raises
    ------
    NotFoundError
        None of the newest 500 jobs has such an id.
    InvalidRequestError
        Several have.
    """
    from cryomamba.errors import no_such_job

    if len(text) == _ID_LENGTH:
        return text
    found = matching_id(text, (one.job_id for one in client.jobs(limit=_SEARCHED)), "job")
    if found is None:
        raise no_such_job(text)
    return found


def matching_id(text: str, ids: Iterable[str], of: str) -> str | None:
    """Return the one id that begins with a text; `of` is what they are the ids of.

    Raises
    ------
    InvalidRequestError
        Several begin with it.
    """
    from cryomamba.errors import InvalidRequestError

    found = [one for one in ids if one.startswith(text)]
    if len(found) > 1:
        listed = ", ".join(one[: len(text) + SHORT] for one in found[:3])
        raise InvalidRequestError(
            f"{len(found)} {of} ids begin with '{text}'.", hint=f"Give more characters: {listed} …"
        )
    # An empty text names nothing, also where there is only one.
    return found[0] if found and text else None


def local_time(moment: datetime) -> str:
    """Format a time in the local time zone."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
