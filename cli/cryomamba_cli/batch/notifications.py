"""A command or a webhook for each tomogram that has ended, in a thread of its own.

That one is to be sent is part of the record, so a program that was killed before sends it when it starts again. It may
then be sent twice, with the same id.
"""

from __future__ import annotations

import hashlib
import json
import queue
import re
import shlex
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx

from cryomamba.errors import InvalidRequestError
from cryomamba.printable import printable
from cryomamba_cli.batch.record import TomogramRecord, read_record, record_path, write_record
from cryomamba_server.webhook_signing import signed_headers

SENT: Final = "sent"
_COMMAND_S: Final = 600.0
_WEBHOOK_S: Final = 10.0
_PAUSES_S: Final = (1.0, 5.0, 25.0)
"""Before each further try of a webhook."""
_ENDED: Final = None
_PLACEHOLDER: Final = re.compile(r"\{(?:name|state|mask|record)\}")

Done = Callable[[Path, TomogramRecord], None]


@dataclass(frozen=True, slots=True)
class Webhook:
    """A URL that gets each record as JSON, with POST; with a secret, messages are signed.

    Raises
    ------
    InvalidRequestError
        The URL is none.
    """

    url: str
    secret: bytes | None = None

    def __post_init__(self) -> None:
        try:
            parsed = httpx.URL(self.url)
        except httpx.InvalidURL:
            parsed = httpx.URL()
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            raise InvalidRequestError(f"'{self.url}' is not a URL.", hint="For example: https://example.org/hook.")

    def headers(self, message_id: str, body: str) -> dict[str, str]:
        """Return the headers of a try that begins now."""
        now = int(time.time())
        if self.secret is None:
            identity = {"webhook-id": message_id, "webhook-timestamp": str(now)}
        else:
            identity = signed_headers(self.secret, message_id, now, body)
        return {"content-type": "application/json", **identity}


class Notifier:
    """Runs a command and calls a webhook for tomograms that have ended, one after the other.

    Parameters
    ----------
    command : str, optional
        Its words; ``{name}``, ``{state}``, ``{mask}`` and ``{record}`` in them are replaced. No shell is involved. It
        gets the record as JSON on standard input.
    webhook : Webhook, optional
    scratch : Path
        That of the work folder.

    Raises
    ------
    InvalidRequestError
        The command cannot be split into words.
    """

    def __init__(self, command: str | None, webhook: Webhook | None, scratch: Path) -> None:
        self._command = None if command is None else split_command(command)
        self._webhook = webhook
        self._scratch = scratch
        self._queue: queue.SimpleQueue[tuple[Path, Path, TomogramRecord, Done] | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="notifications")
        self._thread.start()

    def notify(self, path: Path, mask: Path, record: TomogramRecord, done: Done) -> None:
        """Announce the end of a tomogram; returns at once.

        Parameters
        ----------
        path : Path
            Its name in the session.
        mask, record
        done : callable
            Called in the thread of notifications with the path and the record, which has the outcome then.
        """
        self._queue.put((path, mask, record, done))

    def close(self, *, finish: bool) -> None:
        """Wait for the thread; without `finish`, what has not begun is sent when the program starts again."""
        if not finish:
            self._stopping.set()
        self._queue.put(_ENDED)
        self._thread.join()

    def _run(self) -> None:
        while (item := self._queue.get()) is not _ENDED:
            path, mask, record, done = item
            if self._stopping.is_set():
                continue
            outcome = self._send(mask, record)
            if outcome is not None:
                updated = record.model_copy(update={"notification": outcome})
                # It may have been replaced meanwhile by that of a later run.
                if read_record(mask) == record:
                    write_record(mask, updated, self._scratch)
                done(path, updated)

    def _send(self, mask: Path, record: TomogramRecord) -> str | None:
        """Send, and return the outcome; None if the program ends first."""
        outcome: str | None = SENT
        if self._command is not None:
            outcome = self._run_command(self._command, mask, record)
        if self._webhook is not None:
            sent = self._post(self._webhook, mask, record)
            outcome = sent if outcome == SENT or sent is None else outcome
        return outcome

    def _run_command(self, command: list[str], mask: Path, record: TomogramRecord) -> str:
        values = {
            "{name}": record.tomogram,
            "{state}": record.state,
            "{mask}": str(mask),
            "{record}": str(record_path(mask)),
        }
        # In one pass: a name may contain what looks like a placeholder.
        words = [_PLACEHOLDER.sub(lambda match: values[match[0]], word) for word in command]
        try:
            done = subprocess.run(  # noqa: S603 (the user's own command)  # nosec B603
                words, input=record.model_dump_json().encode(), capture_output=True, timeout=_COMMAND_S, check=False
            )
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            return f"The command could not be run: {error}."
        if done.returncode == 0:
            return SENT
        last = printable(done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2])
        return f"The command ended with status {done.returncode}{f': {last}' if last else ''}."

    def _post(self, webhook: Webhook, mask: Path, record: TomogramRecord) -> str | None:
        message = {
            "type": f"tomogram.{record.state}",
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
            "data": record.model_dump(mode="json"),
        }
        identity = hashlib.sha256(f"{mask.absolute()}\n{record.ended_at.isoformat()}".encode("utf-8", "replace"))
        message_id, body = f"msg_{identity.hexdigest()[:32]}", json.dumps(message)
        problem = ""
        for pause_s in (*_PAUSES_S, None):
            try:
                headers = webhook.headers(message_id, body)
                status = httpx.post(webhook.url, content=body, headers=headers, timeout=_WEBHOOK_S).status_code
                if status < httpx.codes.MULTIPLE_CHOICES:
                    return SENT
                problem = f"the receiver answered with status {status}"
            except httpx.HTTPError as error:
                problem = str(error) or type(error).__name__
            if pause_s is not None and self._stopping.wait(pause_s):
                return None
        return f"The webhook was not delivered: {printable(problem)}."


def split_command(command: str) -> list[str]:
    """Return the words of a command.

    Raises
    ------
    InvalidRequestError
        It has none, or a quote is not closed.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InvalidRequestError(f"The command cannot be read: {error}.", hint="Close its quotes.") from None
    if not words:
        raise InvalidRequestError("The command is empty.", hint="For example: --command 'notify.sh {state} {name}'.")
    return words
