"""Topics of the two publishing sockets.

A topic ends with ``/`` because a ZeroMQ subscription is a byte prefix: without it, job ``…1`` would leak into ``…10``.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Literal

from cryomamba.errors import ProtocolError

Kind = Literal["preview", "event"]

ALL_EVENTS = b"v1/event/"
OWNED_EVENTS = b"v1/owned/"
ALL_PREVIEWS = b"v1/preview/"
_SYNC = b"sync/"
_TOPIC_MAX_BYTES = 256


def preview_topic(job_id: str) -> bytes:
    """Return the topic of one job's preview frames."""
    return f"v1/preview/{job_id}/".encode()


def event_topic(job_id: str) -> bytes:
    """Return the topic of one job's states and progress."""
    return f"v1/event/{job_id}/".encode()


def owned_topic(owner: str, job_id: str = "") -> bytes:
    """Return the topic of the states and progress of one owner's jobs, or of one of them."""
    return OWNED_EVENTS + f"{owner}/{job_id}/".encode() if job_id else OWNED_EVENTS + f"{owner}/".encode()


def sync_topic(topic: bytes, nonce: str) -> bytes:
    """Return the private topic on which a late joiner of `topic` receives the present state."""
    return _SYNC + nonce.encode() + b"/" + topic


def new_nonce() -> str:
    """Return a new random word for :func:`sync_topic`."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class Topic:
    """The parts of a topic.

    Attributes
    ----------
    kind : {'preview', 'event'}
    job_id : str
        Empty for the topic of all jobs.
    nonce : str or None
        Set on a ``sync/`` topic.
    owner : str or None
        Set on a topic of one owner's jobs.
    """

    kind: Kind
    job_id: str
    nonce: str | None = None
    owner: str | None = None


def parse_topic(raw: bytes) -> Topic:
    """Parse a topic.

    Raises
    ------
    ProtocolError
        It is not a topic of this version.
    """
    if len(raw) > _TOPIC_MAX_BYTES:
        raise ProtocolError("The topic is too long.")
    try:
        parts = raw.decode("ascii").split("/")
    except UnicodeDecodeError:
        raise ProtocolError("The topic is not ASCII text.") from None
    nonce = None
    if parts[0] == "sync" and len(parts) > 2:
        nonce, parts = parts[1], parts[2:]
    owner = None
    if parts[:2] == ["v1", "owned"] and len(parts) > 3:
        owner = parts[2]
        parts = ["v1", "event", *parts[3:]]
    job_id = parts[2] if len(parts) == 4 else ""
    well_formed = len(parts) in {3, 4} and parts[0] == "v1" and parts[-1] == "" and nonce != "" and owner != ""
    if not well_formed or (len(parts) == 4 and not job_id):
        raise ProtocolError("The topic is not one of this bus version.")
    match parts[1]:
        case "preview":
            return Topic("preview", job_id, nonce)
        case "event":
            return Topic("event", job_id, nonce, owner)
        case _:
            raise ProtocolError("The topic is not one of this bus version.")
