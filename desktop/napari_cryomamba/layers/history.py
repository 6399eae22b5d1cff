"""The history of a Labels layer: strokes and edits in one list, as long as they fit into a number of bytes.

napari keeps a hundred steps, however large they are.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from napari.layers.labels.labels import _MaskedPaintAtom

from napari_cryomamba.models.edits import Edit
from napari_cryomamba.napari_types import Layer

UNDO_BYTES = 512 << 20
"""Memory of all steps of a layer. Each brush stroke takes a few kB, a component about 2 bytes per voxel of its box."""
_KEPT = "cryomamba_undo_bytes"


def keep_history(layer: Layer, limit: int = UNDO_BYTES) -> None:
    """Keep as many steps as fit into `limit` bytes from now on; the newest is always kept."""
    if _KEPT not in layer.metadata:
        layer.metadata[_KEPT] = limit
        layer.events.paint.connect(_forget_oldest)


def apply_edit(layer: Layer, edit: Edit) -> None:
    """Change the voxels of an edit as one step, so that Ctrl-Z undoes it."""
    if not len(edit):
        return
    keep_history(layer)
    with layer.block_history():
        for patch in edit.patches:
            region = layer.data[patch.box]
            labels = patch.labels.astype(region.dtype, copy=False)
            atom = _MaskedPaintAtom(patch.box, patch.changed, region[patch.changed], labels)
            region[patch.changed] = labels
            layer._save_history(atom)  # noqa: SLF001 (napari's own edits go through it)
    layer.refresh(extent=False)


def history_lengths(layer: Layer) -> tuple[int, int]:
    """Return how many steps can be undone and redone: napari announces an undo by nothing else."""
    undone, redone = (len(getattr(layer, name, ())) for name in ("_undo_history", "_redo_history"))
    return undone, redone


def step_bytes(step: list[Any]) -> int:
    """Return the memory that a step of the history takes."""
    return sum(int(part.nbytes) for atom in step for part in _arrays(atom))


def _arrays(atom: Any) -> list[Any]:  # noqa: ANN401
    parts = []
    for part in atom:
        parts += list(part) if isinstance(part, tuple) else [part]
    return [part for part in parts if isinstance(part, np.ndarray)]


def _forget_oldest(event: Any) -> None:  # noqa: ANN401
    layer = event.source
    # After a reset napari's own list, which ends at a hundred steps, is back.
    if layer._undo_history.maxlen is not None:  # noqa: SLF001
        layer._undo_history = deque(layer._undo_history)  # noqa: SLF001
        layer._redo_history = deque(layer._redo_history)  # noqa: SLF001
    steps = layer._undo_history  # noqa: SLF001
    sizes = [step_bytes(step) for step in steps]
    total = sum(sizes)
    for size in sizes[:-1]:
        if total <= layer.metadata[_KEPT]:
            return
        steps.popleft()
        total -= size
