"""Roles: every request of the bus belongs to somebody, and viewers change nothing."""

from __future__ import annotations

import pytest

from cryomamba.access.roles import CHANGING, LOOKING, WORKING, Role, may_ask, may_connect
from cryomamba.wire.requests import REQUESTS


def test_every_request_has_its_place() -> None:
    """A new kind of request must be put into the table before anybody with a key may send it."""
    assert set(REQUESTS) == LOOKING | CHANGING | WORKING
    assert len(REQUESTS) == len(LOOKING) + len(CHANGING) + len(WORKING)


@pytest.mark.parametrize("role", list(Role))
def test_everybody_may_look(role: Role) -> None:
    """Looking is for all roles."""
    assert all(may_ask(role, request) for request in LOOKING)


def test_roles_keep_to_themselves() -> None:
    """Clients change, workers work, viewers do neither, and frames come from workers."""
    assert [all(may_ask(role, request) for request in CHANGING) for role in Role] == [True, False, False]
    assert [any(may_ask(role, request) for request in CHANGING) for role in Role] == [True, False, False]
    assert [any(may_ask(role, request) for request in WORKING) for role in Role] == [False, True, False]
    assert [may_connect(role, "preview-in") for role in Role] == [False, True, False]
    assert all(may_connect(role, domain) for role in Role for domain in ("jobs", "events", "preview-out"))
