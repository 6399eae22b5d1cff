"""The secrets with which messages to webhooks are signed."""

from __future__ import annotations

from pathlib import Path

from cryomamba_broker.webhook_secrets import WebhookSecrets


def test_a_secret_is_the_same_after_a_restart(tmp_path: Path) -> None:
    """It has 256 bits, and comes from a key that only its owner can read; another data directory has others."""
    first = WebhookSecrets(tmp_path / "keys").secret("w-1")
    assert len(first) == 32
    assert WebhookSecrets(tmp_path / "keys").secret("w-1") == first
    assert WebhookSecrets(tmp_path / "other").secret("w-1") != first
    assert (tmp_path / "keys" / "webhooks.key").stat().st_mode & 0o077 == 0
