"""Signatures of messages to webhooks."""

from __future__ import annotations

from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from cryomamba_broker.webhook_signing import WebhookSecrets, shown_secret, signed_headers


def test_the_example_of_the_specification() -> None:
    """Secret, id, time and body that its documentation gives have the signature that it gives."""
    secret = b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = '{"test": 2432232314}'
    headers = signed_headers(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_library_of_others_accepts_a_signature_and_no_other(tmp_path: Path) -> None:
    """Also of letters beyond ASCII; not of another body, id or time, and not with another webhook's secret."""
    secrets = WebhookSecrets(tmp_path / "keys")
    now = int(datetime.now(UTC).timestamp())
    body = '{"data":{"name":"TS_01 – Å"}}'
    headers = signed_headers(secrets.secret("w-1"), "m-1", now, body)
    receiver = Webhook(shown_secret(secrets.secret("w-1")))
    assert receiver.verify(body.encode(), headers) == {"data": {"name": "TS_01 – Å"}}
    wrong = [
        (receiver, body + " ", headers),
        (receiver, body, {**headers, "webhook-id": "m-2"}),
        (receiver, body, {**headers, "webhook-timestamp": str(now - 1)}),
        (Webhook(shown_secret(secrets.secret("w-2"))), body, headers),
    ]
    for other, text, sent in wrong:
        with pytest.raises(WebhookVerificationError):
            other.verify(text, sent)


def test_a_secret_is_the_same_after_a_restart(tmp_path: Path) -> None:
    """It has 256 bits, and comes from a key that only its owner can read; another data directory has others."""
    first = WebhookSecrets(tmp_path / "keys").secret("w-1")
    assert len(first) == 32
    assert WebhookSecrets(tmp_path / "keys").secret("w-1") == first
    assert WebhookSecrets(tmp_path / "other").secret("w-1") != first
    assert (tmp_path / "keys" / "webhooks.key").stat().st_mode & 0o077 == 0
