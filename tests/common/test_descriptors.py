"""The limit on descriptors: raised at the start, checked, and told apart from other errors wherever files are read."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.descriptors import few_descriptors

from cryomamba.errors import InvalidRequestError, UnavailableError
from cryomamba_server.bus_keys import BusKeys
from cryomamba_server.descriptors import (
    REQUIRED,
    RESERVED,
    connections_max,
    descriptor_limit,
    raise_descriptor_limit,
    report_exhaustion_rarely,
)
from cryomamba_server.tokens import Scope, TokenStore
from cryomamba_server.uploaded_files import read_record


@pytest.fixture(autouse=True)
def _unchanged_limit() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def set_soft_limit(limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def test_the_limit_is_raised_as_far_as_allowed() -> None:
    """A shell's usual 1024 is not what a server works with."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    set_soft_limit(256)
    assert connections_max() == 256 - RESERVED
    assert raise_descriptor_limit() == descriptor_limit() == min(hard, 65_536)


def test_a_low_limit_is_told_and_one_that_is_too_low_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the system does not allow more, the service warns, or refuses to start with what to do about it."""
    limits = {"soft": 1024}
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limits["soft"], limits["soft"]))
    assert raise_descriptor_limit() == 1024
    assert "only 1024 files and connections" in caplog.text
    limits["soft"] = REQUIRED - 1
    with pytest.raises(InvalidRequestError, match="LimitNOFILE"):
        raise_descriptor_limit()


def test_keys_and_tokens_stay_valid_without_a_free_descriptor(tmp_path: Path) -> None:
    """A list that cannot be read now looks neither empty nor revoked, and a token is not called invalid."""
    keys, tokens = BusKeys(tmp_path / "keys"), TokenStore(tmp_path / "keys")
    keys.init()
    known = keys.list()[0].public_key
    token, _ = tokens.create("ada", (Scope.READ,), days=1)
    with few_descriptors():
        assert keys.find(known) is not None
        with pytest.raises(UnavailableError, match="Too many files"):
            tokens.verify(token)
        with pytest.raises(UnavailableError, match="Too many files"):
            read_record(tmp_path / "keys")
    assert tokens.verify(token).owner == "ada"
    assert read_record(tmp_path / "keys") is None


async def test_the_event_loop_reports_it_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """asyncio would log a traceback with each connection that it cannot accept."""
    loop = asyncio.get_running_loop()
    report_exhaustion_rarely(loop)
    for _ in range(50):
        loop.call_exception_handler({"message": "accept", "exception": OSError(errno.EMFILE, "Too many open files")})
    loop.call_exception_handler({"message": "another", "exception": ValueError("defect")})
    texts = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(texts) == 2
    assert "Too many files and connections are open" in texts[0]
    assert "another" in texts[1]
