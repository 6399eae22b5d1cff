"""The panel for the connection, alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from cryomamba.testing import free_ports
from napari_cryomamba.app.notifications import Notifications
from napari_cryomamba.app.server import ServerConnection
from napari_cryomamba.app.settings import Preferences
from napari_cryomamba.models.connection import ConnectionState, Phase
from napari_cryomamba.models.frames import FrameStore
from napari_cryomamba.models.notifications import Level
from napari_cryomamba.net.messages import ConnectionChanged, NotificationPosted
from napari_cryomamba.widgets.connect import ConnectPanel

if TYPE_CHECKING:
    from tests.desktop.conftest import WaitFor

pytestmark = pytest.mark.desktop


@pytest.fixture
def server(notifications: Notifications, settings_file: Any) -> Iterator[ServerConnection]:
    """A connection to nothing; what its network thread posts is handled."""
    connection = ServerConnection(Preferences(settings_file), notifications, FrameStore())

    def on_message(message: object) -> None:
        if isinstance(message, ConnectionChanged):
            connection.on_state(message.state)
        elif isinstance(message, NotificationPosted):
            notifications.notify(message.notification)

    connection.bridge.message_received.connect(on_message)
    yield connection
    connection.close()


@pytest.fixture
def connect_panel(server: ServerConnection, qtbot: Any) -> ConnectPanel:
    found = ConnectPanel(server)
    qtbot.addWidget(found)
    return found


def test_a_server_that_is_down_makes_one_message(
    connect_panel: ConnectPanel, server: ServerConnection, notifications: Notifications, wait_for: WaitFor
) -> None:
    """The text counts down to the next attempt, the button tries at once, and another address is refused with why."""
    [port] = free_ports(1)
    connect_panel.address.setCurrentText(f"http://127.0.0.1:{port}")
    connect_panel.connect_now()
    wait_for(lambda: server.state.phase is Phase.WAITING)
    assert connect_panel.text.text().startswith("Reconnecting")
    assert connect_panel.button.text() == "Reconnect now"
    connect_panel.button.click()
    connect_panel.address.setCurrentText("nonsense")
    assert connect_panel.button.text() == "Connect"
    connect_panel.button.click()
    wait_for(lambda: server.state.phase is Phase.REFUSED)
    assert "nonsense" in connect_panel.text.text()
    # They come after the state.
    wait_for(lambda: len(notifications.history.entries) == 2)
    assert {entry.level for entry in notifications.history.entries} == {Level.WARNING}
    assert server.known_addresses[0] == "nonsense"


def test_the_field_for_a_token_shows_when_one_is_needed(connect_panel: ConnectPanel, server: ServerConnection) -> None:
    """A server that requires a token makes the field appear; once it is connected, the field goes."""
    refused = ConnectionState(Phase.REFUSED, "http://a:1", "A token is required.", code="unauthorized")
    server.on_state(refused)
    assert not connect_panel.token_row.isHidden()
    assert "A token is required." in connect_panel.text.text()
    server.on_state(ConnectionState(Phase.CONNECTED, "http://a:1", transport="http", latency_s=0.012))
    assert connect_panel.token_row.isHidden()
    assert connect_panel.details.text() == "via HTTP · 12 ms"
