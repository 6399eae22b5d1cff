"""Messages between the service and its child process: msgpack maps over a pipe, never pickles."""

from __future__ import annotations

import threading
from multiprocessing.connection import Connection
from typing import Any

import msgpack

from cryomamba.errors import ProtocolError

Message = dict[str, Any]


class MessagePipe:
    """One end of the pipe. Any thread may send; only one may receive."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def send(self, type_: str, **fields: object) -> None:
        """Send a message; raises ``OSError`` if the other end is closed."""
        raw = msgpack.packb({"type": type_, **fields}, use_bin_type=True)
        with self._lock:
            self._connection.send_bytes(raw)

    def receive(self) -> Message:
        """Wait for a message; raises ``EOFError`` or ``OSError`` if the other end is closed.

        Raises
        ------
        ProtocolError
            The bytes are not a valid message.
        """
        try:
            message = msgpack.unpackb(self._connection.recv_bytes(), raw=False)
        except (ValueError, msgpack.UnpackException):
            raise ProtocolError("A message on the pipe of a child process cannot be decoded.") from None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise ProtocolError("A message on the pipe of a child process is not a map with a type.")
        return message

    def close(self) -> None:
        """Close this end; the other one then reads the end of the file."""
        with self._lock:
            self._connection.close()
