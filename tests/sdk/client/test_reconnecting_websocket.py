"""What a gateway may send over a WebSocket."""

from __future__ import annotations

import pytest

from cryomamba.client.reconnecting_websocket import parse
from cryomamba.errors import ProtocolError


@pytest.mark.parametrize("raw", ["", "{", "[]", "{}", '{"type": 1}', b"", b"\x00" * 20])
def test_what_is_no_message_is_an_error(raw: str | bytes) -> None:
    """Text or bytes."""
    with pytest.raises(ProtocolError):
        parse(raw)
