"""Signatures of messages to webhooks, by the Standard Webhooks specification (https://www.standardwebhooks.com)."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from pathlib import Path
from typing import Final

from cryomamba.access.private_files import make_private_folder, read_or_make_secret

PREFIX: Final = "whsec_"


class WebhookSecrets:
    """The secret of each webhook, derived from a key of the data directory: the job store has none of them.

    Parameters
    ----------
    keys : Path
        Folder ``keys`` of the data directory; the key is created on first use.
    """

    def __init__(self, keys: Path) -> None:
        self._keys = keys

    def secret(self, webhook_id: str) -> bytes:
        """Return the 32 bytes with which the messages to a webhook are signed; reads a file."""
        make_private_folder(self._keys)
        key = read_or_make_secret(self._keys / "webhooks.key")
        return hmac.new(key, webhook_id.encode(), hashlib.sha256).digest()


def shown_secret(secret: bytes) -> str:
    """Return a secret as the receiver is told it."""
    return PREFIX + b64encode(secret).decode()


def signed_headers(secret: bytes, message_id: str, timestamp: int, body: str) -> dict[str, str]:
    """Return the headers that a message is sent with; `timestamp` is the time of this try in seconds since 1970."""
    signature = hmac.new(secret, f"{message_id}.{timestamp}.{body}".encode(), hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{b64encode(signature).decode()}",
    }
