"""What a key on the bus may ask for; one table for all messages."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """Who a key belongs to.

    ``client`` submits and cancels jobs of its own, ``viewer`` only looks at them, ``admin`` may do both with
    everybody's (the gateway, which tells people apart by their tokens), ``worker`` takes jobs, whosever they are.
    """

    ADMIN = "admin"
    CLIENT = "client"
    WORKER = "worker"
    VIEWER = "viewer"


LOOKING: Final = frozenset(
    {"ping", "server.info", "job.get", "job.list", "events.since", "artifact.read", "preview.get"}
)
# It counts everybody's jobs.
WATCHING: Final = frozenset({"server.activity"})
CHANGING: Final = frozenset({"job.submit", "job.cancel", "job.retry", "job.delete", "job.focus", "job.revise"})
WORKING: Final = frozenset(
    {"worker.hello", "job.claim", "job.renew", "job.progress", "job.finish", "job.fail", "job.release"}
)

_ALLOWED: Final[Mapping[Role, frozenset[str]]] = {
    Role.ADMIN: LOOKING | WATCHING | CHANGING,
    Role.CLIENT: LOOKING | CHANGING,
    Role.WORKER: LOOKING | WORKING,
    Role.VIEWER: LOOKING,
}

UNRESTRICTED_ROLES: Final = frozenset({Role.ADMIN, Role.WORKER})
"""Roles to whom it makes no difference whose a job is."""

PREVIEW_IN_DOMAIN: Final = "preview-in"
"""ZAP domain of the socket that takes preview frames; only workers connect to it."""


def may_ask(role: Role, request: str) -> bool:
    """Whether a role may send a request of a type; unknown types are for the broker to refuse."""
    return request in _ALLOWED[role] or request not in LOOKING | WATCHING | CHANGING | WORKING


def may_connect(role: Role, domain: str) -> bool:
    """Whether a role may connect to the socket of a ZAP domain."""
    return domain != PREVIEW_IN_DOMAIN or role is Role.WORKER
