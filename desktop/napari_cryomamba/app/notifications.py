"""What the person is told: every part of the desktop tells here, the panel of messages shows it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from qtpy.QtCore import QObject

from cryomamba.errors import CryoMambaError, InvalidRequestError
from napari_cryomamba.models.history import History, Level, Notice
from napari_cryomamba.signals import Signal

logger = logging.getLogger(__name__)


class Notifications(QObject):
    """The history of messages, for the GUI thread.

    Signals
    -------
    changed
        There is a new message, or they were cleared or read.
    """

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.history = History()

    def tell(self, notice: Notice) -> None:
        """Put a message into the history."""
        log = logger.warning if notice.level is Level.ERROR else logger.info
        log("%s: %s", notice.context or "CryoMamba", notice.text)
        self.history.add(notice)
        self.changed.emit()

    def tell_error(self, error: CryoMambaError, context: str) -> None:
        """Tell an error of something that was being done."""
        self.tell(Notice.of_error(error, context=context))

    def attempt(self, context: str, action: Callable[[], None]) -> bool:
        """Do something that may fail with an error for people; say whether it worked."""
        try:
            action()
        except CryoMambaError as error:
            self.tell_error(error, context)
            return False
        except OSError as error:
            wrong = InvalidRequestError(
                f"The file system refused: {error.strerror}.", hint="Look at folder and permissions."
            )
            self.tell_error(wrong, context)
            return False
        return True

    def clear(self) -> None:
        """Forget all messages."""
        self.history.clear()
        self.changed.emit()
