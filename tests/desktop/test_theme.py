"""napari's theme is changed while the panel is open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.settings import get_settings
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QPalette
from qtpy.QtWidgets import QWidget
from tests.desktop.window_contents import menu_actions, process_events

from cryomamba.models.jobs import JobState
from napari_cryomamba.models.notifications import Level, Notification
from napari_cryomamba.net.messages import JobChanged
from napari_cryomamba.widgets import CryoMambaWidget
from napari_cryomamba.widgets.theme import DARK, LIGHT, StateColors, state_colors

if TYPE_CHECKING:
    from tests.desktop.conftest import RecordMaker, WaitFor

pytestmark = pytest.mark.desktop

COLORS = {"dark": DARK, "light": LIGHT}
# Text on its background, by the guidelines for accessible pages (WCAG 2, success criterion 1.4.3).
MIN_CONTRAST = 4.5


@pytest.fixture(params=["viewer", "settings"])
def set_theme(request: pytest.FixtureRequest, window: tuple[Any, CryoMambaWidget]) -> Iterator[Any]:
    """Set the theme of the window, either way that napari has."""
    viewer, panel = window
    appearance = get_settings().appearance

    def use(name: str) -> None:
        if request.param == "viewer":
            viewer.theme = name
        else:
            appearance.theme = name
        process_events()

    yield use
    if panel.views.orthogonal is not None:
        menu_actions(panel.menu)["Orthogonal views"].trigger()
    panel.failure.withdraw()
    appearance.theme = viewer.theme = "dark"
    process_events()


def text_color(widget: QWidget) -> str:
    """The colour that a widget's text is drawn in."""
    return widget.palette().color(QPalette.ColorRole.WindowText).name()


def luminance(color: QColor) -> float:
    parts = np.array([color.redF(), color.greenF(), color.blueF()])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(text: QColor, background: QColor) -> float:
    dark, light = sorted((luminance(text), luminance(background)))
    return (light + 0.05) / (dark + 0.05)


def shown_colors(panel: CryoMambaWidget) -> dict[str, str]:
    """Each coloured text of the panel, by its state."""
    model = panel.jobs.model
    state = model.index(0, 2)
    messages = (panel.messages.list.item(row) for row in range(panel.messages.list.count()))
    item = next(found for found in messages if "It is down" in found.text())
    return {
        "error of a failed action": text_color(panel.failure.text),
        "error of a job": text_color(panel.jobs.error),
        "state of a failed job": model.data(state, Qt.ItemDataRole.ForegroundRole).name(),
        "message": item.foreground().color().name(),
    }


def test_colours_follow_the_theme(
    window: tuple[Any, CryoMambaWidget], set_theme: Any, make_record: RecordMaker, wait_for: WaitFor
) -> None:
    """Whichever way the theme is changed, each coloured text has the colour for that theme, is legible on the window's
    background, and changes back; the orthogonal views have the theme's background too."""
    viewer, panel = window
    panel.failure.offer("The mask could not be saved.", "Messages", str)
    panel.controller.jobs.table.adopt("job-1")
    panel.controller.on_message(JobChanged(make_record(state=JobState.FAILED)))
    panel.controller.notifications.notify(Notification(Level.ERROR, "It is down."))
    menu_actions(panel.menu)["Orthogonal views"].trigger()
    wait_for(lambda: panel.views.orthogonal.laid_out)
    for theme in ("light", "dark", "light"):
        set_theme(theme)
        colors: StateColors = COLORS[theme]
        assert state_colors(panel) == colors
        assert set(shown_colors(panel).values()) == {colors.error}
        assert text_color(panel.connection.details) == colors.inactive
        assert text_color(panel.jobs.warnings) == text_color(panel.tomogram.warnings) == colors.warning
        palette = panel.window().palette()
        background = palette.color(QPalette.ColorRole.Window)
        for color in (colors.error, colors.warning, colors.ok, colors.inactive):
            assert contrast(QColor(color), background) >= MIN_CONTRAST, (theme, color)
        assert contrast(palette.color(QPalette.ColorRole.WindowText), QColor(colors.bar)) >= MIN_CONTRAST
        assert {plane.model.theme for plane in panel.views.orthogonal.planes} == {viewer.theme} == {theme}
