"""A gallery of picks: crops of the tomogram to accept or reject, a page at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QSignalBlocker, Qt, QTimer
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QFormLayout, QListWidgetItem, QWidget

from napari_cryomamba.app.sections import go_to
from napari_cryomamba.app.task_runner import TaskRunner
from napari_cryomamba.layers.picks import SCORE, review_of, set_review, voxel_size_A
from napari_cryomamba.layers.tomograms import active_tomogram, layer_of_path
from napari_cryomamba.models.gallery import PAGE, CropSize, Indices, Review, Sort, as_grey, crop, pages, sorted_indices
from napari_cryomamba.napari_types import Layer, LayerEvent, Viewer
from napari_cryomamba.widgets.crop_list import CROP_PIXELS, CropList, framed_icon
from napari_cryomamba.widgets.layout import button, hbox, text_label, vbox

_SIDE_PER_DIAMETER = 2.0
_DEPTH_PER_DIAMETER = 0.25
_HINT = (
    "Keys: A accept, R reject, U undecided, arrows next or previous, Page Up and Down turn pages; "
    "with Shift, they move the pick."
)


class Gallery(QWidget):
    """Shows crops of the selected picks; the view follows the one that is chosen."""

    def __init__(self, viewer: Viewer, tasks: TaskRunner) -> None:
        super().__init__()
        self._viewer, self._tasks = viewer, tasks
        self._layer: Layer = None
        self._order: Indices = np.empty(0, np.intp)
        self._wanted = 0
        self.page = 0
        self.sort = QComboBox(self)
        for order in Sort:
            self.sort.addItem(order.value, order)
        self.side_box = _length_box(self, "Side of a crop")
        self.depth_box = _length_box(self, "Sections are averaged over this depth")
        self.list = CropList(self)
        self.title = text_label()
        self.buttons = [
            button("‹ Page", self, lambda: self.turn(-1)),
            button("Page ›", self, lambda: self.turn(1)),
            button("Accept", self, lambda: self.decide(Review.ACCEPTED)),
            button("Reject", self, lambda: self.decide(Review.REJECTED)),
        ]
        # Points that are dragged change with every movement of the mouse.
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(150)
        self._later.timeout.connect(self.reload)
        self._build()
        self._connect()

    def _build(self) -> None:
        form = QFormLayout()
        form.addRow("Order", self.sort)
        form.addRow("Side, depth", hbox(self.side_box, self.depth_box))
        hint = text_label(_HINT)
        hint.setMinimumHeight(2 * hint.fontMetrics().lineSpacing())
        vbox(self, form, self.title, self.list, hbox(*self.buttons), hint, stretch=self.list)

    def _connect(self) -> None:
        self.sort.activated.connect(self._reorder)
        self.side_box.valueChanged.connect(self._later.start)
        self.depth_box.valueChanged.connect(self._later.start)
        self.list.currentRowChanged.connect(self._on_row)
        # The one that is chosen already may be out of sight.
        self.list.itemClicked.connect(lambda _item: self._on_row(self.list.currentRow()))
        self.list.decided.connect(self.decide)
        self.list.moved.connect(self.move_pick)
        self.list.turned.connect(self.turn)

    def show_layer(self, layer: Layer) -> None:
        """Show the picks of another layer."""
        if layer is self._layer:
            return
        if self._layer is not None:
            self._layer.events.data.disconnect(self._on_data)
        self._layer = layer
        if layer is not None:
            layer.events.data.connect(self._on_data)
            diameter = self._diameter_nm()
            for box, factor in ((self.side_box, _SIDE_PER_DIAMETER), (self.depth_box, _DEPTH_PER_DIAMETER)):
                with QSignalBlocker(box):
                    box.setValue(diameter * factor)
        self._reorder()

    def _diameter_nm(self) -> float:
        layer = self._layer
        size = float(np.mean(layer.size)) if len(layer.data) else float(layer.current_size)
        return size * float(layer.scale[-1])

    def _on_data(self, event: LayerEvent) -> None:
        if (
            str(event.action) in {"added", "removed"}
            or self._layer is None
            or len(self._order) != len(self._layer.data)
        ):
            self._reorder()
        else:
            self._later.start()

    def _reorder(self, _row: int = 0) -> None:
        layer = self._layer
        count = len(layer.data) if layer is not None else 0
        scored = count and SCORE in layer.features
        scores = layer.features[SCORE].to_numpy(float) if scored else np.full(count, np.nan)
        review = review_of(layer) if layer is not None else []
        self._order = sorted_indices(scores, review, Sort(self.sort.currentData()))
        self.page = min(self.page, pages(count) - 1)
        self.reload()

    def indices(self) -> list[int]:
        """Return the picks of the page."""
        found: list[int] = self._order[self.page * PAGE : (self.page + 1) * PAGE].tolist()
        return found

    def turn(self, pages_on: int) -> None:
        """Go to a later page, or with a negative number to an earlier one."""
        page = self.page + pages_on
        if 0 <= page < pages(len(self._order)):
            self.page = page
            self.reload(follow=0 if pages_on > 0 else PAGE - 1)

    def reload(self, *, follow: int | None = None) -> None:
        """Read the crops of the page in a thread, and draw them.

        Only if a row is given to `follow`, it is chosen, and the view goes there: picks that arrive do not move it.
        """
        self._count()
        layer, tomogram = self._layer, self._tomogram()
        if layer is None or tomogram is None or not len(self._order):
            self.list.clear()
            return
        size = CropSize(self.side_box.value(), self.depth_box.value(), CROP_PIXELS)
        to_tomogram = [tomogram.world_to_data(layer.data_to_world(layer.data[index])) for index in self.indices()]
        array, voxel_A = tomogram.data, voxel_size_A(tomogram)
        self._wanted += 1
        number, row = self._wanted, self.list.currentRow()

        def done(crops: list[Any]) -> None:
            if number == self._wanted and layer is self._layer:
                self._draw([as_grey(section, tomogram.contrast_limits) for section in crops], row)
                if follow is not None:
                    self._choose(min(follow, self.list.count() - 1))

        self._tasks.run(
            "Reading the gallery", lambda _task: [crop(array, at, voxel_A, size) for at in to_tomogram], done
        )

    def _tomogram(self) -> Layer:
        if self._layer is None:
            return None
        return layer_of_path(self._viewer, self._layer.metadata.get("path")) or active_tomogram(self._viewer)

    def _draw(self, crops: list[Any], row: int) -> None:
        states = review_of(self._layer)
        with QSignalBlocker(self.list):
            self.list.clear()
            for index, pixels in zip(self.indices(), crops, strict=False):
                item = QListWidgetItem()
                item.setData(Qt.ItemDataRole.UserRole, pixels)
                item.setToolTip(self._about(index))
                item.setIcon(framed_icon(pixels, Review(states[index])))
                self.list.addItem(item)
            self.list.setCurrentRow(min(row, self.list.count() - 1))

    def _choose(self, row: int) -> None:
        with QSignalBlocker(self.list):
            self.list.setCurrentRow(row)
        self._on_row(row)

    def _about(self, index: int) -> str:
        scores = self._layer.features.get(SCORE)
        score = "" if scores is None or np.isnan(scores.iloc[index]) else f", score {scores.iloc[index]:.1f}"
        return f"Pick {index + 1}{score}"

    def _count(self) -> None:
        states = review_of(self._layer) if self._layer is not None else []
        accepted, rejected = states.count(Review.ACCEPTED), states.count(Review.REJECTED)
        for made in self.buttons:
            made.setEnabled(bool(states))
        if not states:
            self.title.setText("There are no picks to review.")
        elif self._tomogram() is None:
            self.title.setText("Open the tomogram of these picks to see them.")
        else:
            self.title.setText(
                f"Page {self.page + 1} of {pages(len(states))} · {accepted:,} accepted, {rejected:,} rejected, "
                f"{len(states) - accepted - rejected:,} to review"
            )

    def current(self) -> int | None:
        """Return the pick that is chosen."""
        row, shown = self.list.currentRow(), self.indices()
        return shown[row] if 0 <= row < len(shown) else None

    def _on_row(self, _row: int) -> None:
        """Let the view go to the pick that is chosen, and select it."""
        index, layer = self.current(), self._layer
        if index is None or layer is None:
            return
        go_to(self._viewer, layer.data_to_world(layer.data[index]))
        layer.selected_data = {index}

    def decide(self, review: Review) -> None:
        """Accept or reject the pick that is chosen, and go on to the next."""
        index = self.current()
        if index is None:
            return
        set_review(self._layer, index, review)
        row = self.list.currentRow()
        item = self.list.item(row)
        if item is not None:
            item.setIcon(framed_icon(item.data(Qt.ItemDataRole.UserRole), review))
        self._count()
        if row + 1 < self.list.count():
            self.list.setCurrentRow(row + 1)
        else:
            self.turn(1)

    def move_pick(self, steps: tuple[int, int, int]) -> None:
        """Move the pick that is chosen by whole voxels."""
        index, layer = self.current(), self._layer
        if index is None:
            return
        layer.data[index] += steps
        layer.refresh()
        layer.events.data(value=layer.data, action="changed", data_indices=(index,), vertex_indices=((),))
        self._on_row(self.list.currentRow())


def _length_box(parent: QWidget, tip: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox(parent)
    box.setRange(0.1, 10_000)
    box.setDecimals(1)
    box.setSuffix(" nm")
    box.setToolTip(tip)
    return box
