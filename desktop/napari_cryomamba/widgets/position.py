"""Which section is shown, and which voxel is under the cursor."""

from __future__ import annotations

from qtpy.QtWidgets import QLabel, QSizePolicy, QWidget
from superqt.utils import qthrottled

from napari_cryomamba.app.sections import Sections
from napari_cryomamba.widgets.layout import PlainLabel, vbox

INTERVAL_MS = 60


class PositionBar(QWidget):
    """Two lines that follow the section and the cursor, a few times a second at most."""

    def __init__(self, sections: Sections) -> None:
        super().__init__()
        self._sections = sections
        self.section, self.voxel = _line(), _line()
        self.section.setToolTip(
            "Arrow keys, or Page Up and Page Down, change the section. In nm: the position of the cursor (z, y, x)"
        )
        self.voxel.setToolTip("z, y and x of the voxel under the cursor, counted from 1, and the density in the file")
        vbox(self, self.section, self.voxel, margin=2)
        self._show_later = qthrottled(self.show_position, timeout=INTERVAL_MS, parent=self)
        sections.changed.connect(self._on_change)
        self.show_position()

    def _on_change(self) -> None:
        self._show_later()

    def show_position(self) -> None:
        """Show the position now."""
        position = self._sections.position()
        self.setVisible(position is not None)
        if position is not None:
            self.section.setText(position.section_text())
            self.voxel.setText(position.cursor_text())

    def stop(self) -> None:
        """Follow no longer."""
        self._sections.changed.disconnect(self._on_change)
        self._show_later.cancel()


def _line() -> QLabel:
    label = PlainLabel()
    # A text that grows must not make the panel wider.
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return label
