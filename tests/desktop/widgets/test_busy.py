"""The line that says what the program is busy with."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from cryomamba.testing import DEADLINE_S
from napari_cryomamba.app.controller import AppController
from napari_cryomamba.app.task_runner import Task
from napari_cryomamba.widgets.busy import BusyLine

if TYPE_CHECKING:
    from tests.desktop.conftest import WaitFor

pytestmark = pytest.mark.desktop


@pytest.fixture
def busy(controller: AppController, qtbot: Any) -> BusyLine:
    found = BusyLine(controller.tasks, controller.server.bridge)
    qtbot.addWidget(found)
    return found


def test_who_waits_sees_what_for_and_can_cancel(busy: BusyLine, controller: AppController, wait_for: WaitFor) -> None:
    """The line has words and a fraction, hides when all is done, and Cancel lets what waits go on without an error."""
    go_on = threading.Event()
    failed: list[bool] = []
    done: list[object] = []

    def work(task: Task) -> None:
        task.progress(0.4)
        assert go_on.wait(DEADLINE_S)

    assert busy.isHidden()
    controller.tasks.run("Opening big.mrc.gz", work, done.append, failed=lambda: failed.append(True))
    wait_for(lambda: not busy.isHidden() and busy.bar.value() == 40)
    assert busy.text.text() == "Opening big.mrc.gz …"
    busy.cancel_button.click()
    assert busy.isHidden()
    assert failed == [True]
    go_on.set()
    wait_for(lambda: not controller.tasks.waited_for and not any("big.mrc" in t.name for t in threading.enumerate()))
    assert done == []
    assert [(entry.level, entry.text) for entry in controller.notifications.history.entries] == [("info", "Cancelled.")]


def test_requests_to_the_server_are_waited_for_too(
    busy: BusyLine, controller: AppController, wait_for: WaitFor
) -> None:
    """A request that the server has not answered is named; work in the background is not."""
    over = threading.Event()
    controller.tasks.run("Autosave", lambda _task: over.wait(DEADLINE_S), background=True)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        controller.server.connect_to(f"http://127.0.0.1:{silent.getsockname()[1]}")
        wait_for(lambda: controller.server.bridge._session._client)
        controller.server.bridge.request("Submitting the job", lambda client: client.info(), failed=lambda _error: None)
        wait_for(lambda: not busy.isHidden())
        assert busy.text.text() == "Submitting the job …"
        assert busy.bar.maximum() == 0
        busy.cancel_button.click()
        wait_for(busy.isHidden)
    over.set()
    assert controller.server.bridge.waiting == []
