"""The address of the server, and the state of the connection."""

from __future__ import annotations

import time

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QComboBox, QGridLayout, QLineEdit, QSizePolicy, QWidget

from napari_cryomamba.app.server import ServerConnection
from napari_cryomamba.models.connection import TRANSPORTS, Phase
from napari_cryomamba.widgets.layout import StateLabel, button, hbox, text_label
from napari_cryomamba.widgets.theme import State

_TICK_MS = 500
_LIGHTS: dict[Phase, State] = {Phase.OFF: "inactive", Phase.CONNECTED: "ok", Phase.REFUSED: "error"}


class ConnectPanel(QWidget):
    """A field for the address, a light with text, a line about the server, and a button to connect."""

    def __init__(self, server: ServerConnection) -> None:
        super().__init__()
        self._server = server
        self.address = QComboBox(self)
        self.address.setEditable(True)
        self.address.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.address.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.address.setMinimumContentsLength(12)
        self.address.setToolTip("http://HOST:8000 via HTTP; tcp://HOST:5560 or ipc://PATH for a direct connection")
        self.address.addItems(server.known_addresses)
        self.address.setCurrentText(server.default_address())
        self.button = button("Connect", self, self._on_clicked)
        self.light = StateLabel("inactive", style="background: {color}; border-radius: 6px;")
        self.light.setFixedSize(12, 12)
        self.text = text_label()
        self.details = text_label(state="inactive")
        self.token_row = QWidget(self)
        self.token = QLineEdit(self.token_row)
        self.token.setEchoMode(QLineEdit.EchoMode.Password)
        self.token.setPlaceholderText("Token of this server")
        self.token.setToolTip("Ask the administrator of the server for a token")
        self.save_token = QCheckBox("Save", self.token_row)
        self.save_token.setToolTip("Save the token on this computer, in a file that only you can read")
        self._build()
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
        self.token_row.hide()
        server.state_changed.connect(self.refresh)
        self.refresh()

    def _build(self) -> None:
        self.token_row.setLayout(hbox(self.token, self.save_token, stretch=self.token))
        layout = QGridLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(self.address, 0, 0, 1, 2)
        layout.addWidget(self.button, 0, 2)
        layout.addWidget(self.light, 1, 0)
        layout.addWidget(self.text, 1, 1, 1, 2)
        layout.addWidget(self.details, 2, 1, 1, 2)
        layout.addWidget(self.token_row, 3, 0, 1, 3)
        layout.setColumnStretch(1, 1)

    def connect_now(self) -> None:
        """Connect to the address in the field."""
        token = self.token.text().strip()
        if not token or self.token_row.isHidden():
            self._server.connect_to(self.address.currentText())
            return
        self._server.connect_to(self.address.currentText(), token=token, remember=self.save_token.isChecked())

    def _on_clicked(self) -> None:
        if self._can_reconnect():
            self._server.bridge.reconnect_now()
        else:
            self.connect_now()

    def _can_reconnect(self) -> bool:
        """Whether the field holds the address that is connected, or being connected, and no new token."""
        state = self._server.state
        current = state.phase is not Phase.OFF and self.address.currentText().strip() == state.url
        return current and not (state.needs_token and self.token.text())

    def _name_button(self) -> None:
        self.button.setText("Reconnect now" if self._can_reconnect() else "Connect")

    def refresh(self) -> None:
        """Show the state of the connection."""
        state = self._server.state
        self.light.set_state(_LIGHTS.get(state.phase, "warning"))
        facts = [state.server, TRANSPORTS.get(state.transport, "")]
        if state.latency_s is not None:
            facts.append(f"{state.latency_s * 1000:.0f} ms")
        waiting = state.phase is Phase.WAITING
        why = f"{state.reason} {state.hint}".strip() if waiting else ""
        self.details.setText(" · ".join(fact for fact in facts if fact) if state.phase.usable else why)
        self.details.setVisible(bool(self.details.text()))
        if state.needs_token:
            self.token_row.show()
        elif state.phase.usable:
            self.token_row.hide()
            self.token.clear()
        self.setToolTip(state.hint)
        self._name_button()
        self._show_text()
        if waiting and not self._countdown.isActive():
            self._countdown.start()
        elif not waiting:
            self._countdown.stop()

    def _show_text(self) -> None:
        self.text.setText(self._server.state.text(time.monotonic()))
