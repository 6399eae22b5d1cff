"""Bearer tokens: which are accepted, which are refused, and what is stored."""

from __future__ import annotations

import time
from pathlib import Path

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryomamba.access.private_files import read_private, write_private, write_private_once
from cryomamba.errors import AccessError, ConflictError, ErrorCode, InvalidRequestError, NotFoundError
from cryomamba_server.tokens import Scope, TokenStore, with_included


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    """A store without a token."""
    return TokenStore(tmp_path / "keys")


def test_a_token_stands_for_an_owner_and_scopes(store: TokenStore) -> None:
    """Verifying a token gives the record that was made with it."""
    token, info = store.create("ada", [Scope.READ], days=1)
    assert store.verify(token) == info
    assert (info.owner, info.scopes) == ("ada", (Scope.READ,))


def test_the_first_token_locks_the_gateway(store: TokenStore, tmp_path: Path) -> None:
    """Nobody needs a token until the first is issued; from then on everybody does, also if the key is deleted."""
    assert not store.enabled
    token, _ = store.create("ada", [Scope.READ], days=1)
    assert store.enabled
    (tmp_path / "keys" / "tokens.key").unlink()
    assert store.enabled
    with pytest.raises(AccessError):
        store.verify(token)


def test_the_token_is_not_stored(store: TokenStore, tmp_path: Path) -> None:
    """No file contains the token or its signature, and all files are private."""
    token, _ = store.create("ada", [Scope.ADMIN], days=1)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 2
    for path in files:
        assert token.rpartition(".")[2] not in path.read_text()
        assert path.stat().st_mode & 0o077 == 0


def test_it_expires_by_the_servers_clock(tmp_path: Path) -> None:
    """A token is valid until its expiry time and a few seconds more."""
    now = [1_000_000.0]
    store = TokenStore(tmp_path / "keys", clock=lambda: now[0])
    token, _ = store.create("ada", [Scope.READ], days=1)
    now[0] += 86_400
    store.verify(token)
    now[0] += 10
    with pytest.raises(AccessError) as caught:
        store.verify(token)
    assert caught.value.code is ErrorCode.UNAUTHORIZED


def test_a_revoked_token_is_refused_and_listed(store: TokenStore) -> None:
    """The first characters of the id suffice, a second time has no effect, and other tokens stay valid."""
    token, info = store.create("ada", [Scope.READ], days=1)
    other, _ = store.create("ada", [Scope.READ], days=1)
    assert store.revoke(info.id[:10]).revoked_at == store.revoke(info.id).revoked_at
    with pytest.raises(AccessError):
        store.verify(token)
    store.verify(other)
    assert {found.id for found in store.list() if found.revoked_at} == {info.id}
    for wrong in ("", "zz"):
        with pytest.raises(NotFoundError):
            store.revoke(wrong)


def test_a_signing_key_that_others_can_read_is_refused(store: TokenStore, tmp_path: Path) -> None:
    """It is refused at the start, and no token is valid with it at run time."""
    token, _ = store.create("ada", [Scope.READ], days=1)
    (tmp_path / "keys" / "tokens.key").chmod(0o644)
    with pytest.raises(InvalidRequestError):
        store.require_private()
    with pytest.raises(AccessError):
        store.verify(token)


def test_a_token_without_a_record_is_refused(store: TokenStore, tmp_path: Path) -> None:
    """A token whose file is deleted is refused, although its signature is valid."""
    token, info = store.create("ada", [Scope.READ], days=1)
    (tmp_path / "keys" / "tokens" / f"{info.id}.json").unlink()
    with pytest.raises(AccessError):
        store.verify(token)


def test_a_token_cannot_claim_more_scopes(store: TokenStore, tmp_path: Path) -> None:
    """The scopes are those of the record, whatever a token signed with a stolen key claims."""
    _, info = store.create("ada", [Scope.READ], days=1)
    key = read_private(tmp_path / "keys" / "tokens.key").strip()
    now = int(time.time())
    claims = {"iss": "cryomamba", "sub": "ada", "jti": info.id, "iat": now, "exp": now + 60, "scope": "admin"}
    assert store.verify(jwt.encode(claims, key, algorithm="HS256")).scopes == (Scope.READ,)


@given(st.one_of(st.text(max_size=200), st.binary(max_size=200).map(lambda raw: raw.decode("latin-1"))))
def test_any_other_text_is_refused(text: str) -> None:
    """Whatever is presented as a token, the result is an access error and no other."""
    store = TokenStore(Path("/nonexistent"))
    with pytest.raises(AccessError):
        store.verify(text)


@pytest.mark.parametrize("owner", ["", "a b", "../x", "a/b", "x" * 65, "ä", "a\n"])
def test_the_name_of_an_owner_is_restricted(store: TokenStore, owner: str) -> None:
    """Names with spaces, slashes or other special characters are refused."""
    with pytest.raises(InvalidRequestError):
        store.create(owner, [Scope.READ], days=1)


@pytest.mark.parametrize("days", [0, -1, 4000, float("nan"), float("inf")])
def test_every_token_expires(store: TokenStore, days: float) -> None:
    """The lifetime is at most ten years."""
    with pytest.raises(InvalidRequestError):
        store.create("ada", [Scope.READ], days=days)


def test_scopes_include_the_lesser_ones() -> None:
    """Write includes read, admin includes both."""
    assert with_included([Scope.WRITE]) == {Scope.READ, Scope.WRITE}
    assert with_included([Scope.ADMIN]) == set(Scope)
    assert with_included([]) == set()


def test_a_private_file_is_replaced_whole_or_made_once(tmp_path: Path) -> None:
    """Writing leaves nothing beside the file, and 'once' does not overwrite."""
    path = tmp_path / "folder" / "secret"
    write_private_once(path, "one")
    with pytest.raises(ConflictError):
        write_private_once(path, "two")
    assert read_private(path) == "one"
    write_private(path, "three")
    assert read_private(path) == "three"
    assert [found.name for found in path.parent.iterdir()] == ["secret"]
