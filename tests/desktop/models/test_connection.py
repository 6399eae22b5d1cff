"""The state of the connection."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from cryomamba.errors import AccessError, UnavailableError
from cryomamba.models.server import ServerInfo, WorkerInfo
from napari_cryomamba.models.connection import BACKOFF_S, ConnectionModel, Phase
from napari_cryomamba.models.notifications import Level

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AWAY = UnavailableError("No broker answers.", hint="Start the services.")


def info(epoch: int = 1, workers: int = 1, **fields: Any) -> ServerInfo:
    found = tuple(
        WorkerInfo(worker=f"w{n}", host="here", pid=n, version="1", engines=("demo",), seen_at=NOW)
        for n in range(workers)
    )
    given: dict[str, Any] = {"status": "ok", "version": "1.2", "protocol": 1, "timestamp": NOW, "started_at": NOW}
    return ServerInfo(epoch=epoch, workers=found, **(given | fields))


@pytest.fixture
def model() -> ConnectionModel:
    found = ConnectionModel()
    found.open("tcp://127.0.0.1:5560")
    return found


def test_a_response_connects_and_is_notified_once(model: ConnectionModel) -> None:
    """Only the first response makes a notification."""
    assert [n.level for n in model.on_response(info(), transport="bus")] == [Level.INFO]
    assert model.on_response(info(), transport="bus") == []
    assert model.state.phase is Phase.CONNECTED
    assert model.state.server == "cryomamba 1.2 · 1 worker"


def test_without_a_worker_the_server_is_degraded(model: ConnectionModel) -> None:
    """It is connected, and the text says what is missing."""
    notifications = model.on_response(info(workers=0), transport="bus")
    assert model.state.phase is Phase.DEGRADED
    assert "no worker" in model.state.text(0)
    assert [n.level for n in notifications] == [Level.INFO, Level.WARNING]
    assert "fully available again" in model.on_response(info(), transport="bus")[0].text


def test_a_server_that_stays_down_makes_one_notification(model: ConnectionModel) -> None:
    """Each failed attempt lengthens the pause up to a bound; only the first makes a notification."""
    notifications = [model.on_failure(AWAY, now=100.0) for _ in range(10)]
    assert [len(found) for found in notifications] == [1] + [0] * 9
    assert model.state.phase is Phase.WAITING
    assert model.state.retry_at == 100.0 + BACKOFF_S[-1]


def test_the_seconds_to_the_next_attempt_are_counted_down(model: ConnectionModel) -> None:
    """The text shows the seconds that are left, and none when they are over."""
    model.on_failure(AWAY, now=100.0)
    model.on_failure(AWAY, now=100.0)
    assert model.state.text(100.0) == "Reconnecting in 2 s"
    assert model.state.text(101.5) == "Reconnecting in 1 s"
    assert model.state.text(103.0) == "Reconnecting …"


def test_a_refusal_says_why(model: ConnectionModel) -> None:
    """An error that will not pass by itself is a refusal with its reason and hint."""
    model.on_failure(AccessError("This key is not known.", hint="Ask for one."), now=0.0)
    assert model.state.phase is Phase.REFUSED
    assert model.state.text(0) == "Refused: This key is not known. Ask for one."
    assert model.state.hint == "Ask for one."


def test_a_lost_connection_and_a_restart_are_notified(model: ConnectionModel) -> None:
    """Losing the server, reconnecting, and a new epoch each make a notification."""
    model.on_response(info(epoch=1), transport="bus")
    lost = model.on_connection_lost("The connection to the broker was lost.", now=5.0)
    assert "lost" in lost[0].text
    assert model.on_connection_lost("again", now=5.1) == []
    back = [notification.text for notification in model.on_response(info(epoch=2), transport="bus")]
    assert back == ["Connected again to tcp://127.0.0.1:5560.", "The server was restarted; jobs continue."]


def test_the_last_known_server_is_shown_while_it_is_down(model: ConnectionModel) -> None:
    """Version and workers of the last response are kept until another address is opened."""
    model.on_response(info(), transport="bus")
    model.on_failure(AWAY, now=0.0)
    assert model.state.info is not None
    model.open("http://127.0.0.1:8000")
    assert model.state.info is None
