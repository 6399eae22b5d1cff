"""The CryoMamba menu: opening, views, help."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtGui import QAction, QKeySequence
from qtpy.QtWidgets import QFileDialog, QInputDialog, QMenu, QWidget

from cryomamba.volumes import images
from napari_cryomamba.app.tomograms import TomogramController
from napari_cryomamba.layers.tomograms import active_tomogram, go_to_middle
from napari_cryomamba.napari_types import Viewer
from napari_cryomamba.reader import COMPRESSED, SUFFIXES

_MRC = [f"*{suffix}{compressed}" for suffix in SUFFIXES for compressed in ("", *COMPRESSED)]
_PATTERNS = " ".join([*_MRC, *(f"*{suffix}" for suffix in images.SUFFIXES)])


class CryoMambaMenu(QMenu):
    """Commands that have no button in a panel.

    Signals
    -------
    orthogonal_toggled : bool
        The user shows or hides the orthogonal views.
    step_requested : int
        The user goes on by so many sections.
    y_up_toggled : bool
        The user lets the y axis point up or down.
    projection_toggled : bool
        The user shows the whole tomogram in 3D, or a section of it.
    panel_requested : int
        The user goes to the panel with that number.
    keep_component_requested, compare_requested, save_version_requested, check_requested, about_requested,
    shortcuts_requested, tutorial_requested, models_requested, report_requested
    """

    orthogonal_toggled = Signal(bool)
    step_requested = Signal(int)
    y_up_toggled = Signal(bool)
    projection_toggled = Signal(bool)
    keep_component_requested = Signal()
    compare_requested = Signal()
    save_version_requested = Signal()
    check_requested = Signal()
    about_requested = Signal()
    shortcuts_requested = Signal()
    tutorial_requested = Signal()
    models_requested = Signal()
    report_requested = Signal()
    panel_requested = Signal(int)

    def __init__(self, viewer: Viewer, tomograms: TomogramController, parent: QWidget | None = None) -> None:
        super().__init__("&CryoMamba", parent)
        self._viewer, self._tomograms = viewer, tomograms
        self._add("&Open tomogram…", self.open_dialog, "Ctrl+Alt+F")
        self._add("Open OME-&Zarr…", self.open_folder_dialog, "Ctrl+Alt+Z")
        self._add("Open from the &web…", self.open_address_dialog, "Ctrl+Alt+U")
        self._add("Open &mask…", self.open_mask_dialog, "Ctrl+Alt+M")
        self.recent = QMenu("Open &recent", self)
        self.addMenu(self.recent)
        self.recent.aboutToShow.connect(self._fill_recent)
        self._add("Open &sample tomogram", tomograms.open_sample)
        self.addSeparator()
        self.view = view = QMenu("&View", self)
        self.addMenu(view)
        # The viewer binds these keys, so that they still scroll a table that has the focus.
        self._add("&Next section\tPgUp", lambda: self.step_requested.emit(1), menu=view)
        self._add("&Previous section\tPgDown", lambda: self.step_requested.emit(-1), menu=view)
        self._add("&2D / 3D", self._toggle_dimensions, "Ctrl+Shift+D", view)
        self.orthogonal = self._add(
            "&Orthogonal views", lambda on: self.orthogonal_toggled.emit(on), "Ctrl+Shift+X", view
        )
        self.orthogonal.setCheckable(True)
        self.y_up = self._add("&y axis up", lambda on: self.y_up_toggled.emit(on), "Ctrl+Shift+Y", view)
        self.y_up.setCheckable(True)
        self.mip = self._add("&Attenuated projection (MIP)", self._toggle_mip, "Ctrl+Shift+A", view)
        self.mip.setCheckable(True)
        self._add("&Reset view", self._reset, "Ctrl+Shift+R", view)
        self._add("&Keep component under cursor", lambda: self.keep_component_requested.emit(), "Alt+K")
        self._add("&Compare with the other mask (A / B)", lambda: self.compare_requested.emit(), "Alt+B")
        self._add("Save new &version of the mask", lambda: self.save_version_requested.emit(), "Ctrl+Alt+V")
        self._add("Session re&port…", lambda: self.report_requested.emit(), "Ctrl+Alt+J")
        self._add("&Trained models…", lambda: self.models_requested.emit())
        self.addSeparator()
        help_menu = self.addMenu("&Help")
        self._add("&Tutorial", lambda: self.tutorial_requested.emit(), menu=help_menu)
        self._add("&Keyboard shortcuts…", lambda: self.shortcuts_requested.emit(), "Ctrl+Alt+H", help_menu)
        self._add("&Check installation…", lambda: self.check_requested.emit(), menu=help_menu)
        self._add("&About CryoMamba", lambda: self.about_requested.emit(), menu=help_menu)

    def _add(self, text: str, slot: Callable[..., object], shortcut: str = "", menu: QMenu | None = None) -> QAction:
        action = QAction(text, self)
        if shortcut:
            action.setShortcut(QKeySequence(shortcut))
        action.triggered.connect(slot)
        (menu or self).addAction(action)
        return action

    def add_panels(self, titles: Sequence[str]) -> None:
        """Add a command for each panel, with Alt and its number."""
        panels = QMenu("&Go to panel", self)
        self.insertMenu(self.view.menuAction(), panels)
        for number, title in enumerate(titles):
            self._add(title, partial(self.panel_requested.emit, number), f"Alt+{number + 1}", panels)

    def open_dialog(self) -> None:
        """Ask for tomograms and open them."""
        names, _ = QFileDialog.getOpenFileNames(
            self.parentWidget(), "Open tomograms", "", f"Tomograms ({_PATTERNS});;All files (*)"
        )
        self._tomograms.open_files(Path(name) for name in names)

    def open_folder_dialog(self) -> None:
        """Ask for the folder of an OME-Zarr image, tomogram or labels, and open it."""
        name = QFileDialog.getExistingDirectory(self.parentWidget(), "Open an OME-Zarr folder")
        if name:
            self._tomograms.open_files([Path(name)])

    def open_address_dialog(self) -> None:
        """Ask for the address of an OME-Zarr image, and open it; only what is looked at is transferred."""
        title, question = "Open from the web", "Address of an OME-Zarr image, for example https://…/tomogram.ome.zarr"
        address, chosen = QInputDialog.getText(self.parentWidget(), title, question)
        if chosen and address.strip():
            self._tomograms.open_files([address.strip()])

    def open_mask_dialog(self) -> None:
        """Ask for masks and open them as labels."""
        names, _ = QFileDialog.getOpenFileNames(
            self.parentWidget(), "Open masks", "", f"Masks ({_PATTERNS});;All files (*)"
        )
        self._tomograms.open_files([Path(name) for name in names], as_mask=True)

    def _fill_recent(self) -> None:
        names = self._tomograms.recent_files
        self.recent.clear()
        for name in names:
            action = QAction(name, self.recent)
            opened = name if images.is_url(name) else Path(name)
            action.triggered.connect(lambda _checked=False, path=opened: self._tomograms.open_files([path]))
            self.recent.addAction(action)
        self.recent.setEnabled(bool(names))

    def _toggle_dimensions(self) -> None:
        self._viewer.dims.ndisplay = 5 - self._viewer.dims.ndisplay

    def _toggle_mip(self) -> None:
        layer = active_tomogram(self._viewer)
        if layer is None:
            return
        on = layer.rendering != "attenuated_mip"
        layer.rendering = "attenuated_mip" if on else "mip"
        self.mip.setChecked(on)
        self.projection_toggled.emit(on)
        if on:
            self._viewer.dims.ndisplay = 3

    def _reset(self) -> None:
        layer = active_tomogram(self._viewer)
        if layer is not None:
            layer.rendering = "mip"
        self.mip.setChecked(False)
        self.projection_toggled.emit(self.mip.isChecked())
        self._viewer.dims.ndisplay = 2
        if layer is None:
            self._viewer.reset_view()
        else:
            go_to_middle(self._viewer, layer)


def add_menu(menu: CryoMambaMenu, viewer: Viewer) -> None:
    """Add the menu to the menu bar of the window, before Help."""
    window = viewer.window
    window.main_menu.insertMenu(window.help_menu.menuAction(), menu)


def remove_menu(menu: CryoMambaMenu, viewer: Viewer) -> None:
    """Remove the menu; the menu bar of a window that is closing may be gone already."""
    with contextlib.suppress(AttributeError, RuntimeError):
        viewer.window.main_menu.removeAction(menu.menuAction())
