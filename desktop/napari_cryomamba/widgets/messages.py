"""What happened, newest first, with what to do; details and a report on demand."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QApplication,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_cryomamba.app.controller import AppController
from napari_cryomamba.models.history import Level, Notice, bug_report

_COLORS = {Level.ERROR: "#f85149", Level.WARNING: "#d29922"}


class MessagesPanel(QWidget):
    """The history of messages."""

    def __init__(self, desk: AppController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self.list = QListWidget(self)
        self.list.setWordWrap(True)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.detail = QLabel(self)
        self.detail.setWordWrap(True)
        self.detail.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.detail_button = QPushButton("Details", self)
        self.detail_button.setCheckable(True)
        self.copy_button = QPushButton("Copy report", self)
        self.copy_button.setToolTip("Copy all messages with versions, to send to the developers")
        self.clear_button = QPushButton("Clear", self)
        buttons = QHBoxLayout()
        for button in (self.detail_button, self.copy_button, self.clear_button):
            buttons.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(self.list, 1)
        layout.addWidget(self.detail)
        layout.addLayout(buttons)
        self.list.currentRowChanged.connect(self._show_detail)
        self.detail_button.toggled.connect(self._show_detail)
        self.copy_button.clicked.connect(self.copy_report)
        self.clear_button.clicked.connect(self._clear)
        desk.notices.changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the history as it is."""
        self.list.clear()
        for notice in reversed(self._desk.notices.history.notices):
            item = QListWidgetItem(sentence(notice))
            if notice.level in _COLORS:
                item.setForeground(QColor(_COLORS[notice.level]))
            self.list.addItem(item)
        self._show_detail()

    @property
    def selected(self) -> Notice | None:
        """The selected message; the newest if none is."""
        notices = self._desk.notices.history.notices[::-1]
        row = max(self.list.currentRow(), 0)
        return notices[row] if row < len(notices) else None

    def _show_detail(self) -> None:
        notice = self.selected
        wanted = self.detail_button.isChecked() and notice is not None
        self.detail.setVisible(wanted)
        if notice is not None:
            self.detail.setText(detail(notice))

    def copy_report(self) -> None:
        """Copy all messages for the developers."""
        clipboard = QApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(bug_report(self._desk.notices.history.notices, server=self._desk.server.link.server))

    def _clear(self) -> None:
        self._desk.notices.clear()


def sentence(notice: Notice) -> str:
    """Return a message as it stands in the list."""
    times = f" (×{notice.count})" if notice.count > 1 else ""
    context = f"{notice.context}: " if notice.context else ""
    hint = f"\n→ {notice.hint}" if notice.hint else ""
    return f"{notice.at.astimezone():%H:%M:%S}  {context}{notice.text}{times}{hint}"


def detail(notice: Notice) -> str:
    """Return what a developer wants to know."""
    facts = (("Code", notice.code), ("Request", notice.request_id), ("When", f"{notice.at:%Y-%m-%d %H:%M:%S} UTC"))
    lines = [f"{name}: {value}" for name, value in facts if value]
    return "\n".join([*lines, notice.detail] if notice.detail else lines)
