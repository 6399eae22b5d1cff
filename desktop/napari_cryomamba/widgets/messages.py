"""The notifications, newest first; details and a report on request."""

from __future__ import annotations

from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QPushButton, QWidget

from cryomamba.printable import printable_lines
from napari_cryomamba.app.notifications import Notifications
from napari_cryomamba.app.server import ServerConnection
from napari_cryomamba.models.notifications import Level, Notification, bug_report
from napari_cryomamba.widgets.clipboard import copy_text
from napari_cryomamba.widgets.layout import button, hbox, text_label, vbox
from napari_cryomamba.widgets.theme import state_colors


class MessagesPanel(QWidget):
    """The history of notifications."""

    def __init__(self, notifications: Notifications, server: ServerConnection) -> None:
        super().__init__()
        self._notifications, self._server = notifications, server
        self.list = QListWidget(self)
        self.list.setWordWrap(True)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.detail = text_label()
        self.detail.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.detail_button = QPushButton("Details", self)
        self.detail_button.setCheckable(True)
        self.copy_button = button("Copy report", self, self.copy_report)
        self.copy_button.setToolTip("Copy all messages and the versions of all programs, to send to the developers")
        self.clear_button = button("Clear", self, notifications.clear)
        buttons = hbox(self.detail_button, self.copy_button, self.clear_button)
        vbox(self, self.list, self.detail, buttons, margin=4, stretch=self.list)
        self.list.currentRowChanged.connect(self._show_detail)
        self.detail_button.toggled.connect(self._show_detail)
        notifications.changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the notifications."""
        colors = self._colors = state_colors(self)
        self.list.clear()
        for notification in reversed(self._notifications.history.entries):
            item = QListWidgetItem(printable_lines(as_sentence(notification)))
            if notification.level is not Level.INFO:
                error = notification.level is Level.ERROR
                item.setForeground(QColor(colors.error if error else colors.warning))
            self.list.addItem(item)
        self._show_detail()

    def changeEvent(self, event: QEvent) -> None:
        """Take the colours of another theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange and self._colors != state_colors(self):
            self.refresh()

    @property
    def selected(self) -> Notification | None:
        """The selected notification; the newest if none is."""
        entries = self._notifications.history.entries[::-1]
        row = max(self.list.currentRow(), 0)
        return entries[row] if row < len(entries) else None

    def _show_detail(self) -> None:
        notification = self.selected
        self.detail.setVisible(self.detail_button.isChecked() and notification is not None)
        if notification is not None:
            self.detail.setText(details_of(notification))

    def copy_report(self) -> None:
        """Copy all notifications for the developers."""
        copy_text(bug_report(self._notifications.history.entries, server=self._server.state.server))


def as_sentence(notification: Notification) -> str:
    """Return the text of a notification in the list."""
    times = f" (×{notification.count})" if notification.count > 1 else ""
    context = f"{notification.context}: " if notification.context else ""
    hint = f"\n→ {notification.hint}" if notification.hint else ""
    return f"{notification.at.astimezone():%H:%M:%S}  {context}{notification.text}{times}{hint}"


def details_of(notification: Notification) -> str:
    """Return code, request id, time and details of a notification."""
    facts = (
        ("Code", notification.code),
        ("Request", notification.request_id),
        ("Time", f"{notification.at:%Y-%m-%d %H:%M:%S} UTC"),
    )
    lines = [f"{name}: {value}" for name, value in facts if value]
    return "\n".join([*lines, notification.detail] if notification.detail else lines)
