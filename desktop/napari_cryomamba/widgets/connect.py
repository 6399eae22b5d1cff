"""Where the server is, and how the connection stands."""

from __future__ import annotations

import time

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from napari_cryomamba.app.controller import AppController
from napari_cryomamba.models.connection import Phase

LIGHTS = {
    Phase.OFF: "#6e7681",
    Phase.CONNECTING: "#d29922",
    Phase.CONNECTED: "#2ea043",
    Phase.DEGRADED: "#d29922",
    Phase.WAITING: "#d29922",
    Phase.REFUSED: "#f85149",
}
_TICK_MS = 500


class ConnectPanel(QWidget):
    """One field for the address, a light with text, who answers, and a button to try again at once."""

    def __init__(self, desk: AppController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self.address = QComboBox(self)
        self.address.setEditable(True)
        self.address.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.address.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.address.setMinimumContentsLength(12)
        self.address.setToolTip("http://HOST:8000 for a gateway; tcp://HOST:5560 or ipc://PATH straight to the bus")
        self.address.addItems(desk.preferences.values.servers)
        self.address.setCurrentText(desk.server.default_address())
        self.button = QPushButton("Connect", self)
        self.light = QLabel(self)
        self.light.setFixedSize(12, 12)
        self.text = QLabel(self)
        self.text.setWordWrap(True)
        self.server = QLabel(self)
        self.server.setWordWrap(True)
        self.server.setStyleSheet("color: palette(mid);")
        self.token_row = QWidget(self)
        self.token = QLineEdit(self.token_row)
        self.token.setEchoMode(QLineEdit.EchoMode.Password)
        self.token.setPlaceholderText("Token of this server")
        self.token.setToolTip("What 'cryomamba tokens create' printed; ask the server's owner for one")
        self.keep_token = QCheckBox("Keep", self.token_row)
        self.keep_token.setToolTip("Keep the token on this machine, in a file that only you can read")
        row = QHBoxLayout(self.token_row)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.token, 1)
        row.addWidget(self.keep_token)
        layout = QGridLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(self.address, 0, 0, 1, 2)
        layout.addWidget(self.button, 0, 2)
        layout.addWidget(self.light, 1, 0)
        layout.addWidget(self.text, 1, 1, 1, 2)
        layout.addWidget(self.server, 2, 1, 1, 2)
        layout.addWidget(self.token_row, 3, 0, 1, 3)
        layout.setColumnStretch(1, 1)
        self._countdown = QTimer(self)
        self._countdown.setInterval(_TICK_MS)
        self._countdown.timeout.connect(self._show_text)
        line = self.address.lineEdit()
        if line is not None:
            line.returnPressed.connect(self.connect_now)
            line.textChanged.connect(self._name_button)
        self.address.activated.connect(self.connect_now)
        self.token.returnPressed.connect(self.connect_now)
        self.token.textChanged.connect(self._name_button)
        self.button.clicked.connect(self._pressed)
        self.token_row.hide()
        desk.server.changed.connect(self.refresh)
        self.refresh()

    def connect_now(self) -> None:
        """Connect to the address in the field."""
        token = self.token.text().strip()
        if not token or self.token_row.isHidden():
            self._desk.server.connect_to(self.address.currentText())
            return
        self._desk.server.connect_to(self.address.currentText(), token=token, remember=self.keep_token.isChecked())

    def _pressed(self) -> None:
        if self.button.text() == "Reconnect now":
            self._desk.server.bridge.reconnect_now()
        else:
            self.connect_now()

    def _is_present(self) -> bool:
        """Whether the field holds the server that is talked to (or tried) just now."""
        link = self._desk.server.link
        return link.phase is not Phase.OFF and self.address.currentText().strip() == link.url

    def _name_button(self) -> None:
        present = self._is_present() and not (self._desk.server.link.wants_token and self.token.text())
        self.button.setText("Reconnect now" if present else "Connect")

    def refresh(self) -> None:
        """Show the link as it stands."""
        link = self._desk.server.link
        self.light.setStyleSheet(f"background: {LIGHTS[link.phase]}; border-radius: 6px;")
        facts = [link.server, f"by {link.transport}" if link.transport else ""]
        if link.latency_s is not None:
            facts.append(f"{link.latency_s * 1000:.0f} ms")
        waiting = link.phase is Phase.WAITING
        why = f"{link.reason} {link.hint}".strip() if waiting else ""
        self.server.setText(" · ".join(fact for fact in facts if fact) if link.phase.usable else why)
        if link.wants_token:
            self.token_row.show()
        elif link.phase.usable:
            self.token_row.hide()
            self.token.clear()
        self.server.setVisible(bool(self.server.text()))
        self.setToolTip(link.hint)
        self._name_button()
        self._show_text()
        if waiting and not self._countdown.isActive():
            self._countdown.start()
        elif not waiting:
            self._countdown.stop()

    def _show_text(self) -> None:
        self.text.setText(self._desk.server.link.text(time.monotonic()))
