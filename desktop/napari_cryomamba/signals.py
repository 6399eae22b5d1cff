"""Qt names that qtpy re-exports in a way that type checkers do not see, under one roof."""

from qtpy.QtCore import Signal
from qtpy.QtGui import QAction

__all__ = ["QAction", "Signal"]
