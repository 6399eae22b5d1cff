"""Qt names that type checkers do not find in qtpy."""

from qtpy.QtCore import Signal
from qtpy.QtGui import QAction

__all__ = ["QAction", "Signal"]
