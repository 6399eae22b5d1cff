"""Counters of the broker."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(slots=True)
class Counters:
    """Numbers since the start.

    Attributes
    ----------
    requests : int
        Requests that were executed.
    repeated : int
        Requests that were received again and not executed again.
    refused : int
        Requests that were answered with an error.
    malformed : int
        Messages on any socket that violate the protocol.
    undelivered : int
        Replies to peers that were disconnected or did not read.
    frames, frames_stale : int
        Preview frames that were forwarded, and those dropped because their attempt has ended.
    syncs : int
        Late joiners that were sent the current state.
    events : int
        Changes of state that were published.
    events_dropped : int
        Messages that waited too long to be sent.
    evicted : int
        Connections that were closed because too many were open.
    """

    requests: int = 0
    repeated: int = 0
    refused: int = 0
    malformed: int = 0
    undelivered: int = 0
    frames: int = 0
    frames_stale: int = 0
    syncs: int = 0
    events: int = 0
    events_dropped: int = 0
    evicted: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{name} {count}" for name, count in asdict(self).items())
