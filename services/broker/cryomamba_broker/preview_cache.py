"""The last preview frame of each job, bounded in bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from cryomamba.wire.envelope import Envelope

CACHE_MAX_BYTES: Final = 64 * 1024 * 1024
_OVERHEAD_BYTES: Final = 2048


@dataclass(frozen=True, slots=True)
class CachedFrame:
    """A frame as it was received: its envelope, the bytes of the header, and the payload."""

    envelope: Envelope
    header: bytes
    payload: memoryview

    @property
    def nbytes(self) -> int:
        """Size in memory, in bytes, including the Python objects."""
        return len(self.header) + len(self.payload) + _OVERHEAD_BYTES


class PreviewCache:
    """The newest frame of each job, together at most `max_bytes`; the least recently used go first. Thread-safe."""

    def __init__(self, max_bytes: int = CACHE_MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self.nbytes = 0
        self._frames: OrderedDict[str, CachedFrame] = OrderedDict()
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, job_id: str, frame: CachedFrame) -> None:
        """Cache a frame in place of the job's last one."""
        with self._lock:
            self.drop(job_id)
            self._frames[job_id] = frame
            self.nbytes += frame.nbytes
            while self.nbytes > self.max_bytes:
                self.drop(next(iter(self._frames)))

    def get(self, job_id: str) -> CachedFrame | None:
        """Return the job's last frame, if it is cached."""
        with self._lock:
            frame = self._frames.get(job_id)
            if frame is not None:
                self._frames.move_to_end(job_id)
            return frame

    def drop(self, job_id: str) -> None:
        """Remove a job's frame."""
        with self._lock:
            frame = self._frames.pop(job_id, None)
            if frame is not None:
                self.nbytes -= frame.nbytes
