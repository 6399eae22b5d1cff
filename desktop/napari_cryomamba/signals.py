"""Qt names that qtpy re-exports in a way that type checkers do not see, under one roof."""

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QAction  # type: ignore[attr-defined]

__all__ = ["QAction", "Signal"]
