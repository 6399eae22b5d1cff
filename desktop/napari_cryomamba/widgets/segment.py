"""Choose tomogram, engine and parameters, and start."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from cryomamba.errors import CryoMambaError
from napari_cryomamba.desk import Desk
from napari_cryomamba.tomograms import active_tomogram, tomogram_layers

from .form import ParameterForm


class SegmentPanel(QWidget):
    """What a new job needs, made from what the server (or this process) offers."""

    def __init__(self, desk: Desk, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self._shown = ""
        self.tomogram = QComboBox(self)
        self.tomogram.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.engine = QComboBox(self)
        self.summary = QLabel(self)
        self.summary.setWordWrap(True)
        self.form = ParameterForm(self)
        self.name = QLineEdit(self)
        self.name.setPlaceholderText("as the tomogram")
        self.interval = QDoubleSpinBox(self)
        self.interval.setRange(0.05, 60)
        self.interval.setSingleStep(0.5)
        self.interval.setSuffix(" s")
        self.interval.setValue(desk.settings.preview_interval_s)
        self.start = QPushButton("Segment on server", self)
        self.here = QPushButton("Run here", self)
        self.here.setToolTip("Segment in this process: no server is needed")
        self._build()
        self.engine.currentTextChanged.connect(self._choose)
        self.form.changed.connect(self._enable)
        self.tomogram.currentIndexChanged.connect(self._enable)
        self.interval.valueChanged.connect(self._remember_interval)
        self.start.clicked.connect(self.submit)
        self.here.clicked.connect(self.run_here)
        desk.engines_changed.connect(self.refresh_engines)
        desk.link_changed.connect(self._enable)
        desk.submit_refused.connect(self.show_refusal)
        for event in (desk.viewer.layers.events.inserted, desk.viewer.layers.events.removed):
            event.connect(self.refresh_tomograms)
        desk.viewer.layers.selection.events.active.connect(self._follow_selection)
        self.refresh_tomograms()
        self.refresh_engines()

    def _build(self) -> None:
        top = QFormLayout()
        top.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        top.addRow("Tomogram", self.tomogram)
        top.addRow("Engine", self.engine)
        scroll = QScrollArea(self)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setWidget(self.form)
        scroll.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        bottom = QFormLayout()
        bottom.addRow("Job name", self.name)
        bottom.addRow("Preview every", self.interval)
        buttons = QHBoxLayout()
        buttons.addWidget(self.start, 1)
        buttons.addWidget(self.here)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addLayout(top)
        layout.addWidget(self.summary)
        layout.addWidget(scroll, 1)
        layout.addLayout(bottom)
        layout.addLayout(buttons)

    @property
    def layer(self) -> Any:  # noqa: ANN401 (a napari layer, or None)
        """The chosen tomogram."""
        layers = tomogram_layers(self._desk.viewer)
        name = self.tomogram.currentText()
        return next((layer for layer in layers if layer.name == name), None)

    def refresh_tomograms(self, _event: object = None) -> None:
        """List the tomograms that are open; the chosen one stays if it can."""
        names = [layer.name for layer in tomogram_layers(self._desk.viewer)]
        chosen = self.tomogram.currentText()
        active = active_tomogram(self._desk.viewer)
        self.tomogram.clear()
        self.tomogram.addItems(names)
        self.tomogram.setCurrentText(chosen if chosen in names else active.name if active is not None else "")
        self._enable()

    def _follow_selection(self, _event: object = None) -> None:
        active = self._desk.viewer.layers.selection.active
        if active in tomogram_layers(self._desk.viewer):
            self.tomogram.setCurrentText(active.name)

    def refresh_engines(self) -> None:
        """List the engines; the chosen one and its form stay if it is still offered in the same way."""
        infos = [info for info in self._desk.engines if info.needs_volume or info.available]
        chosen = self.engine.currentText() or self._desk.default_engine
        self.engine.blockSignals(True)  # noqa: FBT003 (Qt's own signature)
        self.engine.clear()
        self.engine.addItems([info.name for info in infos])
        self.engine.setCurrentText(chosen)
        self.engine.blockSignals(False)  # noqa: FBT003
        self._choose(self.engine.currentText())

    def _choose(self, name: str) -> None:
        info = next((info for info in self._desk.engines if info.name == name), None)
        if info is None:
            self.summary.setText("No engine yet: connect to a server, or wait until those of this machine are found.")
        else:
            why = "" if info.available else f"\nNot available: {info.reason} {info.hint}"
            self.summary.setText(f"{info.summary}{why}")
            if info.model_dump_json() != self._shown:
                self._shown = info.model_dump_json()
                self.form.show_engine(info)
        self._enable()

    def _enable(self) -> None:
        name, ready = self.engine.currentText(), self.layer is not None and self.form.valid
        self.start.setEnabled(ready and self._desk.can_submit(name))
        self.here.setEnabled(ready and self._desk.can_run_here(name))
        missing = "" if self.layer is not None else "Open a tomogram first"
        self.start.setToolTip(missing or self._desk.link.reason)

    def submit(self) -> None:
        """Hand the job in."""
        self.form.show_problems({})
        self._desk.submit(self.layer, engine=self.engine.currentText(), params=self.form.parameters, name=self._name())

    def run_here(self) -> None:
        """Segment in this process."""
        self._desk.run_here(
            self.layer, engine=self.engine.currentText(), params=self.form.parameters, name=self._name()
        )

    def show_refusal(self, error: CryoMambaError) -> None:
        """Show beside the fields what the server did not accept."""
        fields = error.details.get("fields", [])
        found = {str(item.get("field", "")).removeprefix("params."): str(item.get("problem", "")) for item in fields}
        self.form.show_problems(found)

    def _name(self) -> str:
        return self.name.text().strip()

    def _remember_interval(self, value: float) -> None:
        self._desk.settings.preview_interval_s = value
        self._desk.save_settings()
