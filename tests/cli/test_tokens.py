"""``tokens``: the access tokens of the gateway."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from cryomamba_server.tokens import TokenStore

Cli = Callable[..., Result]


def test_a_token_is_printed_alone_and_once(cli: Cli, tmp_path: Path) -> None:
    """Standard output is the token; lists and files never contain it."""
    made = cli("tokens", "create", "ada", "--scope", "read", "--days", "2")
    token = made.stdout.strip()
    info = TokenStore(tmp_path / "home" / "keys").verify(token)
    assert (made.exit_code, info.owner, [str(scope) for scope in info.scopes]) == (0, "ada", ["read"])
    assert "now locked" in made.stderr
    assert "now locked" not in cli("tokens", "create", "bob").stderr
    assert token not in made.stderr
    listed = cli("tokens", "list", "--json")
    assert {entry["owner"] for entry in json.loads(listed.stdout)} == {"ada", "bob"}
    assert token not in listed.stdout + cli("tokens", "list").stdout
    assert cli("tokens", "revoke", info.id[:8]).exit_code == 0
    assert "revoked" in cli("tokens", "list").stdout
    assert cli("tokens", "revoke", "zzz").exit_code == 3
    assert cli("tokens", "create", "a/b").exit_code == 2


def test_without_the_server_extra_the_error_says_what_to_install(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has only the client cannot manage tokens."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "jwt" else name)
    done = cli("tokens", "list")
    assert done.exit_code == 2
    assert "cryomamba[server]" in done.stderr
