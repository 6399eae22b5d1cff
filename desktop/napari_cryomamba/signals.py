"""Qt names that type checkers do not find in qtpy."""

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QAction  # type: ignore[attr-defined]

__all__ = ["QAction", "Signal"]
