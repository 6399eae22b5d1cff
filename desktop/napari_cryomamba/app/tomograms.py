"""Opening tomograms, choosing the one that is shown, and correcting its voxel size."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from napari.layers import Layer as NapariLayer
from qtpy.QtCore import QObject

from cryomamba.geometry import Spacing
from napari_cryomamba.app.window_context import WindowContext
from napari_cryomamba.layers.adoption import adopt
from napari_cryomamba.layers.tomogram import Tomogram, as_mask_of, open_tomogram, source_of
from napari_cryomamba.layers.tomograms import correct_voxel_size, go_to_middle, tomogram_layers
from napari_cryomamba.napari_types import Layer, LayerEvent
from napari_cryomamba.sample import sample_path


class Opening:
    """The opening of a file, which ends after that of the file before it. For the GUI thread."""

    def __init__(self, after: Opening | None) -> None:
        self._waiting: list[Callable[[], object]] = []
        self._after, self._ended = after, False

    def end(self, action: Callable[[], object]) -> None:
        """Call an action once the opening before has ended, then let the next one end."""
        if self._after is not None and not self._after._ended:  # noqa: SLF001 (of the same class)
            self._after._waiting.append(lambda: self.end(action))  # noqa: SLF001
            return
        self._after, self._ended = None, True
        action()
        for each in self._waiting:
            each()


class TomogramController(QObject):
    """The tomograms of the viewer, whoever opened them. For the GUI thread; :meth:`close` it."""

    def __init__(self, context: WindowContext, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._preview, self._server = context.viewer, context.preview, context.server
        self._tasks, self._notifications, self._preferences = context.tasks, context.notifications, context.preferences
        self._viewer.layers.events.inserted.connect(self._on_inserted)
        for layer in self._viewer.layers:
            adopt(layer)

    @property
    def recent_files(self) -> list[str]:
        """Paths and addresses of what was opened last, newest first."""
        return self._preferences.values.recent_files

    def open_files(self, paths: Iterable[Path | str], *, as_mask: bool = False) -> None:
        """Open tomograms or masks of any program, by paths or addresses; voxels are read in threads.

        Layers have the order of the paths, whichever thread is first, so the last one is shown.
        """
        previous: Opening | None = None
        for path in paths:
            headers = self._server.headers_for(path) if isinstance(path, str) else {}
            context = f"Opening {path if isinstance(path, str) else path.name}"
            previous = self._open(context, partial(open_tomogram, path, as_mask=as_mask, headers=headers), previous)

    def use_as_mask(self, layer: Layer) -> None:
        """Show the labels of a tomogram's file in place of its densities."""
        source = source_of(layer)
        if source is None:
            return

        def replace(mask: Tomogram) -> None:
            self._viewer.add_layer(NapariLayer.create(*mask.layer()))
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

        self._tasks.run(f"Using {source.meta.name} as a mask", lambda _task: as_mask_of(source), replace)

    def open_sample(self) -> None:
        """Open the synthetic tomogram; it is made the first time."""
        self._open("Making the sample", lambda: open_tomogram(sample_path()))

    def _open(self, context: str, read: Callable[[], Tomogram], after: Opening | None = None) -> Opening:
        def add(tomogram: Tomogram) -> None:
            opening.end(lambda: self._viewer.add_layer(NapariLayer.create(*tomogram.layer())))

        opening = Opening(after)
        self._tasks.run(context, lambda _task: read(), add, failed=lambda: opening.end(_nothing))
        return opening

    def _on_inserted(self, event: LayerEvent) -> None:
        source = source_of(event.value) or adopt(event.value)
        if source is None:
            return
        if source.opened:
            self._preferences.values.remember_file(source.opened)
            self._preferences.save()
        if not source.is_mask:
            self._viewer.canvas.overlays.scale_bar.visible = True
            if len(tomogram_layers(self._viewer)) > 1:
                self.show_only(event.value)
            self._preview.watch_jobs_of(event.value)

    def show_only(self, layer: Layer) -> None:
        """Show a tomogram with its masks, and hide the others, which would cover it."""
        for overlay in self._preview.overlays.values():
            if overlay.in_viewer and overlay.tomogram is not None:
                overlay.layer.visible = overlay.tomogram is layer
        for other in tomogram_layers(self._viewer):
            other.visible = other is layer
        self._viewer.layers.selection.active = layer
        go_to_middle(self._viewer, layer)

    def correct_voxel_size(self, layer: Layer, voxel_size_A: Spacing) -> bool:
        """Replace the voxel size (Å; z, y, x) of a tomogram and its masks; return whether it was plausible."""

        def correct() -> None:
            source = correct_voxel_size(layer, voxel_size_A)
            self._preview.set_voxel_size(layer, source.meta.voxel_size_A)

        return self._notifications.report_errors("Setting the voxel size", correct)

    def close(self) -> None:
        """Disconnect from the viewer; layers stay."""
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)


def _nothing() -> None:
    """Do nothing."""
