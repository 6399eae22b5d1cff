"""The panel for notifications, alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from napari_cryomamba.app.notifications import Notifications
from napari_cryomamba.models.connection import ConnectionState
from napari_cryomamba.models.notifications import Level, Notification
from napari_cryomamba.widgets.messages import MessagesPanel

pytestmark = pytest.mark.desktop


@pytest.fixture
def messages(notifications: Notifications, qtbot: Any) -> MessagesPanel:
    server: Any = SimpleNamespace(state=ConnectionState())
    found = MessagesPanel(notifications, server)
    qtbot.addWidget(found)
    return found


def test_details_and_report_hold_code_and_request(
    messages: MessagesPanel, notifications: Notifications, qapp: Any
) -> None:
    """They are shown on request, and the copied report holds them."""
    notifications.notify(Notification(Level.ERROR, "It is down.", "Wait.", code="unavailable", request_id="r-9"))
    messages.detail_button.setChecked(True)
    assert "Request: r-9" in messages.detail.text()
    messages.copy_button.click()
    assert "request_id: r-9" in qapp.clipboard().text()


def test_the_newest_message_is_on_top_with_its_hint(messages: MessagesPanel, notifications: Notifications) -> None:
    """A message is what happened, then what to do; clearing removes all."""
    notifications.notify(Notification(Level.INFO, "First."))
    notifications.notify(Notification(Level.WARNING, "Second.", "Do this.", context="Job 'a'"))
    newest = messages.list.item(0)
    assert newest is not None
    assert newest.text().endswith("Job 'a': Second.\n→ Do this.")
    messages.clear_button.click()
    assert messages.list.count() == 0
