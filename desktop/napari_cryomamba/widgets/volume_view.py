"""What is shown of the tomogram in 3D, as a menu."""

from __future__ import annotations

from qtpy.QtGui import QAction, QActionGroup, QKeySequence
from qtpy.QtWidgets import QMenu, QWidget

from napari_cryomamba.app.volume_view import TomogramIn3D, VolumeView

_TEXTS = {
    TomogramIn3D.XY: "Section &xy",
    TomogramIn3D.XZ: "Section x&z",
    TomogramIn3D.YZ: "Section &yz",
    TomogramIn3D.PROJECTION: "&Projection",
    TomogramIn3D.HIDDEN: "&Hidden",
}


class VolumeMenu(QMenu):
    """One of the choices is checked; a key goes on to the next."""

    def __init__(self, view: VolumeView, parent: QWidget) -> None:
        super().__init__("&Tomogram in 3D", parent)
        self._view = view
        group = QActionGroup(self)
        self.choices: dict[TomogramIn3D, QAction] = {}
        for shown, text in _TEXTS.items():
            action = QAction(text, self)
            action.setCheckable(True)
            action.triggered.connect(lambda _checked=False, shown=shown: view.show_tomogram(shown))
            group.addAction(action)
            self.addAction(action)
            self.choices[shown] = action
        self.addSeparator()
        following = QAction("&Next choice", self)
        following.setShortcut(QKeySequence("Ctrl+Shift+M"))
        following.triggered.connect(lambda: view.next_choice())
        self.addAction(following)
        view.changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Check what is shown."""
        self.choices[self._view.shown].setChecked(True)
