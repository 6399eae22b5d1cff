"""``workers``: the inference services of a server, for administrators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cryomamba_cli import output
from cryomamba_cli.options import Json, Server

if TYPE_CHECKING:
    from cryomamba.client import Client
    from cryomamba.models.server import WorkerInfo

app = typer.Typer(
    name="workers",
    invoke_without_command=True,
    help="List the workers of a server, and decide which of them take jobs; for administrators.",
)

Worker = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Name of a worker or its first characters. The name of an inference service stands for all its slots.",
    ),
]


@app.callback()
def workers(context: typer.Context, server: Server = None, json: Json = False) -> None:
    """List the workers of a server, and decide which of them take jobs; for administrators."""
    if context.invoked_subcommand is None:
        list_workers(server=server, json=json)


@app.command("list")
def list_workers(server: Server = None, json: Json = False) -> None:
    """List the connected workers: what they do, and what they can run."""
    import cryomamba

    with cryomamba.connect(server) as client:
        found = client.workers()
    heads = ("WORKER", "STATE", "JOB", "MEMORY", "GPUS", "ENGINES")
    output.listing(found, heads, _row, json=json, none="No worker is connected.")


def state_text(worker: WorkerInfo) -> str:
    """Return what a worker does, in a word or two."""
    if worker.drained:
        return "draining" if worker.job_id else "drained"
    return "busy" if worker.job_id else "free"


def _row(worker: WorkerInfo) -> tuple[str, ...]:
    from cryomamba_cli.jobs import SHORT

    memory = output.nbytes(worker.memory_bytes) if worker.memory_bytes else ""
    job, gpus = (worker.job_id or "")[:SHORT], ", ".join(worker.gpus)
    return worker.worker, state_text(worker), job, memory, gpus, ", ".join(worker.engines)


@app.command()
def drain(name: Worker, server: Server = None) -> None:
    """Let a worker end its job and take no other, until it is resumed or started again."""
    import cryomamba

    with cryomamba.connect(server) as client:
        for worker in resolve(client, name):
            info = client.drain_worker(worker)
            ends = f" once job {info.job_id} has ended" if info.job_id else ""
            output.say(f"Worker {worker} takes no further jobs{', and is free' + ends if ends else ''}.")


@app.command()
def resume(name: Worker, server: Server = None) -> None:
    """Let a drained worker take jobs again."""
    import cryomamba

    with cryomamba.connect(server) as client:
        for worker in resolve(client, name):
            client.resume_worker(worker)
            output.say(f"Worker {worker} takes jobs again.")


@app.command()
def remove(name: Worker, server: Server = None) -> None:
    """Refuse a worker from now on, requeue its job at once, and revoke its key if no other worker uses it."""
    import cryomamba

    with cryomamba.connect(server) as client:
        for worker in resolve(client, name):
            removed = client.remove_worker(worker)
            output.say(f"Worker {worker} is removed.")
            if removed.job_id:
                output.note(f"Job {removed.job_id} is in the queue again.")
            if removed.key:
                output.note(f"Its key '{removed.key}' is revoked.")


def resolve(client: Client, text: str) -> list[str]:
    """Return the worker whose name begins with a text, or all slots of the inference service of that name.

    Raises
    ------
    NotFoundError
        No worker has such a name.
    InvalidRequestError
        Several have.
    """
    from cryomamba.errors import no_such_worker
    from cryomamba_cli.jobs import matching_id

    names = [worker.worker for worker in client.workers()]
    if text in names:
        return [text]
    slots = [name for name in names if text and name.startswith(f"{text}.") and name.removeprefix(f"{text}.").isdigit()]
    if slots:
        return slots
    found = matching_id(text, names, "worker")
    if found is None:
        raise no_such_worker(text)
    return [found]
