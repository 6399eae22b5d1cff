"""Signatures of messages to webhooks, by the Standard Webhooks specification (https://www.standardwebhooks.com)."""

from __future__ import annotations

import binascii
import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from contextlib import suppress
from pathlib import Path
from typing import Final

from cryomamba.access.private_files import read_private, write_private_once
from cryomamba.errors import ConflictError, InvalidRequestError

PREFIX: Final = "whsec_"
# The specification asks for 24 to 64.
_SHORTEST: Final = 24
_LONGEST: Final = 64
_NEW: Final = 32


def shown_secret(secret: bytes) -> str:
    """Return a secret as text, in the form that a receiver is given."""
    return PREFIX + b64encode(secret).decode()


def read_or_make_webhook_secret(path: Path) -> bytes:
    """Return the secret that a file holds as text, see :func:`shown_secret`; a missing file is created.

    Raises
    ------
    InvalidRequestError
        It has no such secret, or others can read it.
    """
    # Two programs may begin at this moment; the first to write decides.
    with suppress(ConflictError):
        if not path.exists():
            write_private_once(path, shown_secret(secrets.token_bytes(_NEW)) + "\n")
    try:
        prefix, _, encoded = read_private(path).strip().partition(PREFIX)
        secret = b64decode(encoded, validate=True)
    except (UnicodeDecodeError, binascii.Error):
        prefix, secret = "", b""
    if prefix or not _SHORTEST <= len(secret) <= _LONGEST:
        raise InvalidRequestError(
            f"'{path}' has no secret of a webhook.",
            hint=f"It must have {PREFIX} and {_SHORTEST} to {_LONGEST} bytes in base64. Name a file that does not "
            "exist yet to have a secret made.",
        )
    return secret


def signed_headers(secret: bytes, message_id: str, timestamp: int, body: str) -> dict[str, str]:
    """Return the headers that a message is sent with; `timestamp` is the time of this try in seconds since 1970."""
    signature = hmac.new(secret, f"{message_id}.{timestamp}.{body}".encode(), hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{b64encode(signature).decode()}",
    }
