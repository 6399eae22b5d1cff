"""``keys``: the keys of the message bus."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

from cryomamba.access.keys import KeyFile
from cryomamba_server.bus_keys import BusKeys

Cli = Callable[..., Result]


def test_keys_are_created_added_and_revoked(cli: Cli, tmp_path: Path) -> None:
    """The secret key is in the file, which is private, and is never printed."""
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


def test_a_public_key_is_authorized_without_a_file(cli: Cli, tmp_path: Path) -> None:
    """The owner of a public key gets the public key of the broker."""
    server = cli("keys", "init").stdout.strip()
    done = cli("keys", "add", "node", "--role", "worker", "--public-key", server)
    assert done.stdout.strip() == server
    assert not (tmp_path / "node.key").exists()
    assert cli("keys", "add", "other", "--public-key", "nonsense").exit_code == 2
