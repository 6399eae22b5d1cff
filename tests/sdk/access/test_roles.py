"""Roles: every request of the bus belongs to somebody, and viewers change nothing."""

from __future__ import annotations

import pytest

from cryomamba.access.roles import (
    DELIVERY_REQUESTS,
    MONITOR_REQUESTS,
    READ_REQUESTS,
    WORKER_ADMIN_REQUESTS,
    WORKER_REQUESTS,
    WRITE_REQUESTS,
    Role,
    may_ask,
    may_connect,
)
from cryomamba.wire.requests import REQUESTS


def test_every_request_has_its_place() -> None:
    """A new kind of request must be put into the table before anybody with a key may send it."""
    administration = MONITOR_REQUESTS, DELIVERY_REQUESTS, WORKER_ADMIN_REQUESTS
    places = (READ_REQUESTS, WRITE_REQUESTS, WORKER_REQUESTS, *administration)
    assert set(REQUESTS) == frozenset().union(*places)
    assert len(REQUESTS) == sum(map(len, places))


@pytest.mark.parametrize("role", list(Role))
def test_everybody_may_look(role: Role) -> None:
    """Looking is for all roles."""
    assert all(may_ask(role, request) for request in READ_REQUESTS)


def test_roles_keep_to_themselves() -> None:
    """Administrators and clients change, workers work, viewers do neither, and frames come from workers."""
    changing, working = {Role.ADMIN, Role.CLIENT}, {Role.WORKER}
    for role in Role:
        assert {may_ask(role, request) for request in WRITE_REQUESTS} == {role in changing}
        assert {may_ask(role, request) for request in WORKER_REQUESTS} == {role in working}
        administration = MONITOR_REQUESTS | DELIVERY_REQUESTS | WORKER_ADMIN_REQUESTS
        assert {may_ask(role, request) for request in administration} == {role is Role.ADMIN}
        assert may_connect(role, "preview-in") == (role in working)
    assert all(may_connect(role, domain) for role in Role for domain in ("jobs", "events", "preview-out"))
