"""Notifications for the user: every part of the desktop posts them here, and the messages panel shows them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from os import PathLike
from pathlib import Path

from qtpy.QtCore import QObject, Signal

from cryomamba.errors import CryoMambaError, UnavailableError
from cryomamba.printable import printable
from napari_cryomamba.models.notifications import Level, Notification, NotificationHistory

logger = logging.getLogger(__name__)


class Notifications(QObject):
    """The history of notifications, for the GUI thread.

    Signals
    -------
    changed
        One is added, or all are cleared.
    action_failed : Notification
        What the user did has failed.
    """

    changed = Signal()
    action_failed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.history = NotificationHistory()

    def notify(self, notification: Notification) -> None:
        """Add a notification."""
        log = logger.warning if notification.level is Level.ERROR else logger.info
        log("%s: %s", notification.context or "CryoMamba", notification.text)
        self.history.add(notification)
        self.changed.emit()
        if notification.level is Level.ERROR and notification.answers:
            self.action_failed.emit(notification)

    def notify_error(self, error: CryoMambaError, context: str) -> None:
        """Add an error; `context` is what was being done."""
        self.notify(Notification.of_error(error, context=context))

    def report_errors(self, context: str, action: Callable[[], None]) -> bool:
        """Run an action, turn an error into a notification, and return whether there was none."""
        try:
            action()
        except CryoMambaError as error:
            self.notify_error(error, context)
            return False
        except OSError as error:
            self.notify_error(disk_error(error), context)
            return False
        return True

    def newest_text(self) -> str:
        """Return the newest notification with its hint, for a panel's own line; empty if there is none."""
        entries = self.history.entries
        return f"{entries[-1].text} {entries[-1].hint}".strip() if entries else ""

    def clear(self) -> None:
        """Remove all notifications."""
        self.history.clear()
        self.changed.emit()


def disk_error(error: OSError) -> CryoMambaError:
    """Return an error of the file system as one for people."""
    name = f" '{printable(Path(error.filename).name)}'" if isinstance(error.filename, str | PathLike) else ""
    why = f"The file{name} could not be read or written: {error.strerror or error}."
    return UnavailableError(why, hint="Check the folder, its permissions and the free disk space.")
