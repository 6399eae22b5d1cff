"""Tomogram, engine and parameters of a new job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QFormLayout, QLineEdit, QWidget

from cryomamba.client.submit import UploadMode
from cryomamba.engines.strokes import STROKES, takes_strokes
from cryomamba.errors import CryoMambaError
from cryomamba.models.jobs import RETHRESHOLD, JobRecord
from cryomamba.volumes import result_kind
from napari_cryomamba.app.jobs import JobController
from napari_cryomamba.app.server import ServerConnection
from napari_cryomamba.app.settings import Preferences
from napari_cryomamba.app.task_runner import Task, TaskRunner
from napari_cryomamba.app.trained_models import TrainedModels
from napari_cryomamba.layers.tomogram import open_tomogram, source_of
from napari_cryomamba.layers.tomograms import active_tomogram, tomogram_layers
from napari_cryomamba.models.source import Source
from napari_cryomamba.models.submission import JobSubmission
from napari_cryomamba.napari_types import Layer, Viewer
from napari_cryomamba.widgets.batch import BatchChooser
from napari_cryomamba.widgets.conversion import ConversionLine
from napari_cryomamba.widgets.form import ParameterForm
from napari_cryomamba.widgets.layout import button, hbox, scrolled, text_label, vbox
from napari_cryomamba.widgets.paint import PaintPanel
from napari_cryomamba.widgets.priority import PriorityChoice
from napari_cryomamba.widgets.region import RegionChooser
from napari_cryomamba.widgets.trained_models import LicenceBar

_PAINTING_INTERVAL_S = 0.25
UPLOAD_MODES: dict[UploadMode, str] = {"auto": "automatically", "never": "by path", "always": "upload"}


class SegmentPanel(QWidget):
    """Starts jobs with the engines of the server and of this process."""

    def __init__(
        self,
        viewer: Viewer,
        jobs: JobController,
        server: ServerConnection,
        preferences: Preferences,
        tasks: TaskRunner,
        models: TrainedModels,
        paint: Callable[[Callable[[], Source | None]], PaintPanel] | None = None,
    ) -> None:
        super().__init__()
        self._viewer, self._jobs, self._server, self._preferences = viewer, jobs, server, preferences
        self._tasks, self._models = tasks, models
        self._shown = ""
        self._again = self.submit
        self.tomogram = QComboBox(self)
        self.tomogram.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.batch = BatchChooser(viewer, self)
        self.region = RegionChooser(viewer, tasks, preferences.folder / "regions", self)
        self.engine = QComboBox(self)
        self.summary = text_label()
        self.form = ParameterForm(self)
        self.paint = None if paint is None else paint(self._source)
        self.licence = LicenceBar(models, self)
        self.name = QLineEdit(self)
        self.name.setPlaceholderText("file name")
        self.upload_mode = QComboBox(self)
        for mode, title in UPLOAD_MODES.items():
            self.upload_mode.addItem(title, mode)
        self.upload_mode.setToolTip(
            "How the server gets the tomogram: by its path if the server can read the same file, otherwise by an upload"
        )
        self.priority = PriorityChoice(self)
        self.reset_button = button("Reset to defaults", self, self._reset)
        self.reset_button.setToolTip("Reset all parameters of this engine to their default values")
        self.interval = QDoubleSpinBox(self)
        self.interval.setRange(0.05, 60)
        self.interval.setSingleStep(0.5)
        self.interval.setSuffix(" s")
        self.interval.setValue(preferences.values.preview_interval_s)
        self.submit_button = button("Segment on server", self, self.submit)
        self.local_button = button("Run on this computer", self, self.run_locally)
        self.conversion = ConversionLine(tasks)
        self.local_button.setToolTip("Run the segmentation on this computer, without a server")
        self._build()
        self._connect()
        self.refresh_tomograms()
        self.refresh_engines()

    def _connect(self) -> None:
        self.engine.currentTextChanged.connect(self._show_engine)
        self.engine.textActivated.connect(self._save_engine)
        self.form.changed.connect(self._update_buttons)
        self._models.changed.connect(self._offer_models)
        self.tomogram.currentIndexChanged.connect(self._show_tomogram)
        self.interval.valueChanged.connect(self._save_interval)
        self._jobs.engines_changed.connect(self.refresh_engines)
        self._jobs.rejected.connect(self.show_rejection)
        if self.paint is not None:
            self.paint.painting.restart_needed.connect(lambda: self._again())
        self._server.state_changed.connect(self._update_buttons)
        layers = self._viewer.layers
        for event in (layers.events.inserted, layers.events.removed):
            event.connect(self.refresh_tomograms)
            event.connect(self.batch.refresh)
        self.batch.changed.connect(self._update_buttons)
        layers.selection.events.active.connect(self._choose_active)

    def _build(self) -> None:
        top = QFormLayout()
        top.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        top.addRow("Tomogram", hbox(self.tomogram, self.batch.button, stretch=self.tomogram))
        top.addRow(self.batch)
        top.addRow("Within", self.region)
        top.addRow("Engine", hbox(self.engine, self.reset_button, stretch=self.engine))
        bottom = QFormLayout()
        bottom.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        bottom.addRow("Job name", self.name)
        bottom.addRow("Send file", self.upload_mode)
        bottom.addRow("Priority", self.priority)
        bottom.addRow("Preview every", self.interval)
        # The buttons are always in sight; all else scrolls in a low window.
        body = QWidget(self)
        painting = [] if self.paint is None else [self.paint]
        vbox(body, top, self.summary, *painting, self.form, self.licence, bottom).addStretch(1)
        scroll = scrolled(body)
        buttons = hbox(self.submit_button, self.local_button, stretch=self.submit_button)
        vbox(self, scroll, buttons, self.conversion, margin=4, stretch=scroll)

    @property
    def layer(self) -> Layer:
        """The chosen tomogram."""
        layers = tomogram_layers(self._viewer)
        name = self.tomogram.currentText()
        return next((layer for layer in layers if layer.name == name), None)

    def refresh_tomograms(self, _event: object = None) -> None:
        """List the open tomograms; the chosen one stays chosen while it is open."""
        names, before = [layer.name for layer in tomogram_layers(self._viewer)], self.tomogram.currentText()
        if names == [self.tomogram.itemText(row) for row in range(self.tomogram.count())]:
            return
        active = active_tomogram(self._viewer)
        self.tomogram.clear()
        self.tomogram.addItems(names)
        self.tomogram.setCurrentText(before if before in names else active.name if active is not None else "")
        self._show_tomogram()

    def _choose_active(self, _event: object = None) -> None:
        """Choose the tomogram that the user has selected."""
        self.refresh_tomograms()
        active = self._viewer.layers.selection.active
        if active in tomogram_layers(self._viewer):
            self.tomogram.setCurrentText(active.name)

    def _show_tomogram(self) -> None:
        layer = self.layer
        self.region.show_tomogram(source_of(layer) if layer is not None else None)
        self._update_buttons()

    def refresh_engines(self) -> None:
        """List the engines; the chosen one stays if it is still available, with its form if that did not change."""
        # Changing a threshold needs a job's score map, not a tomogram: it is in the Mask tab.
        infos = [info for info in self._jobs.engines if info.name != RETHRESHOLD]
        names = {info.name for info in infos}
        preferred = (self.engine.currentText(), self._preferences.values.engine, self._jobs.default_engine)
        chosen = next((name for name in preferred if name in names), "")
        self.engine.blockSignals(True)  # noqa: FBT003 (Qt's own signature)
        self.engine.clear()
        self.engine.addItems([info.name for info in infos])
        self.engine.setCurrentText(chosen)
        self.engine.blockSignals(False)  # noqa: FBT003
        self._show_engine(self.engine.currentText())

    def _show_engine(self, name: str) -> None:
        info = self._jobs.engine(name)
        if info is None:
            self.summary.setText(
                "No engine available yet. Connect to a server, or wait until the engines of this computer are found."
            )
        else:
            why = "" if info.available else f"\nNot available: {info.reason} {info.hint}"
            self.summary.setText(f"{info.summary}{why}")
            if info.model_dump_json() != self._shown:
                self._shown = info.model_dump_json()
                self.form.show_engine(info)
                self._offer_models()
                self.form.fill(self._preferences.values.parameters.get(name, {}))
                if self.form.model_editor is not None:
                    self._models.refresh()
        self._update_buttons()

    def _source(self) -> Source | None:
        layer = self.layer
        return source_of(layer) if layer is not None else None

    @property
    def _paints(self) -> bool:
        """Whether the chosen engine learns from strokes, and is given no model."""
        info = self._jobs.engine(self.engine.currentText())
        return self.paint is not None and info is not None and takes_strokes(info.parameters)

    def _strokes(self) -> dict[str, Any]:
        """Return the parameter that has what is painted on the tomogram; nothing if a model is given."""
        if self.paint is None or not self._paints or self.form.parameters.get("model"):
            return {}
        strokes = self.paint.painting.strokes(self._source())
        return {} if strokes is None else {STROKES: strokes.model_dump(mode="json")}

    def _offer_models(self) -> None:
        """Offer the trained models that fit, where the engine takes one."""
        editor = self.form.model_editor
        if editor is not None:
            editor.offer(self._models.names_for(self.engine.currentText()))
        self._show_licence()

    def _show_licence(self) -> None:
        editor = self.form.model_editor
        self.licence.show_model(self.engine.currentText(), "" if editor is None else str(editor.value or ""))

    def _update_buttons(self) -> None:
        self._show_licence()
        if self.paint is not None:
            self.paint.setVisible(self._paints)
        several = self.batch.active
        self.tomogram.setEnabled(not several)
        self.region.setEnabled(not several)
        chosen = bool(self.batch.files or self.batch.open_sources()) if several else self.layer is not None
        name, ready = self.engine.currentText(), chosen and self.form.valid
        self.submit_button.setEnabled(ready and self._server.can_run(name))
        self.local_button.setEnabled(ready and self._jobs.can_run_locally(name))
        state = self._server.state
        missing = "" if chosen else "Open a tomogram first"
        offline = "" if state.phase.usable else "No server is connected. You can still use 'Run on this computer'."
        self.submit_button.setToolTip(missing or offline or state.reason)
        self.upload_mode.setEnabled(self._server.accepts_uploads)

    def submit(self) -> None:
        """Submit the job to the server."""
        self._again = self.submit
        mode = self.upload_mode.currentData()
        self._start(lambda submission: self._jobs.submit(submission, mode))

    def run_locally(self) -> None:
        """Segment in this process."""
        self._again = self.run_locally
        self._start(self._jobs.run_locally)

    def _start(self, start: Callable[[JobSubmission], None]) -> None:
        if self.batch.active:
            self._start_several(start)
            return
        layer = self.layer
        source = source_of(layer) if layer is not None else None
        if source is None:
            return
        submission = self._submission(source)
        if strokes := self._strokes():
            # The section in view is to be seen soon after a stroke.
            interval_s = min(submission.preview_interval_s, _PAINTING_INTERVAL_S)
            submission = replace(submission, params={**submission.params, **strokes}, preview_interval_s=interval_s)
        self.conversion.with_file(
            source, lambda: self.region.with_mask(source, lambda mask: start(replace(submission, within=mask)))
        )

    def _start_several(self, start: Callable[[JobSubmission], None]) -> None:
        """Start the same job on each tomogram; a file that cannot be opened is an error, and the others go on."""
        engine, params = self.engine.currentText(), self.form.parameters

        def begin(source: Source) -> None:
            if source.is_mask or result_kind(source.meta.labels) is not None:
                return
            name = self.name.text().strip()
            submission = replace(self._submission(source), engine=engine, params=params)
            submission = replace(submission, name=f"{name}: {source.meta.name}" if name else "")
            self.conversion.with_file(source, lambda: start(submission))

        for source in self.batch.open_sources():
            begin(source)
        for path in self.batch.files:
            self._tasks.run(f"Opening {path.name}", partial(_source_of_file, path), begin)

    def _submission(self, source: Source) -> JobSubmission:
        self.form.show_problems({})
        engine, params = self.engine.currentText(), self.form.parameters
        settings = self._preferences.values
        settings.parameters = {**settings.parameters, engine: params}
        self._save_engine(engine)
        return JobSubmission(
            source=source,
            engine=engine,
            params=params,
            name=self.name.text().strip(),
            preview_interval_s=settings.preview_interval_s,
            priority=self.priority.priority,
        )

    def use_parameters(self, record: JobRecord) -> None:
        """Choose the engine, parameters and priority of a job; parameters that it does not name get their defaults."""
        info = self._jobs.engine(record.engine)
        if info is None or self.engine.findText(record.engine) < 0:
            return
        self.engine.setCurrentText(record.engine)
        self.form.show_engine(info)
        self._offer_models()
        self.form.fill(record.params)
        self.priority.choose(record.priority)

    def _save_engine(self, name: str) -> None:
        self._preferences.values.engine = name
        self._preferences.save()

    def _reset(self) -> None:
        info = self._jobs.engine(self.engine.currentText())
        if info is not None:
            self.form.show_engine(info)
            self._offer_models()
            self.form.validate()

    def show_rejection(self, error: CryoMambaError) -> None:
        """Show at the fields why the server rejected the job."""
        fields = error.details.get("fields", [])
        found = {str(item.get("field", "")).removeprefix("params."): str(item.get("problem", "")) for item in fields}
        self.form.show_problems(found)

    def _save_interval(self, value: float) -> None:
        self._preferences.values.preview_interval_s = value
        self._preferences.save()


def _source_of_file(path: Path, _task: Task) -> Source:
    return open_tomogram(path).source
