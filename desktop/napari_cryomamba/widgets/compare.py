"""Two masks compared: shown in turn, as colours, and as numbers."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QComboBox, QLabel, QWidget

from cryomamba.masks.compare import BOTH, ONLY_FIRST, ONLY_SECOND, Comparison, compare
from cryomamba.masks.slabs import LabelSource
from napari_cryomamba.app.task_runner import TaskRunner
from napari_cryomamba.layers.masks import AUXILIARY_KEY, Mask, mask_of
from napari_cryomamba.models.mask_difference import COLORS, MaskDifference
from napari_cryomamba.napari_types import Layer, LayerEvent, Viewer
from napari_cryomamba.widgets.layout import button, hbox, text_label, vbox

_LEGEND = " &nbsp; ".join(
    f'<span style="color:{COLORS[label]}">■</span> {text}'
    for label, text in ((BOTH, "both"), (ONLY_FIRST, "only this mask"), (ONLY_SECOND, "only the other"))
)


class ComparePanel(QWidget):
    """The selected mask and another of the same shape."""

    def __init__(self, viewer: Viewer, tasks: TaskRunner) -> None:
        super().__init__()
        self._viewer, self._tasks = viewer, tasks
        self._mask: Mask | None = None
        self._difference: Layer = None
        self._hidden: list[Layer] = []
        self.other = QComboBox(self)
        self.other.setToolTip("The other mask: any labels layer on the same grid")
        self.toggle_button = button("A / B", self, self.toggle)
        self.toggle_button.setToolTip("Show this mask or the other in turn (Alt+B)")
        self.difference_button = button("Difference", self, self._switch_difference)
        self.difference_button.setCheckable(True)
        self.score_button = button("Scores", self, self.score)
        self.legend = QLabel(_LEGEND, self)
        self.legend.hide()
        self.text = text_label()
        self.text.setMinimumHeight(2 * self.text.fontMetrics().lineSpacing())
        row = hbox(self.toggle_button, self.difference_button, self.score_button)
        vbox(self, self.other, row, self.legend, self.text)
        self.other.currentIndexChanged.connect(self._on_other)
        viewer.layers.events.inserted.connect(self._list)
        viewer.layers.events.removed.connect(self._on_removed)
        self._list()

    def show_mask(self, mask: Mask | None) -> None:
        """Compare another mask."""
        layer = mask.layer if mask is not None else None
        if layer is not (self._mask.layer if self._mask is not None else None):
            self._hide_difference()
        self._mask = mask
        self._list()

    def _candidates(self) -> list[Layer]:
        mask = self._mask
        if mask is None:
            return []
        found = [layer for layer in reversed(self._viewer.layers) if mask_of(layer, None) is not None]
        return [layer for layer in found if layer is not mask.layer and layer.data.shape == mask.array.shape]

    def _list(self, _event: object = None) -> None:
        chosen, candidates = self.chosen(), self._candidates()
        if [self.other.itemData(row) for row in range(self.other.count())] != candidates:
            with QSignalBlocker(self.other):
                self.other.clear()
                for layer in candidates:
                    self.other.addItem(layer.name, layer)
                self.other.setCurrentIndex(candidates.index(chosen) if chosen in candidates else 0)
            self._on_other()
        for widget in (self.other, self.toggle_button, self.difference_button, self.score_button):
            widget.setEnabled(bool(candidates))
        if not candidates:
            self.text.setText("Show or open a second mask of this tomogram to compare it.")

    def chosen(self) -> Layer:
        """Return the layer of the other mask, None if there is none."""
        return self.other.currentData()

    def _on_other(self, _row: int = 0) -> None:
        self.text.setText("")
        if self._difference is not None:
            self._hide_difference()
            self.show_difference()

    def toggle(self) -> None:
        """Show the other mask in place of this one, or the reverse."""
        other = self.chosen()
        if self._mask is None or other is None:
            return
        this = self._mask.layer
        other.visible = not other.visible if other.visible is not this.visible else False
        this.visible = not other.visible
        self.text.setText(f"Shown: {other.name if other.visible else this.name}")

    def _switch_difference(self, on: bool) -> None:
        if on:
            self.show_difference()
        else:
            self._hide_difference()

    def show_difference(self) -> None:
        """Colour what both masks have and what only one has; the masks themselves are hidden meanwhile."""
        from napari.utils.colormaps import DirectLabelColormap

        other = self.chosen()
        if self._mask is None or other is None:
            return
        this, selection = self._mask.layer, self._viewer.layers.selection
        active = selection.active
        self._difference = self._viewer.add_labels(
            MaskDifference(this.data, other.data),
            name="difference",
            colormap=DirectLabelColormap(color_dict=COLORS),
            metadata={AUXILIARY_KEY: True},
            scale=this.scale,
            translate=this.translate,
            units=this.units,
            axis_labels=this.axis_labels,
        )
        self._difference.editable = False
        selection.active = active
        self._hidden = [this, other]
        for layer in self._hidden:
            layer.visible = False
            layer.events.paint.connect(self.refresh_difference)
        self.difference_button.setChecked(True)
        self.legend.show()

    def refresh_difference(self, _event: object = None) -> None:
        """Draw the difference again after a mask was edited."""
        if self._difference in self._viewer.layers:
            self._difference.refresh(extent=False)

    def _hide_difference(self) -> None:
        layer, self._difference = self._difference, None
        self.difference_button.setChecked(False)
        if layer in self._viewer.layers:
            self._viewer.layers.remove(layer)
        self.legend.hide()
        masks, self._hidden = self._hidden, []
        for mask in masks:
            mask.events.paint.disconnect(self.refresh_difference)
            if mask in self._viewer.layers:
                mask.visible = True

    def _on_removed(self, event: LayerEvent) -> None:
        if event.value is self._difference and self._difference is not None:
            self._hide_difference()
        self._list()

    def score(self) -> None:
        """Compute Dice, and F1 within one voxel."""
        other = self.chosen()
        if self._mask is None or other is None:
            return
        this, first, second = self._mask.layer, self._mask.array, other.data
        self.score_button.setEnabled(False)

        def show(text: str) -> None:
            # Other masks may have been chosen meanwhile.
            if self._mask is not None and self._mask.layer is this and self.chosen() is other:
                self.text.setText(text)

        def done(found: Comparison) -> None:
            self.score_button.setEnabled(True)
            show(
                f"Dice {found.dice:.3f} · F1 within one voxel {found.f1:.3f}\n"
                f"{found.first:,} and {found.second:,} voxels, {found.both:,} in common"
            )

        def failed() -> None:
            self.score_button.setEnabled(True)
            show("")

        self._tasks.run(
            "Comparing two masks",
            lambda task: compare(LabelSource.of_array(first), LabelSource.of_array(second), progress=task.progress),
            done,
            progress=lambda fraction: show(f"Comparing … {fraction:.0%}"),
            failed=failed,
        )
