"""Which masks have edits that are not saved."""

from __future__ import annotations

from dataclasses import dataclass

from napari_cryomamba.app.preview import PreviewController
from napari_cryomamba.layers.history import history_lengths
from napari_cryomamba.layers.masks import PREVIEW, Mask, mask_of
from napari_cryomamba.layers.tomogram import Array
from napari_cryomamba.napari_types import Layer, LayerEvent, Viewer

State = tuple[int, int, int]
"""Changes that were announced, and the lengths of napari's histories, which change without one at an undo."""


@dataclass(slots=True)
class _Edited:
    """An array that was edited; the layer shows another one while a new threshold is previewed."""

    array: Array
    changes: int = 0
    saved: State | None = None


class Edits:
    """Notices edits of the viewer's masks, whoever makes them. For the GUI thread; :meth:`close` it."""

    def __init__(self, viewer: Viewer, preview: PreviewController) -> None:
        self._viewer, self._preview = viewer, preview
        self._edited: dict[Layer, _Edited] = {}
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        for layer in viewer.layers:
            self._listen(layer)

    def _on_inserted(self, event: LayerEvent) -> None:
        self._listen(event.value)

    def _listen(self, layer: Layer) -> None:
        if mask_of(layer, None) is not None:
            layer.events.paint.connect(self._on_edit)
            layer.events.labels_update.connect(self._on_edit)

    def _on_removed(self, event: LayerEvent) -> None:
        self._edited.pop(event.value, None)

    def _on_edit(self, event: LayerEvent) -> None:
        self.mark_edited(event.source)

    def mark_edited(self, layer: Layer) -> None:
        """Note that a mask has changes that are in no file."""
        found = self._edited.get(layer)
        if found is None or found.array is not layer.data:
            found = self._edited[layer] = _Edited(layer.data)
        found.changes += 1

    def state(self, layer: Layer) -> State:
        """Return the present state of a mask, for :meth:`mark_saved`."""
        found = self._edited.get(layer)
        return (found.changes if found is not None else 0, *history_lengths(layer))

    def mark_saved(self, layer: Layer, state: State) -> None:
        """Note that a mask was saved as it was in a state; later edits are not saved."""
        if layer in self._edited:
            self._edited[layer].saved = state

    def unsaved(self) -> list[Mask]:
        """Return the finished masks with edits that are in no file, in the viewer's order."""
        found = []
        for layer in self._viewer.layers:
            edited = self._edited.get(layer)
            mask = mask_of(layer, self._preview.overlay_of_layer(layer))
            if edited is None or mask is None or mask.not_ready is PREVIEW:
                continue
            if mask.finished and edited.array is not layer.data:
                # Another version of the mask was chosen in place of the edited one.
                del self._edited[layer]
            elif edited.saved != self.state(layer):
                found.append(mask)
        return found

    def array(self, layer: Layer) -> Array:
        """Return the edited array of a mask, also while a new threshold is shown in its place."""
        return self._edited[layer].array

    def close(self) -> None:
        """Disconnect from the viewer."""
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        for layer in self._viewer.layers:
            if mask_of(layer, None) is not None:
                layer.events.paint.disconnect(self._on_edit)
                layer.events.labels_update.disconnect(self._on_edit)
