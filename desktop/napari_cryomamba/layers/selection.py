"""Adding layers while the user works on another one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from napari_cryomamba.napari_types import Viewer


@contextmanager
def selection_kept(viewer: Viewer) -> Iterator[None]:
    """Keep what the user has selected while layers are added, moved and removed in the block.

    The first layer of an empty viewer becomes active, as it does in napari.
    """
    layers = viewer.layers
    if not layers:
        yield
        return
    selected, active = set(layers.selection), layers.selection.active
    # Selecting the new layer and then the old one again would end a stroke, and rebuild napari's controls twice.
    layers._activate_on_insert = False  # noqa: SLF001 (napari has no public way)
    try:
        yield
    finally:
        layers._activate_on_insert = True  # noqa: SLF001
        left = {layer for layer in selected if layer in layers}
        if left and left != set(layers.selection):
            layers.selection.active = active if active in left else None
            layers.selection.update(left)
