"""The connection to the server: its address, its state, and the server's engines."""

from __future__ import annotations

from qtpy.QtCore import QObject, Signal

from cryomamba.client.address import default_server
from cryomamba.engines.info import EngineInfo
from cryomamba.errors import CryoMambaError
from cryomamba.settings import load_settings
from napari_cryomamba.app.notifications import Notifications
from napari_cryomamba.app.settings import Preferences
from napari_cryomamba.models.connection import ConnectionState, Phase
from napari_cryomamba.models.frames import FrameStore
from napari_cryomamba.net.bridge import Bridge


class ServerConnection(QObject):
    """The connection to one server at a time. For the GUI thread; :meth:`close` it.

    Attributes
    ----------
    engines : tuple of EngineInfo
        Of the server, the last known ones while it is not connected.

    Signals
    -------
    state_changed
    engines_changed
    server_changed
        Another server is about to be connected.
    """

    state_changed = Signal()
    engines_changed = Signal()
    server_changed = Signal()

    def __init__(
        self, preferences: Preferences, notifications: Notifications, frames: FrameStore, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._preferences, self._notifications = preferences, notifications
        self.bridge = Bridge(frames, self)
        self.state = ConnectionState()
        self.engines: tuple[EngineInfo, ...] = ()
        self._token: str | None = None

    @property
    def usable(self) -> bool:
        """Whether the server answers requests."""
        return self.state.phase.usable

    @property
    def accepts_uploads(self) -> bool:
        """Whether a tomogram can be uploaded: only over HTTP."""
        return self.state.url.startswith(("http://", "https://"))

    @property
    def known_addresses(self) -> list[str]:
        """Servers that were connected before, newest first."""
        return self._preferences.values.servers

    def can_run(self, engine: str) -> bool:
        """Whether the server is connected and can run an engine."""
        return self.usable and any(info.name == engine and info.available for info in self.engines)

    def default_address(self) -> str:
        """Return the address to offer first: the last server, or this machine's."""
        if self._preferences.values.server:
            return self._preferences.values.server
        try:
            return default_server()[0]
        except CryoMambaError as error:
            self._notifications.notify_error(error, "Looking for a server")
            return "http://127.0.0.1:8000"

    def connect_to(self, url: str, *, token: str | None = None, remember: bool = False) -> None:
        """Connect to this server instead.

        Parameters
        ----------
        token : str, optional
            For a server that requires one; the saved one, or that of the environment, if not given.
        remember : bool
            Whether to save the token on this machine.
        """
        url = url.strip()
        if url != self.state.url:
            self.server_changed.emit()
        settings = self._preferences.values
        settings.remember_server(url)
        if token is not None:
            settings.remember_token(url, token if remember else None)
        self._preferences.save()
        self._token = token or settings.tokens.get(url)
        # At once, so that no request goes to the server that is being disconnected.
        self.on_state(ConnectionState(Phase.CONNECTING, url))
        self.bridge.open(url, self._token, settings.my_jobs)

    def headers_for(self, address: str) -> dict[str, str]:
        """Return what to send with a request for this address: the token, if it is below that of the server."""
        of_settings = load_settings().token
        token = self._token or (of_settings.get_secret_value() if of_settings is not None else None)
        url = self.state.url.rstrip("/")
        below = self.accepts_uploads and address.startswith(f"{url}/")
        return {"Authorization": f"Bearer {token}"} if token and below else {}

    def on_state(self, state: ConnectionState) -> None:
        """Store the new state of the connection."""
        self.state = state
        if state.info is not None and state.info.engines and state.info.engines != self.engines:
            self.engines = state.info.engines
            self.engines_changed.emit()
        self.state_changed.emit()

    def close(self) -> None:
        """Disconnect, and end the network thread."""
        self.bridge.close()
