"""Qt's signal under one name; qtpy re-exports it in a way that type checkers do not see."""

from qtpy.QtCore import Signal  # type: ignore[attr-defined]

__all__ = ["Signal"]
