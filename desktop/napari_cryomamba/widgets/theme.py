"""Colours of states, legible on napari's dark and light theme; no other module chooses one."""

from __future__ import annotations

from dataclasses import dataclass

from napari.settings import get_settings
from napari.utils.theme import Theme, get_theme


@dataclass(frozen=True, slots=True)
class StateColors:
    """Text and light colours, ``#rrggbb``."""

    ok: str
    warning: str
    error: str
    inactive: str


DARK = StateColors(ok="#3fb950", warning="#d29922", error="#f85149", inactive="#8b949e")
LIGHT = StateColors(ok="#1a7f37", warning="#9a6700", error="#cf222e", inactive="#6e7781")


def state_colors() -> StateColors:
    """Return the colours for napari's current theme."""
    return LIGHT if _theme().type == "light" else DARK


def bar_colors() -> tuple[str, str, str]:
    """Return a progress bar's colour, its background and its text, from napari's current theme."""
    theme = _theme()
    return theme.current.as_hex(), theme.background.as_hex(), theme.text.as_hex()


def _theme() -> Theme:
    return get_theme(get_settings().appearance.theme)
