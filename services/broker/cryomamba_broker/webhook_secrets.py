"""The secrets with which messages to webhooks are signed."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from cryomamba.access.private_files import make_private_folder, read_or_make_secret


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
