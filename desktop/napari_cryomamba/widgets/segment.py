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
from cryomamba.models.jobs import RETHRESHOLD
from napari_cryomamba.app.controller import AppController
from napari_cryomamba.layers.tomogram import source_of
from napari_cryomamba.layers.tomograms import active_tomogram, tomogram_layers
from napari_cryomamba.net.submit import JobSubmission, SubmitMode
from napari_cryomamba.widgets.form import ParameterForm

WAYS = {
    SubmitMode.AUTOMATIC: "by its path, else by upload",
    SubmitMode.PATH: "by its path",
    SubmitMode.UPLOAD: "by upload",
}


class SegmentPanel(QWidget):
    """What a new job needs, made from what the server (or this process) offers."""

    def __init__(self, desk: AppController, parent: QWidget | None = None) -> None:
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
        self.way = QComboBox(self)
        for way, title in WAYS.items():
            self.way.addItem(title, way)
        self.way.setToolTip(
            "How the tomogram gets to the server: by its path if the server sees the same file, else by an upload"
        )
        self.defaults = QPushButton("Defaults", self)
        self.defaults.setToolTip("Set all parameters of this engine back")
        self.interval = QDoubleSpinBox(self)
        self.interval.setRange(0.05, 60)
        self.interval.setSingleStep(0.5)
        self.interval.setSuffix(" s")
        self.interval.setValue(desk.preferences.values.preview_interval_s)
        self.start = QPushButton("Segment on server", self)
        self.here = QPushButton("Run here", self)
        self.here.setToolTip("Segment in this process: no server is needed")
        self._build()
        self.engine.currentTextChanged.connect(self._choose)
        self.engine.textActivated.connect(self._remember_engine)
        self.defaults.clicked.connect(self._set_back)
        self.form.changed.connect(self._enable)
        self.tomogram.currentIndexChanged.connect(self._enable)
        self.interval.valueChanged.connect(self._remember_interval)
        self.start.clicked.connect(self.submit)
        self.here.clicked.connect(self.run_here)
        desk.runs.engines_changed.connect(self.refresh_engines)
        desk.server.changed.connect(self._enable)
        desk.runs.refused.connect(self.show_refusal)
        for event in (desk.viewer.layers.events.inserted, desk.viewer.layers.events.removed):
            event.connect(self.refresh_tomograms)
        desk.viewer.layers.selection.events.active.connect(self._follow_selection)
        self.refresh_tomograms()
        self.refresh_engines()

    def _build(self) -> None:
        top = QFormLayout()
        top.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        top.addRow("Tomogram", self.tomogram)
        engine = QHBoxLayout()
        engine.addWidget(self.engine, 1)
        engine.addWidget(self.defaults)
        top.addRow("Engine", engine)
        scroll = QScrollArea(self)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setWidget(self.form)
        scroll.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        bottom = QFormLayout()
        bottom.addRow("Job name", self.name)
        bottom.addRow("Tomogram goes", self.way)
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
        # Moving a threshold takes a job's scores, not a tomogram: the mask's tab offers it.
        infos = [info for info in self._desk.runs.engines if info.name != RETHRESHOLD]
        names = {info.name for info in infos}
        wishes = (self.engine.currentText(), self._desk.preferences.values.engine, self._desk.runs.default_engine)
        chosen = next((name for name in wishes if name in names), "")
        self.engine.blockSignals(True)  # noqa: FBT003 (Qt's own signature)
        self.engine.clear()
        self.engine.addItems([info.name for info in infos])
        self.engine.setCurrentText(chosen)
        self.engine.blockSignals(False)  # noqa: FBT003
        self._choose(self.engine.currentText())

    def _choose(self, name: str) -> None:
        info = next((info for info in self._desk.runs.engines if info.name == name), None)
        if info is None:
            self.summary.setText("No engine yet: connect to a server, or wait until those of this machine are found.")
        else:
            why = "" if info.available else f"\nNot available: {info.reason} {info.hint}"
            self.summary.setText(f"{info.summary}{why}")
            if info.model_dump_json() != self._shown:
                self._shown = info.model_dump_json()
                self.form.show_engine(info)
                self.form.fill(self._desk.preferences.values.parameters.get(name, {}))
        self._enable()

    def _enable(self) -> None:
        name, ready = self.engine.currentText(), self.layer is not None and self.form.valid
        self.start.setEnabled(ready and self._desk.server.offers(name))
        self.here.setEnabled(ready and self._desk.runs.can_run_here(name))
        link = self._desk.server.link
        missing = "" if self.layer is not None else "Open a tomogram first"
        away = "" if link.phase.usable else "No server is connected; 'Run here' needs none"
        self.start.setToolTip(missing or away or link.reason)
        self.way.setEnabled(self._desk.server.takes_files)

    def submit(self) -> None:
        """Hand the job in."""
        order = self._order()
        if order is not None:
            # Not every binding of Qt gives back the member that was put in; some give its text.
            self._desk.runs.submit(order, SubmitMode(self.way.currentData()))

    def run_here(self) -> None:
        """Segment in this process."""
        order = self._order()
        if order is not None:
            self._desk.runs.run_here(order)

    def _order(self) -> JobSubmission | None:
        layer = self.layer
        source = source_of(layer) if layer is not None else None
        if source is None:
            return None
        self.form.show_problems({})
        engine, params = self.engine.currentText(), self.form.parameters
        settings = self._desk.preferences.values
        settings.parameters = {**settings.parameters, engine: params}
        self._remember_engine(engine)
        return JobSubmission(
            source=source,
            engine=engine,
            params=params,
            name=self.name.text().strip(),
            interval_s=settings.preview_interval_s,
        )

    def _remember_engine(self, name: str) -> None:
        self._desk.preferences.values.engine = name
        self._desk.preferences.save()

    def _set_back(self) -> None:
        name = self.engine.currentText()
        info = next((info for info in self._desk.runs.engines if info.name == name), None)
        if info is not None:
            self.form.show_engine(info)
            self.form.validate()

    def show_refusal(self, error: CryoMambaError) -> None:
        """Show beside the fields what the server did not accept."""
        fields = error.details.get("fields", [])
        found = {str(item.get("field", "")).removeprefix("params."): str(item.get("problem", "")) for item in fields}
        self.form.show_problems(found)

    def _remember_interval(self, value: float) -> None:
        self._desk.preferences.values.preview_interval_s = value
        self._desk.preferences.save()
