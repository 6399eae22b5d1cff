"""``tokens``: the access tokens of the gateway."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba_cli import output
from cryomamba_cli.jobs import local_time
from cryomamba_cli.options import Json

if TYPE_CHECKING:
    from cryomamba_server.tokens import TokenInfo, TokenStore

app = typer.Typer(name="tokens", no_args_is_help=True, help="Manage the access tokens of the gateway.")

ScopeName = Literal["read", "write", "admin"]
SHORT = 8


def _store() -> tuple[TokenStore, Path]:
    """Return the tokens of the data directory, and its audit log."""
    if importlib.util.find_spec("jwt") is None:
        raise InvalidRequestError(
            "Tokens can only be managed where the server is installed: PyJWT is missing.",
            code=ErrorCode.UNAVAILABLE,
            hint="Install it with: pip install 'cryomamba[server]'.",
        )
    from cryomamba.settings import load_settings
    from cryomamba_server.tokens import TokenStore

    settings = load_settings()
    return TokenStore(settings.keys), settings.audit_file


@app.command()
def create(
    name: Annotated[
        str,
        typer.Argument(metavar="OWNER", help="Owner of the token; all tokens of an owner see the same jobs and files."),
    ],
    scope: Annotated[
        ScopeName,
        typer.Option(
            "--scope",
            help="read: view jobs and files; write: also submit and upload; admin: everything, of all owners.",
        ),
    ] = "write",
    days: Annotated[float, typer.Option("--days", help="Lifetime in days.")] = 90.0,
) -> None:
    """Issue a token and print it once. The first token locks the gateway: from then on, every request needs one."""
    from cryomamba_server.audit import audit_command
    from cryomamba_server.tokens import Scope

    store, audit_file = _store()
    first = not store.enabled
    token, info = store.create(name, [Scope(scope)], days=days)
    audit_command(audit_file, "token.create", token_id=info.id, owner=info.owner, scopes=" ".join(info.scopes))
    output.say(token)
    output.note(
        f"Token {info.id[:SHORT]} of {info.owner} has the scope '{info.scopes[0]}' and expires at "
        f"{local_time(info.expires_at)}."
    )
    output.note("It is not shown again. Send it over a secure channel; clients read it from CRYOMAMBA_TOKEN.")
    if first:
        output.note("The gateway is now locked: every request needs a token.")


@app.command("list")
def list_tokens(json: Json = False) -> None:
    """List all issued tokens: owner, scope, expiry. The tokens themselves are not stored."""
    found = _store()[0].list()
    output.listing(found, ("ID", "OWNER", "SCOPE", "EXPIRES", "STATE"), _row, json=json, none="No tokens.")


def _row(info: TokenInfo) -> tuple[str, ...]:
    state = "valid" if info.revoked_at is None else f"revoked {local_time(info.revoked_at)}"
    return (info.id[:SHORT], info.owner, " ".join(info.scopes), local_time(info.expires_at), state)


@app.command()
def revoke(
    token: Annotated[str, typer.Argument(metavar="ID", help="Id of the token, or its first characters.")],
) -> None:
    """Revoke a token; the gateway refuses it from now on."""
    from cryomamba_server.audit import audit_command

    store, audit_file = _store()
    info = store.revoke(token)
    audit_command(audit_file, "token.revoke", token_id=info.id, owner=info.owner)
    output.say(f"Token {info.id[:SHORT]} of {info.owner} is revoked.")
