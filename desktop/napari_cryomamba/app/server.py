"""The server that is talked to: its address, how the connection stands, which engines it has."""

from __future__ import annotations

from qtpy.QtCore import QObject

from cryomamba.client.address import default_server
from cryomamba.engines.info import EngineInfo
from cryomamba.errors import CryoMambaError
from napari_cryomamba.app.notifications import Notifications
from napari_cryomamba.app.settings import Preferences
from napari_cryomamba.models.connection import ConnectionState, Phase
from napari_cryomamba.net.bridge import Bridge
from napari_cryomamba.signals import Signal


class Server(QObject):
    """One server at a time. For the GUI thread; :meth:`close` it.

    Attributes
    ----------
    bridge : Bridge
        The network's side.
    link : Link
        How the connection stands.
    engines : tuple of EngineInfo
        Of the server, the last known ones while it is away.

    Signals
    -------
    changed
        The link is other than it was.
    engines_changed
        The engines are.
    left
        Another server is talked to from now on.
    """

    changed = Signal()
    engines_changed = Signal()
    left = Signal()

    def __init__(self, preferences: Preferences, notices: Notifications, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._preferences = preferences
        self._notices = notices
        self.bridge = Bridge(self)
        self.link = ConnectionState()
        self.engines: tuple[EngineInfo, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether requests can be answered."""
        return self.link.phase.usable

    @property
    def takes_files(self) -> bool:
        """Whether a tomogram can be sent: a gateway takes files, a bus does not."""
        return self.link.url.startswith(("http://", "https://"))

    def offers(self, engine: str) -> bool:
        """Whether the server is there and can run an engine."""
        return self.usable and any(info.name == engine and info.available for info in self.engines)

    def default_address(self) -> str:
        """Return where to connect when nobody says: the last server, or this machine's."""
        if self._preferences.values.server:
            return self._preferences.values.server
        try:
            return default_server()[0]
        except CryoMambaError as error:
            self._notices.tell_error(error, "Looking for a server")
            return "http://127.0.0.1:8000"

    def connect_to(self, url: str, *, token: str | None = None, remember: bool = False) -> None:
        """Talk to this server from now on.

        Parameters
        ----------
        url : str
        token : str, optional
            For a gateway that wants one; the remembered one, or that of the environment, if not given.
        remember : bool
            Whether to keep the token on this machine.
        """
        url = url.strip()
        if url != self.link.url:
            self.left.emit()
        settings = self._preferences.values
        settings.remember_server(url)
        if token is not None:
            settings.remember_token(url, token if remember else None)
        self._preferences.save()
        # At once, so that nothing is asked of the server that is being let go.
        self.take(ConnectionState(Phase.CONNECTING, url))
        self.bridge.open(url, token or settings.tokens.get(url), settings.my_jobs)

    def take(self, link: ConnectionState) -> None:
        """Take news of the connection."""
        self.link = link
        if link.info is not None and link.info.engines and link.info.engines != self.engines:
            self.engines = link.info.engines
            self.engines_changed.emit()
        self.changed.emit()

    def close(self) -> None:
        """Give the connection and its thread back."""
        self.bridge.close()
