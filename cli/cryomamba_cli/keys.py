"""``keys``: who may use the bus of this home."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cryomamba_cli import output
from cryomamba_cli.jobs import local_time
from cryomamba_cli.options import Json

if TYPE_CHECKING:
    from cryomamba_server.bus_keys import BusKeys

app = typer.Typer(name="keys", no_args_is_help=True, help="CURVE keys of this home's bus.")

RoleName = Literal["admin", "client", "worker", "viewer"]


def _keys() -> BusKeys:
    from cryomamba.settings import load_settings
    from cryomamba_server.bus_keys import BusKeys

    return BusKeys(load_settings().keys)


@app.command()
def init() -> None:
    """Make the broker's key and those of this home's services. The bus is locked when the broker starts again."""
    made = _keys().init()
    output.say(made.public_key)
    output.note("This is the broker's public key. Start the services of this home again; they find their own keys.")


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    role: Annotated[
        RoleName,
        typer.Option(
            "--role",
            help="client: submits jobs and sees its own; viewer: only looks at them; admin: everybody's; "
            "worker: computes them.",
        ),
    ] = "client",
    owner: Annotated[
        str, typer.Option("--owner", help="Whose jobs it makes and sees, as the name of a token; NAME if not given.")
    ] = "",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The key file; NAME.key here if not given.")] = None,
    public_key: Annotated[
        str | None,
        typer.Option("--public-key", help="Let this key in, whose secret its owner has; no file is written."),
    ] = None,
) -> None:
    """Let a key in, at once, and write the file that its owner needs."""
    from cryomamba.access.roles import Role

    if public_key is not None:
        _keys().admit(name, Role(role), public_key, owner=owner)
        output.note(f"The key '{name}' is let in as {role}. The broker's public key is:")
        output.say(_keys().server().public_key)
        return
    file = out or Path(f"{name}.key")
    _keys().add(name, Role(role), file=file, owner=owner)
    output.say(str(file))
    output.note(f"Hand the file to {name} by a safe way; programs find it by CRYOMAMBA_KEY={file.name}.")


@app.command("list")
def list_keys(json: Json = False) -> None:
    """List the keys that are let in."""
    found = _keys().list()
    if json:
        output.document(found)
    elif not found:
        output.note("There are no keys; the bus is open to this machine.")
    else:
        rows = [
            (
                entry.name,
                str(entry.role),
                entry.visibility.owner or "all",
                entry.public_key,
                local_time(entry.created_at),
            )
            for entry in found
        ]
        output.table(("NAME", "ROLE", "SEES JOBS OF", "PUBLIC KEY", "SINCE"), rows)


@app.command()
def revoke(name: Annotated[str, typer.Argument(help="The key's name.")]) -> None:
    """Let a key in no longer: its requests are refused at once and its subscriptions end within a second or two."""
    _keys().revoke(name)
    output.say(f"The key '{name}' is revoked.")
