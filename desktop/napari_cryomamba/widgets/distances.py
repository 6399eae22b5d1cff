"""Distances from points to the nearest boundary of a mask."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QWidget

from cryomamba.errors import InvalidRequestError
from cryomamba.masks.boundary_distance import BoundaryDistances, boundary_distances
from cryomamba.masks.slabs import LabelSource
from napari_cryomamba.app.notifications import Notifications
from napari_cryomamba.app.task_runner import TaskRunner
from napari_cryomamba.layers.masks import mask_of
from napari_cryomamba.layers.measurements import set_distances
from napari_cryomamba.layers.picks import is_picks
from napari_cryomamba.layers.tomograms import active_tomogram
from napari_cryomamba.models.world_coordinates import AXES, NM_PER_A, UNITS
from napari_cryomamba.napari_types import Layer, Viewer
from napari_cryomamba.widgets.layout import button, hbox, text_label, vbox

_ALL_LABELS = "all labels"


class DistanceForm(QWidget):
    """Chooses points and a mask; the distances become features of the points.

    Signals
    -------
    reported : str
        What was found, or what is to be done.
    """

    reported = Signal(str)

    def __init__(self, viewer: Viewer, tasks: TaskRunner, notifications: Notifications, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer, self._tasks, self._notifications = viewer, tasks, notifications
        self.points_box, self.mask_box, self.label_box = QComboBox(self), QComboBox(self), QComboBox(self)
        for box in (self.points_box, self.mask_box, self.label_box):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.label_box.setMinimumContentsLength(6)
        self.points_button = button("New points", self, self.add_points)
        self.points_button.setToolTip("Add a layer of points: click where you want to measure from")
        self.distance_button = button("Measure distances", self, self.measure_distances)
        self.mask_box.currentIndexChanged.connect(self._list_labels)
        distances = QFormLayout()
        distances.addRow("From the points of", hbox(self.points_box, self.points_button, stretch=self.points_box))
        distances.addRow("To the boundary of", hbox(self.mask_box, self.label_box, stretch=self.mask_box))
        title = text_label("Distance to the nearest boundary of a mask", bold=True)
        vbox(self, title, distances, self.distance_button)

    def list_layers(self, layers: list[Layer]) -> None:
        """Offer the points and masks among the layers of the viewer."""
        self._fill(self.points_box, [layer for layer in layers if is_picks(layer)])
        self._fill(self.mask_box, [layer for layer in layers if mask_of(layer, None) is not None])
        self._list_labels()
        self.distance_button.setEnabled(self.points_box.count() > 0 and self.mask_box.count() > 0)

    @staticmethod
    def _fill(box: QComboBox, layers: list[Layer]) -> None:
        chosen = box.currentData()
        with QSignalBlocker(box):
            box.clear()
            for layer in layers:
                box.addItem(layer.name, layer)
            if layers:
                box.setCurrentIndex(layers.index(chosen) if chosen in layers else 0)

    def _list_labels(self, _row: int = 0) -> None:
        layer = self.mask_box.currentData()
        mask = mask_of(layer, None) if layer is not None else None
        self.label_box.clear()
        self.label_box.addItem(_ALL_LABELS, None)
        if mask is not None:
            # A job's labels have colours of their own, if no names here.
            colored = getattr(layer.colormap, "color_dict", {})
            for label in sorted({*mask.palette.labels, *(key for key in colored if key)}):
                self.label_box.addItem(mask.palette.name(label), label)

    def add_points(self) -> None:
        """Add a layer of points to be clicked."""
        like = active_tomogram(self._viewer)
        grid = {} if like is None else {"scale": like.scale, "translate": like.translate}
        layer = self._viewer.add_points(
            ndim=3, name="points", size=6, face_color="#e69f00", units=UNITS, axis_labels=AXES, **grid
        )
        layer.mode = "add"
        self.points_box.setCurrentIndex(self.points_box.findData(layer))
        self.reported.emit("Click the points, then press 'Measure distances'.")

    def measure_distances(self) -> None:
        """Measure the distance from each shown point to the boundary of the mask."""
        points, layer = self.points_box.currentData(), self.mask_box.currentData()
        mask = mask_of(layer, None) if layer is not None else None
        if points is None or mask is None:
            return
        indices = np.flatnonzero(np.asarray(points.shown, bool))
        if not len(indices):
            error = InvalidRequestError("There are no points.", hint="Add points with napari's tool, then try again.")
            self._notifications.notify_error(error, "Measuring distances")
            self.reported.emit(f"{error.message} {error.hint}")
            return
        at = np.array([layer.world_to_data(points.data_to_world(points.data[index])) for index in indices])
        array, size, label = mask.array, mask.voxel_size_A, self.label_box.currentData()
        self.distance_button.setEnabled(False)

        def done(found: BoundaryDistances) -> None:
            self.distance_button.setEnabled(True)
            if points in self._viewer.layers and len(points.data) > indices.max():
                set_distances(points, indices, found.distance_A * NM_PER_A)
                self._report(found)

        self._tasks.run(
            "Measuring distances",
            lambda task: boundary_distances(LabelSource.of_array(array, size), at, label=label, progress=task.progress),
            done,
            progress=lambda fraction: self.reported.emit(f"Measuring distances … {fraction:.0%}"),
            failed=self._fail,
        )

    def _report(self, found: BoundaryDistances) -> None:
        nm = found.distance_A * NM_PER_A
        inside = int((nm < 0).sum())
        self.reported.emit(
            f"{len(nm):,} distances: median {np.median(nm):.1f} nm, from {nm.min():.1f} to {nm.max():.1f} nm; "
            f"{inside:,} inside the mask (negative)."
        )

    def _fail(self) -> None:
        self.distance_button.setEnabled(True)
        self.reported.emit(self._notifications.newest_text())
