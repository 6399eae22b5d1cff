"""``webhooks`` with a running stack, through the gateway and directly."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.webhook_receiver import ThreadedReceiver
from typer.testing import Result

import cryomamba
from cryomamba.testing import Stack, wait_until

pytestmark = pytest.mark.system
Cli = Callable[..., Result]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack that may send to this machine."""
    folder = tmp_path_factory.mktemp("stack")
    with Stack(folder / "home", roots=[folder], env={"CRYOMAMBA_WEBHOOK_NETWORKS": "127.0.0.0/8"}) as stack:
        yield stack.start().wait_ready()


def test_a_webhook_is_added_tested_and_removed(url: str, cli: Cli) -> None:
    """The secret is printed once, and what the receiver gets is signed with it; every command takes a short id."""
    with ThreadedReceiver().listening() as receiver:
        added = cli(
            "webhooks", "add", receiver.url, "--event", "job.failed", "-e", "job.cancelled", "--name", "lab book"
        )
        secret = added.stdout.strip()
        assert secret.startswith("whsec_")
        [record] = json.loads(cli("webhooks", "list", "--json").stdout)
        short = record["webhook_id"][:8]
        assert short in added.stderr
        assert (record["events"], record["name"]) == (["job.cancelled", "job.failed"], "lab book")
        tested = cli("webhooks", "test", short)
        assert (tested.exit_code, tested.stdout) == (0, "delivered, status 204\n")
        with cryomamba.connect(url) as client:
            job = client.submit(shape=(32, 32, 32), engine="demo", params={"seconds": 30})
            job.cancel()
        wait_until(lambda: len(receiver.received) == 2, what="the message about the job")
        assert [one["type"] for one in receiver.messages(secret)] == ["webhook.test", "job.cancelled"]
        shown = wait_until(lambda: _all_delivered(cli("webhooks", "deliveries", short).stdout), what="both deliveries")
        assert job.job_id[:8] in shown
        assert secret not in shown + cli("webhooks", "list").stdout
        assert "lab book" in cli("webhooks", "list").stdout
    refused = cli("webhooks", "test", short)
    assert refused.exit_code != 0
    assert "The receiver refuses connections." in refused.stderr
    # An empty text, such as that of a variable that is not set, names no webhook, though there is only one.
    assert cli("webhooks", "remove", "").exit_code == 3
    assert cli("webhooks", "remove", short).exit_code == 0
    assert "No webhooks." in cli("webhooks", "list").stderr
    assert "There is no webhook" in cli("webhooks", "deliveries", short).stderr


def _all_delivered(shown: str) -> str:
    return shown if shown.count("delivered") == 2 else ""


def test_a_webhook_that_cannot_be_is_refused(url: str, cli: Cli, tmp_path: Path) -> None:
    """With what is wrong, and what may be given instead."""
    for arguments, problem in (
        (["https://10.1.1.1/"], "an address that is not public"),
        (["ftp://example.org/"], "'url' is invalid"),
        (["https://example.org/", "--event", "job.lost"], "'job.lost' is not one of"),
    ):
        refused = cli("webhooks", "add", *arguments)
        assert refused.exit_code == 2
        assert problem in refused.stderr
    assert "No webhooks." in cli("webhooks", "list").stderr
