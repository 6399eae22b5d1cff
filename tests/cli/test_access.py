"""Tokens and keys on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from cryomamba.access.keys import KeyFile
from cryomamba_server.bus_keys import BusKeys
from cryomamba_server.tokens import TokenStore

Cli = Callable[..., Result]


def test_a_token_is_printed_alone_and_once(cli: Cli, tmp_path: Path) -> None:
    """Standard output is the token; lists and the home folder never show it."""
    made = cli("tokens", "create", "ada", "--scope", "read", "--days", "2")
    token = made.stdout.strip()
    info = TokenStore(tmp_path / "home" / "keys").verify(token)
    assert (made.exit_code, info.owner, [str(scope) for scope in info.scopes]) == (0, "ada", ["read"])
    assert "locked now" in made.stderr
    assert "locked now" not in cli("tokens", "create", "bob").stderr
    assert token not in made.stderr
    listed = cli("tokens", "list", "--json")
    assert {entry["owner"] for entry in json.loads(listed.stdout)} == {"ada", "bob"}
    assert token not in listed.stdout + cli("tokens", "list").stdout
    assert cli("tokens", "revoke", info.id[:8]).exit_code == 0
    assert "revoked" in cli("tokens", "list").stdout
    assert cli("tokens", "revoke", "zzz").exit_code == 3
    assert cli("tokens", "create", "a/b").exit_code == 2


def test_keys_are_made_added_and_revoked(cli: Cli, tmp_path: Path) -> None:
    """No secret is printed; the file has it, for its owner's eyes alone."""
    assert cli("keys", "add", "ada").exit_code == 2
    assert cli("keys", "list").exit_code == 0
    made = cli("keys", "init")
    keys = BusKeys(tmp_path / "home" / "keys")
    assert made.stdout.strip() == keys.server().public_key
    assert cli("keys", "init").exit_code == 6
    added = cli("keys", "add", "ada", "--role", "viewer")
    file = tmp_path / "ada.key"
    assert added.stdout.strip() == "ada.key"
    assert file.stat().st_mode & 0o077 == 0
    secret = KeyFile.read(file).secret_key
    shown = [added, cli("keys", "list"), cli("keys", "list", "--json"), cli("keys", "add", "ada")]
    assert all(secret not in result.stdout + result.stderr for result in shown)
    assert shown[-1].exit_code == 6
    assert {entry["name"] for entry in json.loads(shown[2].stdout)} == {"ada", "admin", "worker"}
    assert cli("keys", "add", "bob", "--owner", "a/b").exit_code == 2
    assert cli("keys", "add", "laptop", "--owner", "ada").exit_code == 0
    assert {entry.visibility.owner for entry in keys.list()} == {"ada", None}
    assert cli("keys", "revoke", "ada").exit_code == 0
    assert cli("keys", "revoke", "ada").exit_code == 3


def test_a_public_key_is_let_in_without_a_file(cli: Cli, tmp_path: Path) -> None:
    """Who keeps the secret gets the broker's public key in return."""
    server = cli("keys", "init").stdout.strip()
    done = cli("keys", "add", "node", "--role", "worker", "--public-key", server)
    assert done.stdout.strip() == server
    assert not (tmp_path / "node.key").exists()
    assert cli("keys", "add", "other", "--public-key", "nonsense").exit_code == 2


def test_without_the_server_s_packages_it_is_said(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has only the client is told what to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "jwt" else name)
    done = cli("tokens", "list")
    assert done.exit_code == 2
    assert "cryomamba[server]" in done.stderr
