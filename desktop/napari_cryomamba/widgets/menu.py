"""The CryoMamba menu: opening, views, help."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices, QKeySequence
from qtpy.QtWidgets import QFileDialog, QMenu, QMessageBox, QWidget

from cryomamba._version import __version__
from napari_cryomamba.app.controller import AppController
from napari_cryomamba.layers.tomograms import active_tomogram, go_to_middle
from napari_cryomamba.reader import PACKED, SUFFIXES
from napari_cryomamba.signals import QAction

DOCUMENTATION = "https://cryomamba.readthedocs.io"
_PATTERNS = " ".join(f"*{suffix}{packed}" for suffix in SUFFIXES for packed in ("", *PACKED))


class CryoMambaMenu(QMenu):
    """What the panels have no button for."""

    def __init__(self, desk: AppController, panel: Any, parent: QWidget | None = None) -> None:  # noqa: ANN401 (the main panel)
        super().__init__("&CryoMamba", parent)
        self.setToolTipsVisible(True)
        self._desk = desk
        self._panel = panel
        self._action("&Open tomogram…", self.open_dialog, "Ctrl+Shift+T")
        self.recent = QMenu("Open &recent", self)
        self.addMenu(self.recent)
        self.recent.aboutToShow.connect(self._fill_recent)
        self._action("Open &sample tomogram", panel.open_sample)
        self.addSeparator()
        view = self.addMenu("&View")
        self._action("&2D / 3D", self._toggle_dimensions, "Ctrl+Shift+D", view)
        self.orthogonal = self._action("&Orthogonal slices", panel.show_orthogonal, "Ctrl+Shift+O", view)
        self.orthogonal.setCheckable(True)
        self.mip = self._action("&Attenuated projection (MIP)", self._toggle_mip, "Ctrl+Shift+A", view)
        self.mip.setCheckable(True)
        self._action("&Reset view", self._reset, "Ctrl+Shift+R", view)
        self._action("&Keep the piece under the cursor", panel.mask_panel.edit.keep_this_piece, "Alt+K")
        self._action("&Save mask revision", panel.mask_panel.keep.save_revision, "Ctrl+Alt+S")
        self.addSeparator()
        help_menu = self.addMenu("&Help")
        self._action("&Documentation", lambda: QDesktopServices.openUrl(QUrl(DOCUMENTATION)), menu=help_menu)
        self._action("D&octor", self._doctor, menu=help_menu)
        self._action("A&bout CryoMamba", self._about, menu=help_menu)

    def _action(self, text: str, slot: Any, shortcut: str = "", menu: QMenu | None = None) -> QAction:  # noqa: ANN401
        action = QAction(text, self)
        if shortcut:
            action.setShortcut(QKeySequence(shortcut))
        action.triggered.connect(slot)
        (menu or self).addAction(action)
        return action

    def open_dialog(self) -> None:
        """Ask for tomograms and open them."""
        names, _ = QFileDialog.getOpenFileNames(
            self._panel, "Open tomograms", "", f"Tomograms ({_PATTERNS});;All files (*)"
        )
        self._panel.open_files([Path(name) for name in names])

    def _fill_recent(self) -> None:
        self.recent.clear()
        for name in self._desk.preferences.values.recent_files:
            action = QAction(name, self.recent)
            action.triggered.connect(lambda _checked=False, path=Path(name): self._panel.open_files([path]))
            self.recent.addAction(action)
        self.recent.setEnabled(bool(self._desk.preferences.values.recent_files))

    def _toggle_dimensions(self) -> None:
        dims = self._desk.viewer.dims
        dims.ndisplay = 5 - dims.ndisplay

    def _toggle_mip(self) -> None:
        layer = active_tomogram(self._desk.viewer)
        if layer is None:
            return
        on = layer.rendering != "attenuated_mip"
        layer.rendering = "attenuated_mip" if on else "mip"
        self.mip.setChecked(on)
        if on:
            self._desk.viewer.dims.ndisplay = 3

    def _reset(self) -> None:
        layer = active_tomogram(self._desk.viewer)
        if layer is not None:
            layer.rendering = "mip"
        self.mip.setChecked(False)
        self._desk.viewer.dims.ndisplay = 2
        if layer is None:
            self._desk.viewer.reset_view()
        else:
            go_to_middle(self._desk.viewer, layer)

    def _doctor(self) -> None:
        self._panel.run_doctor()

    def _about(self) -> None:
        text = (
            f"<b>CryoMamba {__version__}</b><p>Segment cryo-electron tomograms anywhere, and watch the mask grow."
            f"<p>{self._desk.server.link.server or 'No server'}<p>BSD 3-Clause licence"
        )
        box = QMessageBox(QMessageBox.Icon.NoIcon, "About CryoMamba", text, QMessageBox.StandardButton.Ok, self._panel)
        box.open()


def add_menu(menu: CryoMambaMenu, viewer: Any) -> None:  # noqa: ANN401
    """Put the menu into the window's bar, before Help."""
    window = viewer.window
    window.main_menu.insertMenu(window.help_menu.menuAction(), menu)


def remove_menu(menu: CryoMambaMenu, viewer: Any) -> None:  # noqa: ANN401
    """Take the menu out again; a window that is closing has none any more."""
    with contextlib.suppress(AttributeError, RuntimeError):
        viewer.window.main_menu.removeAction(menu.menuAction())
