"""The roles of keys on the bus, and the requests that each may send."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from cryomamba.wire import messages


class Role(StrEnum):
    """What the holder of a key may do.

    ``client`` submits and changes its own jobs, ``viewer`` only reads its own, ``admin`` does both with the jobs of all
    owners (the gateway, which identifies people by their tokens), ``worker`` runs jobs of all owners.
    """

    ADMIN = "admin"
    CLIENT = "client"
    WORKER = "worker"
    VIEWER = "viewer"


READ_REQUESTS: Final = frozenset(
    {
        messages.PING,
        messages.SERVER_INFO,
        messages.JOB_GET,
        messages.JOB_LIST,
        messages.EVENTS_SINCE,
        messages.ARTIFACT_READ,
        messages.PREVIEW_GET,
        messages.WEBHOOK_GET,
        messages.WEBHOOK_LIST,
        messages.WEBHOOK_DELIVERIES,
        messages.MODEL_GET,
        messages.MODEL_LIST,
    }
)
# The counts include the jobs of all owners.
MONITOR_REQUESTS: Final = frozenset({messages.SERVER_ACTIVITY, messages.SERVER_METRICS})
WRITE_REQUESTS: Final = frozenset(
    {
        messages.JOB_SUBMIT,
        messages.JOB_CANCEL,
        messages.JOB_RETRY,
        messages.JOB_DELETE,
        messages.JOB_FOCUS,
        messages.JOB_STROKES,
        messages.JOB_REVISE,
        messages.WEBHOOK_CREATE,
        messages.WEBHOOK_DELETE,
        messages.WEBHOOK_TEST,
    }
)
# A gateway delivers the messages to the webhooks of all owners.
DELIVERY_REQUESTS: Final = frozenset({messages.DELIVERY_CLAIM, messages.DELIVERY_REPORT})
# Workers run the jobs of all owners.
WORKER_ADMIN_REQUESTS: Final = frozenset(
    {messages.WORKER_LIST, messages.WORKER_DRAIN, messages.WORKER_RESUME, messages.WORKER_REMOVE}
)
WORKER_REQUESTS: Final = frozenset(
    {
        messages.WORKER_HELLO,
        messages.WORKER_STATUS,
        messages.WORKER_MODELS,
        messages.JOB_CLAIM,
        messages.JOB_RENEW,
        messages.PROGRESS,
        messages.JOB_FINISH,
        messages.JOB_FAIL,
        messages.JOB_RELEASE,
    }
)

_ALLOWED: Final[Mapping[Role, frozenset[str]]] = {
    Role.ADMIN: READ_REQUESTS | MONITOR_REQUESTS | WRITE_REQUESTS | DELIVERY_REQUESTS | WORKER_ADMIN_REQUESTS,
    Role.CLIENT: READ_REQUESTS | WRITE_REQUESTS,
    Role.WORKER: READ_REQUESTS | WORKER_REQUESTS,
    Role.VIEWER: READ_REQUESTS,
}

_KNOWN: Final = frozenset().union(*_ALLOWED.values())

UNRESTRICTED_ROLES: Final = frozenset({Role.ADMIN, Role.WORKER})
"""Roles that see the jobs of all owners."""

PREVIEW_IN_DOMAIN: Final = "preview-in"
"""ZAP domain of the socket that takes preview frames; only workers connect to it."""


def may_ask(role: Role, request: str) -> bool:
    """Whether a role may send a request of a type; unknown types are for the broker to refuse."""
    return request in _ALLOWED[role] or request not in _KNOWN


def may_connect(role: Role, domain: str) -> bool:
    """Whether a role may connect to the socket of a ZAP domain."""
    return domain != PREVIEW_IN_DOMAIN or role is Role.WORKER
