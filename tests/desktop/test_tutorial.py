"""The guided first run: each step goes on by itself when the person has done it, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QPushButton

from napari_cryomamba.app.settings import SettingsFile
from napari_cryomamba.models.tutorial import Progress, Step
from napari_cryomamba.widgets import CryoMambaWidget
from napari_cryomamba.window import open_window

if TYPE_CHECKING:
    from tests.desktop.conftest import WaitFor

pytestmark = pytest.mark.desktop


@pytest.fixture
def first_start(new_window: tuple[Any, CryoMambaWidget]) -> CryoMambaWidget:
    """The panel of somebody who has never started the program, and has no server."""
    return new_window[1]


def click(button: QPushButton) -> None:
    """Press a button with the mouse."""
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


@pytest.mark.slow
def test_the_first_run_is_guided(first_start: CryoMambaWidget, wait_for: WaitFor, home: Path) -> None:
    """It is offered at the first start; opening, choosing, running, looking, measuring and saving each go on."""
    panel = first_start
    assert panel.welcome.isVisible()
    click(panel.welcome.accept_button)
    tutorial = panel.tutorial

    def wait_for_step(step: Step | None) -> None:
        wait_for(lambda: tutorial.progress.step is step)

    assert tutorial.isVisible()
    assert "step 1 of 7" in tutorial.text.text()
    click(next(one for one in panel.tomogram.findChildren(QPushButton) if "sample" in one.text()))
    wait_for_step(Step.ENGINE)
    panel.show_panel(panel.segment)
    wait_for(lambda: panel.segment.engine.findText("membrane") >= 0)
    panel.segment.engine.setCurrentText("membrane")
    wait_for_step(Step.RUN)
    click(panel.segment.local_button)
    wait_for(lambda: tutorial.progress.done > list(Step).index(Step.RUN))
    wait_for_step(Step.LOOK)
    panel.viewer.dims.ndisplay = 3
    wait_for_step(Step.MEASURE)
    panel.show_panel(panel.statistics)
    click(panel.statistics.measure_button)
    wait_for_step(Step.SAVE)
    panel.export.save_button.click()
    wait_for_step(None)
    assert list((home / "samples").glob("*__membrane_v1.mrc"))
    assert tutorial.skip_button.isHidden()
    click(tutorial.close_button)
    assert tutorial.isHidden()


def test_it_is_offered_once_and_can_be_closed_at_any_time(
    first_start: CryoMambaWidget, settings_file: SettingsFile, wait_for: WaitFor
) -> None:
    """The next start offers nothing; the menu starts it, a step can be skipped, and it ends when it is closed."""
    panel = first_start
    assert settings_file.load().tutorial_offered
    click(panel.welcome.dismiss_button)
    assert panel.welcome.isHidden()
    panel.menu.tutorial_requested.emit()
    click(panel.tutorial.skip_button)
    assert panel.tutorial.progress.step is Step.ENGINE
    click(panel.tutorial.close_button)
    assert panel.tutorial.isHidden()
    panel.show_panel(panel.segment)
    wait_for(lambda: panel.segment.engine.findText("membrane") >= 0)
    assert panel.tutorial.progress.step is Step.ENGINE
    viewer, again = open_window(server="tcp://127.0.0.1:1", settings=settings_file)
    assert again.welcome.isHidden()
    again.shut_down()
    viewer.close()


def test_each_step_has_a_text() -> None:
    """Seven different ones, and one for the end."""
    progress, texts = Progress(), []
    for _ in range(len(Step) + 1):
        texts.append(progress.text)
        progress.advance()
    assert len(set(texts)) == len(Step) + 1
    assert progress.step is None
