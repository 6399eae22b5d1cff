"""How the tomogram is displayed: averaged and filtered sections, contrast, inverted."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker
from qtpy.QtGui import QAction, QKeySequence
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QFormLayout, QGroupBox, QMenu, QSpinBox, QWidget

from napari_cryomamba.app.display import DisplayController
from napari_cryomamba.models.display import CONTRAST_PERCENT, DisplayFilter
from napari_cryomamba.widgets.layout import button, hbox

SECTIONS_MAX = 201
RESOLUTION_MAX_A = 20_000.0


class DisplayMenu(QMenu):
    """The same as the panel, with keys."""

    def __init__(self, display: DisplayController, parent: QWidget) -> None:
        super().__init__("D&isplay", parent)
        for text, slot, key in (
            ("Average &more sections", lambda: display.change_sections(2), "Ctrl+Shift+Up"),
            ("Average &fewer sections", lambda: display.change_sections(-2), "Ctrl+Shift+Down"),
            ("&Low-pass", display.toggle_low_pass, "Ctrl+Shift+L"),
            ("&High-pass", display.toggle_high_pass, "Ctrl+Shift+H"),
            ("Contrast of the &section", display.use_contrast_of_section, "Ctrl+Shift+K"),
            ("Contrast of the &volume", display.use_contrast_of_volume, "Ctrl+Shift+V"),
            ("&Invert", display.invert, "Ctrl+Shift+I"),
            ("&Reset display", display.reset, "Ctrl+Shift+Backspace"),
        ):
            action = QAction(text, self)
            action.setShortcut(QKeySequence(key))
            # The signal's own argument is not for the slot.
            action.triggered.connect(lambda _checked=False, slot=slot: slot())
            self.addAction(action)


class DisplayPanel(QGroupBox):
    """Controls for the tomogram that is shown; the file does not change, nor does what an engine gets."""

    def __init__(self, display: DisplayController) -> None:
        super().__init__("Display")
        self._display = display
        self.setToolTip("Changes only the display; the file and the segmentation are not affected")
        self.sections = QSpinBox(self)
        self.sections.setRange(1, SECTIONS_MAX)
        self.sections.setSingleStep(2)
        self.sections.setToolTip("Show the mean of this many neighbouring sections")
        self.low_pass = self._resolution("Attenuate finer detail: the amplitude at this resolution is halved")
        self.high_pass = self._resolution("Remove background coarser than this; together with a low-pass, a band-pass")
        self.percent = QDoubleSpinBox(self)
        self.percent.setRange(0.0, 20.0)
        self.percent.setDecimals(2)
        self.percent.setSingleStep(0.25)
        self.percent.setValue(CONTRAST_PERCENT)
        self.percent.setSuffix(" %")
        self.percent.setToolTip("Percentage of the voxels that become black, and of those that become white")
        self.of_section = button("Section", self, self._fit_section)
        self.of_section.setToolTip("Fit the contrast to the section that is shown")
        self.of_volume = button("Volume", self, self._fit_volume)
        self.of_volume.setToolTip("Fit the contrast to the whole tomogram")
        self.invert = QCheckBox("Invert", self)
        self.reset = button("Reset display", self, lambda: display.reset())
        form = QFormLayout(self)
        form.addRow("Average &sections", self.sections)
        form.addRow("&Low-pass", self.low_pass)
        form.addRow("&High-pass", self.high_pass)
        form.addRow("Auto contrast", hbox(self.percent, self.of_section, self.of_volume))
        form.addRow(self.invert, self.reset)
        for box in (self.sections, self.low_pass, self.high_pass):
            box.setKeyboardTracking(False)
            box.valueChanged.connect(self._change)
        self.invert.clicked.connect(lambda: display.invert())
        display.changed.connect(self.refresh)
        self.refresh()

    def _resolution(self, tip: str) -> QDoubleSpinBox:
        box = QDoubleSpinBox(self)
        box.setRange(0.0, RESOLUTION_MAX_A)
        box.setDecimals(1)
        box.setSingleStep(10.0)
        box.setSuffix(" Å")
        box.setSpecialValueText("off")
        box.setToolTip(tip)
        return box

    def _change(self) -> None:
        self._display.set_filter(DisplayFilter(self.sections.value(), self.low_pass.value(), self.high_pass.value()))

    def _fit_section(self) -> None:
        self._display.use_contrast_of_section(self.percent.value())

    def _fit_volume(self) -> None:
        self._display.use_contrast_of_volume(self.percent.value())

    def refresh(self) -> None:
        """Show how the tomogram is displayed."""
        self.setVisible(self._display.layer is not None)
        wanted = self._display.filter
        with QSignalBlocker(self.sections), QSignalBlocker(self.low_pass), QSignalBlocker(self.high_pass):
            self.sections.setValue(wanted.sections)
            self.low_pass.setValue(wanted.low_pass_A)
            self.high_pass.setValue(wanted.high_pass_A)
        self.invert.setChecked(self._display.inverted)
