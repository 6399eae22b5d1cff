"""``tokens``: who may use the gateway of this home."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba_cli import output
from cryomamba_cli.jobs import local_time
from cryomamba_cli.options import Json

if TYPE_CHECKING:
    from cryomamba_server.tokens import TokenInfo, TokenStore

app = typer.Typer(name="tokens", no_args_is_help=True, help="Bearer tokens of this home's gateway.")

ScopeName = Literal["read", "write", "admin"]
SHORT = 8


def _store() -> TokenStore:
    if importlib.util.find_spec("jwt") is None:
        raise InvalidRequestError(
            "Tokens are made where the server is installed: PyJWT is missing.",
            code=ErrorCode.UNAVAILABLE,
            hint="Install it with: pip install 'cryomamba[server]'.",
        )
    from cryomamba.settings import load_settings
    from cryomamba_server.tokens import TokenStore

    return TokenStore(load_settings().keys)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose it is. Jobs belong to this name, whichever token made them.")],
    scope: Annotated[
        ScopeName, typer.Option("--scope", help="read: look; write: submit and upload too; admin: everybody's jobs.")
    ] = "write",
    days: Annotated[float, typer.Option("--days", help="How long it is good for.")] = 90.0,
) -> None:
    """Make a token and print it, this once. The first one locks the gateway: from then on everybody needs one."""
    from cryomamba_server.tokens import Scope

    store = _store()
    first = not store.enabled
    token, info = store.create(name, [Scope(scope)], days=days)
    output.say(token)
    output.note(f"Token {info.id[:SHORT]} of {info.owner} may {info.scopes[0]} until {local_time(info.expires_at)}.")
    output.note("It is shown this once. Hand it over by a safe way; programs take it from CRYOMAMBA_TOKEN.")
    if first:
        output.note("The gateway of this home is locked now: it asks everybody for a token.")


@app.command("list")
def list_tokens(json: Json = False) -> None:
    """List the tokens that were made; the tokens themselves are kept nowhere."""
    found = _store().list()
    if json:
        output.document(found)
    elif not found:
        output.note("There are no tokens.")
    else:
        output.table(("TOKEN", "NAME", "SCOPE", "EXPIRES", "STATE"), [_row(info) for info in found])


def _row(info: TokenInfo) -> tuple[str, ...]:
    state = "good" if info.revoked_at is None else f"revoked {local_time(info.revoked_at)}"
    return (info.id[:SHORT], info.owner, " ".join(info.scopes), local_time(info.expires_at), state)


@app.command()
def revoke(token: Annotated[str, typer.Argument(metavar="TOKEN", help="Its id, or the first characters.")]) -> None:
    """Take a token back; every gateway of this home refuses it from now on."""
    info = _store().revoke(token)
    output.say(f"Token {info.id[:SHORT]} of {info.owner} is revoked.")
