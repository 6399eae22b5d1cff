"""``keys``: the keys of the message bus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cryomamba.output_paths import names_folder
from cryomamba_cli import output
from cryomamba_cli.jobs import local_time
from cryomamba_cli.options import Json

if TYPE_CHECKING:
    from cryomamba_server.bus_keys import AllowedKey, BusKeys

app = typer.Typer(
    name="keys",
    no_args_is_help=True,
    help="Manage the keys for encrypted, direct connections to the broker (ZeroMQ CURVE).",
)

RoleName = Literal["admin", "client", "worker", "viewer"]


def _audit(action: str, **fields: str) -> None:
    from cryomamba.settings import load_settings
    from cryomamba_server.audit import audit_command

    audit_command(load_settings().audit_file, action, **fields)


def _keys() -> BusKeys:
    from cryomamba.settings import load_settings
    from cryomamba_server.bus_keys import BusKeys

    return BusKeys(load_settings().keys)


@app.command()
def init() -> None:
    """Create the keys of the broker and of the services on this machine. They take effect when the services restart."""
    public_key = _keys().init().public_key
    _audit("key.init", public_key=public_key)
    output.say(public_key)
    output.note("This is the public key of the broker. Restart the services; they find their own keys.")


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the key.")],
    role: Annotated[
        RoleName,
        typer.Option(
            "--role",
            help="client: submit and view own jobs; viewer: view own jobs; admin: all jobs; worker: compute jobs.",
        ),
    ] = "client",
    owner: Annotated[
        str, typer.Option("--owner", help="Owner of the jobs, the same name as for tokens; NAME if not given.")
    ] = "",
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            metavar="PATH",
            help="Key file to write, or its folder; NAME.key in the current folder if not given.",
        ),
    ] = None,
    public_key: Annotated[
        str | None,
        typer.Option(
            "--public-key", help="Authorize this public key, whose owner keeps the secret key; no file is written."
        ),
    ] = None,
) -> None:
    """Create and authorize a key, and write the key file for its owner."""
    from cryomamba.access.roles import Role

    if public_key is not None:
        _keys().authorize(name, Role(role), public_key, owner=owner)
        _audit("key.add", key=name, role=role, owner=owner or name, public_key=public_key)
        output.note(f"The key '{name}' is authorized as {role}. The public key of the broker is:")
        output.say(_keys().server().public_key)
        return
    file = Path(out) if out is not None and not names_folder(out) else Path(out or "", f"{name}.key")
    _keys().add(name, Role(role), file=file, owner=owner)
    _audit("key.add", key=name, role=role, owner=owner or name)
    output.say(str(file))
    output.note(f"Send the file to its owner over a secure channel; clients need CRYOMAMBA_KEY={file.name}.")


@app.command("list")
def list_keys(json: Json = False) -> None:
    """List the authorized keys."""
    heads = ("NAME", "ROLE", "SEES JOBS OF", "PUBLIC KEY", "CREATED")
    none = "No keys: connections from this machine are accepted without a key."
    output.listing(_keys().list(), heads, _row, json=json, none=none)


def _row(one: AllowedKey) -> tuple[str, ...]:
    return one.name, str(one.role), one.visibility.owner or "all", one.public_key, local_time(one.created_at)


@app.command()
def revoke(name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the key.")]) -> None:
    """Revoke a key: its requests are refused at once, its subscriptions end within two seconds."""
    _keys().revoke(name)
    _audit("key.revoke", key=name)
    output.say(f"The key '{name}' is revoked.")
