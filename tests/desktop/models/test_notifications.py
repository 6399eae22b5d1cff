"""Messages for the person."""

from __future__ import annotations

from datetime import UTC, datetime

from cryomamba.errors import ErrorCode, UnavailableError
from napari_cryomamba.models.notifications import Level, Notification, NotificationHistory, bug_report


def test_a_message_that_repeats_is_counted() -> None:
    """The same sentence ten times in a row is one line, and makes no storm."""
    history = NotificationHistory()
    for _ in range(10):
        history.add(Notification(Level.ERROR, "The disk is full.", "Free some space."))
    assert len(history) == 1
    assert history.entries[0].count == 10
    assert history.unread == 1


def test_only_what_matters_is_unread() -> None:
    """Information does not ask for attention; warnings and errors do until they are read."""
    history = NotificationHistory()
    history.add(Notification(Level.INFO, "Saved."))
    history.add(Notification(Level.WARNING, "No worker."))
    assert history.unread == 1
    history.mark_read()
    assert history.unread == 0


def test_the_history_is_bounded() -> None:
    """Old messages make room for new ones."""
    history = NotificationHistory(limit=3)
    for number in range(5):
        history.add(Notification(Level.INFO, f"message {number}"))
    assert [notification.text for notification in history.entries] == ["message 2", "message 3", "message 4"]


def test_an_error_keeps_code_request_and_facts() -> None:
    """Nothing that a developer needs is lost on the way from the server."""
    error = UnavailableError("Away.", hint="Wait.", details={"request_id": "r-7", "service": "broker"})
    notification = Notification.of_error(error, context="Submitting")
    assert (notification.text, notification.hint, notification.code) == ("Away.", "Wait.", str(ErrorCode.UNAVAILABLE))
    assert (notification.request_id, notification.detail) == ("r-7", "service: broker")


def test_a_report_names_versions_and_messages() -> None:
    """A bug report holds versions, the server and every message with its code."""
    history = NotificationHistory()
    history.add(Notification.of_error(UnavailableError("Away.")), at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    text = bug_report(history.entries, server="cryomamba 1.2")
    assert "napari " in text
    assert "Server: cryomamba 1.2" in text
    assert "2026-01-02 03:04:05Z ERROR" in text
    assert "code: unavailable" in text
