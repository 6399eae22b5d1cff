"""Commands and webhooks for tomograms that have ended."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.webhook_receiver import ThreadedReceiver
from typer.testing import Result

Cli = Callable[..., Result]

APPEND = (
    "import sys, pathlib; pathlib.Path('log').open('a').write(' '.join(sys.argv[1:]) + '|' + sys.stdin.read() + '\\n')"
)
NAME = "a {mask} $(touch x).mrc"


@pytest.fixture
def folder(tomogram: Path, tmp_path: Path) -> Path:
    """A good tomogram with an unusual name, and a broken one."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / NAME).write_bytes(tomogram.read_bytes())
    (folder / "b.mrc").write_bytes(b"no tomogram")
    return folder


def watch(cli: Cli, *options: object) -> Result:
    quick = ("--once", "--poll", "0.05", "--stable", "0", "--stalled", "0", "--no-pictures")
    return cli("watch-folder", "in", "-o", "out", "-e", "threshold", *quick, *options)


def notification(name: str) -> str:
    return str(json.loads(Path("out", f"{name}__threshold.mrc.json").read_bytes())["notification"])


def test_a_command_for_each_tomogram(cli: Cli, folder: Path) -> None:
    """It gets names, as they are and without a shell, and the record; the second run runs none."""
    command = shlex.join([sys.executable, "-c", APPEND, "{state}", "{name}", "{record}"])
    for _ in range(2):
        assert watch(cli, "--command", command).exit_code == 1
    lines = [line.partition("|") for line in Path("log").read_text().splitlines()]
    records = {head: json.loads(record) for head, _, record in lines}
    assert set(records) == {
        f"done {NAME} out/{NAME.removesuffix('.mrc')}__threshold.mrc.json",
        "failed b.mrc out/b__threshold.mrc.json",
    }
    assert len(lines) == 2
    assert not Path("x").exists()
    assert next(one for one in records.values() if one["state"] == "done")["labels"][0]["voxels"] > 0
    assert notification("b") == "sent"


def test_a_command_that_fails(cli: Cli, folder: Path) -> None:
    """The mask stays done; record and report say what the command said."""
    failing = shlex.join([sys.executable, "-c", "import sys; sys.exit('no space')"])
    assert watch(cli, "--command", failing).exit_code == 1
    assert notification("b") == "The command ended with status 1: no space."
    assert "status 1: no space" in Path("out/report.html").read_text("utf-8")
    assert watch(cli, "--retry-failed", "--command", "/nothing/there").exit_code == 1
    assert "could not be run" in notification("b")


def test_a_webhook_for_each_tomogram(cli: Cli, folder: Path) -> None:
    """A try that fails is repeated with the same id."""
    with ThreadedReceiver(statuses=[503]).listening() as receiver:
        assert watch(cli, "--webhook", receiver.url).exit_code == 1
        messages = [json.loads(body) for _, body in receiver.received]
        ids = [headers["webhook-id"] for headers, _ in receiver.received]
    assert {message["type"] for message in messages} == {"tomogram.done", "tomogram.failed"}
    assert (len(ids), len(set(ids))) == (3, 2)
    assert notification("b") == "sent"


def test_a_webhook_is_signed(cli: Cli, folder: Path) -> None:
    """The library of others verifies each message, also one that is repeated, with the secret that was made."""
    with ThreadedReceiver(statuses=[503]).listening() as receiver:
        assert watch(cli, "--webhook", receiver.url, "--webhook-secret", "secret").exit_code == 1
        messages = receiver.messages(Path("secret").read_text().strip())
    assert [message["type"] for message in messages].count("tomogram.failed") >= 1
    assert len(messages) == 3


def test_what_was_not_sent_is_sent_by_the_next_run(cli: Cli, folder: Path) -> None:
    """A record that says that its notification is pending, as a program leaves it that was killed."""
    assert watch(cli).exit_code == 1
    path = Path("out/b__threshold.mrc.json")
    path.write_text(path.read_text().replace('"notification": ""', '"notification": "pending"'))
    with ThreadedReceiver().listening() as receiver:
        assert watch(cli, "--webhook", receiver.url).exit_code == 1
        assert [json.loads(body)["data"]["tomogram"] for _, body in receiver.received] == ["b.mrc"]
    assert notification("b") == "sent"


def test_what_cannot_be_used_is_refused(cli: Cli, folder: Path) -> None:
    """Before anything is segmented."""
    assert watch(cli, "--command", "a 'b").exit_code == 2
    assert watch(cli, "--webhook", "example.org/hook").exit_code == 2
    assert watch(cli, "--webhook-secret", "secret").exit_code == 2
    Path("empty").touch(mode=0o600)
    assert watch(cli, "--webhook", "http://127.0.0.1:9", "--webhook-secret", "empty").exit_code == 2
    assert not Path("out/summary.csv").exists()
