"""Signatures of messages to webhooks."""

from __future__ import annotations

from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from cryomamba.errors import InvalidRequestError
from cryomamba_server.webhook_signing import read_or_make_webhook_secret, shown_secret, signed_headers

SECRET, OTHER = bytes(range(32)), bytes(range(1, 33))


def test_the_example_of_the_specification() -> None:
    """Secret, id, time and body that its documentation gives have the signature that it gives."""
    secret = b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = '{"test": 2432232314}'
    headers = signed_headers(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_library_of_others_accepts_a_signature_and_no_other() -> None:
    """Also of letters beyond ASCII; not of another body, id or time, and not with another webhook's secret."""
    now = int(datetime.now(UTC).timestamp())
    body = '{"data":{"name":"TS_01 – Å"}}'
    headers = signed_headers(SECRET, "m-1", now, body)
    receiver = Webhook(shown_secret(SECRET))
    assert receiver.verify(body.encode(), headers) == {"data": {"name": "TS_01 – Å"}}
    wrong = [
        (receiver, body + " ", headers),
        (receiver, body, {**headers, "webhook-id": "m-2"}),
        (receiver, body, {**headers, "webhook-timestamp": str(now - 1)}),
        (Webhook(shown_secret(OTHER)), body, headers),
    ]
    for other, text, sent in wrong:
        with pytest.raises(WebhookVerificationError):
            other.verify(text, sent)


def test_a_secret_in_a_file_is_kept(tmp_path: Path) -> None:
    """A missing file is made, for its owner alone, and has the secret as receivers take it."""
    path = tmp_path / "secret"
    secret = read_or_make_webhook_secret(path)
    assert len(secret) == 32
    assert read_or_make_webhook_secret(path) == secret
    assert path.read_text() == shown_secret(secret) + "\n"
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("content", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_%%%", "x" + shown_secret(SECRET), "\xff"])
def test_a_file_without_a_secret_is_refused(tmp_path: Path, content: str) -> None:
    """Nothing is signed with a word that can be guessed."""
    path = tmp_path / "secret"
    path.write_bytes(content.encode("latin-1"))
    path.chmod(0o600)
    with pytest.raises(InvalidRequestError, match="no secret"):
        read_or_make_webhook_secret(path)
