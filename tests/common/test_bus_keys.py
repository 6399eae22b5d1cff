"""Keys of the message bus: created once, authorized by name, read again when the list changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cryomamba.access.keys import KeyFile, key_for
from cryomamba.access.roles import Role
from cryomamba.errors import ConflictError, InvalidRequestError, NotFoundError
from cryomamba.settings import Settings
from cryomamba_server.bus_keys import BusKeys


@pytest.fixture
def keys(tmp_path: Path) -> BusKeys:
    """The keys of a data directory, created."""
    made = BusKeys(tmp_path / "keys")
    made.init()
    return made


def test_keys_are_created_once(keys: BusKeys) -> None:
    """A second ``init`` is refused and changes nothing."""
    before = keys.server()
    with pytest.raises(ConflictError):
        keys.init()
    assert keys.server() == before
    assert keys.enabled


def test_the_services_find_their_own_keys(keys: BusKeys, tmp_path: Path) -> None:
    """Programs with the broker's data directory need no configuration; ``CRYOMAMBA_KEY`` takes precedence."""
    home = Settings(home=tmp_path)
    worker, admin = key_for(home, Role.WORKER), key_for(home, Role.ADMIN)
    assert worker is not None
    assert admin is not None
    assert {entry.public_key for entry in keys.list()} == {worker.public_key, admin.public_key}
    ada = keys.add("ada", Role.CLIENT, file=tmp_path / "ada.key")
    assert key_for(home.model_copy(update={"key": tmp_path / "ada.key"}), Role.ADMIN) == ada
    assert key_for(Settings(home=tmp_path / "elsewhere"), Role.ADMIN) is None


def test_a_changed_list_is_read_again(keys: BusKeys, tmp_path: Path) -> None:
    """Another process sees each change at once, however quickly they follow one another."""
    other = BusKeys(tmp_path / "keys")
    for name in ("a", "b", "c"):
        made = keys.add(name, Role.VIEWER, file=tmp_path / f"{name}.key")
        found = other.find(made.public_key)
        assert found is not None
        assert (found.name, found.role) == (name, Role.VIEWER)
        keys.revoke(name)
        assert other.find(made.public_key) is None


def test_an_unchanged_list_is_not_read_again(keys: BusKeys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up costs no more than the modification time of the folder."""
    allowed = tmp_path / "keys" / "bus" / "allowed"
    os.utime(allowed, (1000, 1000))
    known = keys.list()
    monkeypatch.setattr(Path, "glob", lambda *_: pytest.fail("the list was read again"))
    assert keys.list() == known


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", ".", "x" * 65, "a\0"])
def test_a_name_cannot_be_a_path(keys: BusKeys, tmp_path: Path, name: str) -> None:
    """Names are restricted to letters, digits, _ and -."""
    with pytest.raises(InvalidRequestError):
        keys.add(name, Role.CLIENT, file=tmp_path / "x.key")
    with pytest.raises(NotFoundError):
        keys.revoke(name)
    assert not (tmp_path / "x.key").exists()


def test_an_existing_name_or_file_is_refused(keys: BusKeys, tmp_path: Path) -> None:
    """Nothing is overwritten, and no key is authorized if its file cannot be written."""
    first = keys.add("ada", Role.CLIENT, file=tmp_path / "ada.key")
    with pytest.raises(ConflictError):
        keys.add("ada", Role.WORKER, file=tmp_path / "other.key")
    with pytest.raises(ConflictError):
        keys.add("bob", Role.WORKER, file=tmp_path / "ada.key")
    assert KeyFile.read(tmp_path / "ada.key") == first
    assert {entry.name for entry in keys.list()} == {"ada", "admin", "worker"}


def test_a_public_key_can_be_authorized_without_its_secret(keys: BusKeys) -> None:
    """The owner of the key pair keeps the secret."""
    public = keys.server().public_key
    assert keys.authorize("node", Role.WORKER, public).public_key == public
    for wrong in ("", "x" * 39, "ä" * 40, public + "x"):
        with pytest.raises(InvalidRequestError):
            keys.authorize("other", Role.WORKER, wrong)


def test_a_key_sees_the_jobs_of_its_owner(keys: BusKeys, tmp_path: Path) -> None:
    """The owner is its name unless another is given; administrators and workers see all jobs; list and file agree."""
    for name, role, owner, visible in [
        ("ada", Role.CLIENT, "", "ada"),
        ("ada-laptop", Role.CLIENT, "ada", "ada"),
        ("wall", Role.VIEWER, "group.a@b", "group.a@b"),
        ("root", Role.ADMIN, "", None),
        ("node", Role.WORKER, "", None),
    ]:
        file = keys.add(name, role, file=tmp_path / f"{name}.key", owner=owner)
        listed = keys.find(file.public_key)
        assert listed is not None
        assert listed.visibility.owner == file.visibility.owner == visible
    for wrong in ("a b", "a/b", "x" * 65, "ada\n", "\0"):
        with pytest.raises(InvalidRequestError):
            keys.add("eve", Role.CLIENT, file=tmp_path / "eve.key", owner=wrong)
        assert not (tmp_path / "eve.key").exists()


def test_secrets_are_not_shown(keys: BusKeys) -> None:
    """Neither a printed key file nor the list contains a secret."""
    server = keys.server()
    assert server.secret_key not in repr(server)
    assert server.secret_key not in repr(keys.list())


@pytest.mark.parametrize("content", ["", "{}", "\xff", "x" * 100_000])
def test_a_file_that_is_not_a_key_file_is_refused(tmp_path: Path, content: str) -> None:
    """The error names the file without its folder."""
    path = tmp_path / "wrong.key"
    path.write_bytes(content.encode("latin-1"))
    path.chmod(0o600)
    with pytest.raises(InvalidRequestError) as caught:
        KeyFile.read(path)
    assert str(tmp_path) not in str(caught.value)


def test_a_key_file_must_be_private(keys: BusKeys, tmp_path: Path) -> None:
    """A file that others can read is refused, and so is a missing one."""
    keys.add("ada", Role.CLIENT, file=tmp_path / "ada.key")
    (tmp_path / "ada.key").chmod(0o640)
    with pytest.raises(InvalidRequestError):
        KeyFile.read(tmp_path / "ada.key")
    with pytest.raises(InvalidRequestError):
        KeyFile.read(tmp_path / "none.key")
