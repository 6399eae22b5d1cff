"""Messages between the service and its computing child: msgpack maps over a pipe, never pickles."""

from __future__ import annotations

import threading
from multiprocessing.connection import Connection
from typing import Any

import msgpack

from cryomamba.errors import ProtocolError

Message = dict[str, Any]


class MessagePipe:
    """One end of the pipe. Sending is safe from several threads; receiving belongs to one.

    Parameters
    ----------
    connection : Connection
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def send(self, type_: str, **fields: object) -> None:
        """Send a message; ``OSError`` when the other end is gone."""
        raw = msgpack.packb({"type": type_, **fields}, use_bin_type=True)
        with self._lock:
            self._connection.send_bytes(raw)

    def receive(self) -> Message:
        """Wait for a message; ``EOFError`` or ``OSError`` when the other end is gone.

        Raises
        ------
        ProtocolError
            The bytes are not a message.
        """
        try:
            message = msgpack.unpackb(self._connection.recv_bytes(), raw=False)
        except (ValueError, msgpack.UnpackException):
            raise ProtocolError("A message on the pipe of a child is damaged.") from None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise ProtocolError("A message on the pipe of a child is not a map with a type.")
        return message

    def close(self) -> None:
        """Close this end; the other one sees the end of the file."""
        with self._lock:
            self._connection.close()
