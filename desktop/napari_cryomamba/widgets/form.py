"""A form for the parameters of an engine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QWidget,
)
from superqt import QLargeIntSpinBox

from cryomamba.engines.info import EngineInfo
from napari_cryomamba.models.form import FormField, FormModel, parse_json
from napari_cryomamba.widgets.layout import text_label, vbox

_LARGE = 1e9
_DECIMALS = 6


class NumberBox(QDoubleSpinBox):
    """A spin box for real numbers without trailing zeros."""

    def textFromValue(self, value: float) -> str:
        """Return the shortest text of a value."""
        return f"{value:.{_DECIMALS}g}"


class FieldEditor(QWidget):
    """One parameter: its editor, and below it the problem with its value."""

    changed = Signal()

    def __init__(self, field: FormField, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.field = field
        self.editor: Any = self._editor()
        self.problem = text_label(state="error")
        self.problem.hide()
        vbox(self, self.editor, self.problem).setSpacing(1)
        bounds = self.field.bounds_text
        self.setToolTip("\n".join(text for text in (field.description, bounds.capitalize()) if text))

    @property
    def value(self) -> Any:  # noqa: ANN401 (whatever the parameter is)
        """The value, of a JSON type."""
        editor, field = self.editor, self.field
        match editor:
            case QCheckBox():
                return editor.isChecked()
            case QComboBox() if field.kind == "model":
                return editor.currentText().strip() or (None if field.optional else "")
            case QComboBox():
                return field.choices[editor.currentIndex()] if editor.currentIndex() >= 0 else None
            case QDoubleSpinBox() | QLargeIntSpinBox():
                return editor.value()
            case QLineEdit():
                text = editor.text().strip()
                if field.optional and not text:
                    return None
                return text if field.kind == "text" else parse_json(text)
        return None

    def set_value(self, value: Any) -> None:  # noqa: ANN401
        """Set the value; one of the wrong type is ignored."""
        editor = self.editor
        match editor:
            case QCheckBox() if isinstance(value, bool):
                editor.setChecked(value)
            case QComboBox() if self.field.kind == "model":
                editor.setCurrentText(value if isinstance(value, str) else "")
            case QComboBox() if value in self.field.choices:
                editor.setCurrentIndex(self.field.choices.index(value))
            case QDoubleSpinBox() | QLargeIntSpinBox() if isinstance(value, int | float):
                editor.setValue(value)
            case QLineEdit():
                editor.setText("" if value is None else value if isinstance(value, str) else json.dumps(value))

    def offer(self, names: Sequence[str]) -> None:
        """Offer names of models; what is entered stays."""
        before = self.value
        self.editor.blockSignals(True)  # noqa: FBT003 (Qt's own signature)
        self.editor.clear()
        self.editor.addItems(list(names))
        self.editor.blockSignals(False)  # noqa: FBT003
        self.set_value(before)

    def show_problem(self, text: str) -> None:
        """Show a problem, or none if the text is empty."""
        self.problem.setText(text)
        self.problem.setVisible(bool(text))

    def _editor(self) -> QWidget:
        match self.field.kind:
            case "boolean" if not self.field.optional:
                box = QCheckBox(self)
                box.setChecked(bool(self.field.default))
                box.toggled.connect(self.changed)
                return box
            case "model":
                names = QComboBox(self)
                names.setEditable(True)
                names.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
                names.setCurrentText(str(self.field.default or ""))
                names.currentTextChanged.connect(self.changed)
                return names
            case "choice" if not self.field.optional:
                combo = QComboBox(self)
                combo.addItems([str(choice) for choice in self.field.choices])
                if self.field.default in self.field.choices:
                    combo.setCurrentIndex(self.field.choices.index(self.field.default))
                combo.currentIndexChanged.connect(self.changed)
                return combo
            case "integer" | "number" if not self.field.optional:
                return self._number_editor()
        line = QLineEdit(self)
        default = self.field.default
        line.setText("" if default is None else default if isinstance(default, str) else json.dumps(default))
        unit = f", in {self.field.unit}" if self.field.unit else ""
        line.setPlaceholderText(f"automatic{unit}" if self.field.optional else "")
        line.textChanged.connect(self.changed)
        return line

    def _number_editor(self) -> QAbstractSpinBox:
        field = self.field
        box: Any = QLargeIntSpinBox(self) if field.kind == "integer" else NumberBox(self)
        if isinstance(box, NumberBox):
            box.setDecimals(_DECIMALS)
            box.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
        kind = int if field.kind == "integer" else float
        low, high = field.minimum, field.maximum
        box.setRange(kind(-_LARGE if low is None else low), kind(_LARGE if high is None else high))
        box.setValue(kind(field.default or 0))
        box.setSuffix(f" {field.unit}") if field.unit else None
        box.setKeyboardTracking(True)
        box.valueChanged.connect(self.changed)
        spin: QAbstractSpinBox = box
        return spin


class ParameterForm(QWidget):
    """The parameters of one engine; `changed` is emitted when a value changes."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model: FormModel | None = None
        self.editors: dict[str, FieldEditor] = {}
        self._layout = QFormLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)

    def show_engine(self, info: EngineInfo) -> None:
        """Show the parameters of an engine, with their default values."""
        while self._layout.rowCount():
            self._layout.removeRow(0)
        self.model = FormModel(info.parameters)
        self.editors = {}
        for field in self.model.fields:
            editor = FieldEditor(field, self)
            editor.changed.connect(self.validate)
            label = QLabel(field.title, self)
            label.setToolTip(editor.toolTip())
            self._layout.addRow(label, editor)
            self.editors[field.name] = editor

    def fill(self, values: Mapping[str, Any]) -> None:
        """Set values by name; values that no field has or accepts are ignored."""
        for name, value in values.items():
            if name in self.editors:
                self.editors[name].set_value(value)
        self.validate()

    @property
    def model_editor(self) -> FieldEditor | None:
        """The editor of the field that names a trained model, None if there is none."""
        name = None if self.model is None else self.model.model_field
        return None if name is None else self.editors[name]

    @property
    def values(self) -> dict[str, Any]:
        """All values by name."""
        return {name: editor.value for name, editor in self.editors.items()}

    @property
    def parameters(self) -> dict[str, Any]:
        """The values that are not the engine's defaults: only these are sent."""
        return self.model.changed(self.values) if self.model is not None else {}

    @property
    def valid(self) -> bool:
        """Whether all values are valid."""
        return self.model is None or not self.model.problems(self.values)

    def validate(self) -> None:
        """Show the problems at their fields."""
        if self.model is not None:
            self.show_problems(self.model.problems(self.values))
        self.changed.emit()

    def show_problems(self, problems: dict[str, str]) -> None:
        """Show problems by field name, whether found here or by the server."""
        for name, editor in self.editors.items():
            editor.show_problem(problems.get(name, ""))
