"""The priority of a job on a server."""

from __future__ import annotations

from qtpy.QtWidgets import QComboBox, QWidget

from cryomamba.models.jobs import Priority

TITLES = {Priority.HIGH: "high", Priority.NORMAL: "normal", Priority.LOW: "low"}


class PriorityChoice(QComboBox):
    """High, normal or low."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        for priority, title in TITLES.items():
            self.addItem(title, int(priority))
        self.setToolTip(
            "The order among your own jobs on the server. One step counts as much as a day of waiting in the queue"
        )
        self.choose(Priority.NORMAL)

    @property
    def priority(self) -> int:
        """The chosen one."""
        return int(self.currentData())

    def choose(self, priority: int) -> None:
        """Choose a priority, also one beyond high or low, which administrators may give."""
        if self.findData(priority) < 0:
            self.addItem(str(priority), priority)
        self.setCurrentIndex(self.findData(int(priority)))
