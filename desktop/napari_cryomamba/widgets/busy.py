"""What the program is busy with: a line at the foot of the panel, with a bar and a button that cancels."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFrame, QProgressBar, QWidget

from napari_cryomamba.app.task_runner import TaskRunner
from napari_cryomamba.net.bridge import Bridge
from napari_cryomamba.widgets.layout import button, hbox, text_label

SHOWN_AFTER_S = 0.4
"""What is done sooner would only flicker."""
_TICK_MS = 200


@dataclass(frozen=True, slots=True)
class _Wait:
    text: str
    fraction: float | None
    cancel: Callable[[], object]


class BusyLine(QFrame):
    """Shows the newest of the tasks and requests that a person may be waiting for; hidden while there is none."""

    def __init__(self, tasks: TaskRunner, bridge: Bridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tasks, self._bridge = tasks, bridge
        self.text = text_label()
        self.bar = QProgressBar(self)
        self.bar.setTextVisible(False)
        self.bar.setFixedSize(80, 12)
        self.cancel_button = button("Cancel", self, self._cancel)
        layout = hbox(self.text, self.bar, self.cancel_button, stretch=self.text)
        layout.setContentsMargins(6, 2, 6, 2)
        self.setLayout(layout)
        self.hide()
        self._timer = QTimer(self)
        self._timer.setInterval(_TICK_MS)
        self._timer.timeout.connect(self.refresh)
        tasks.changed.connect(self._begin)
        bridge.waiting_changed.connect(self._begin)

    def _begin(self) -> None:
        if not self._timer.isActive():
            self._timer.start()

    def _waits(self) -> list[_Wait]:
        before = time.monotonic() - SHOWN_AFTER_S
        tasks = [
            _Wait(task.context, task.fraction, partial(self._tasks.abandon, task))
            for task in self._tasks.waited_for
            if task.started < before
        ]
        requests = [
            _Wait(request.context, None, request.future.cancel)
            for request in self._bridge.waiting
            if request.started < before
        ]
        return [*requests, *tasks]

    def refresh(self) -> None:
        """Show what is waited for now."""
        waits = self._waits()
        self.setVisible(bool(waits))
        if not waits:
            if not self._tasks.waited_for and not self._bridge.waiting:
                self._timer.stop()
            return
        newest = waits[-1]
        more = f" (and {len(waits) - 1} more)" if len(waits) > 1 else ""
        self.text.setText(f"{newest.text} …{more}")
        # A bar without a maximum moves to and fro.
        self.bar.setRange(0, 0 if newest.fraction is None else 100)
        if newest.fraction is not None:
            self.bar.setValue(round(100 * newest.fraction))

    def _cancel(self) -> None:
        waits = self._waits()
        if waits:
            waits[-1].cancel()
            self.refresh()

    def stop(self) -> None:
        """End with the window."""
        self._timer.stop()
