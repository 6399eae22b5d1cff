"""What napari draws for the tools of a Labels layer, made when a tool is first chosen.

napari makes the drawings of the brush and of the polygon with each Labels layer, which takes almost half of the time in
which the layer appears.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from napari.layers import Labels

_NAMES = ("brush_stroke", "polygon")


def make_tool_overlays_later(layer: Labels) -> None:
    """Let a layer that is not in a viewer yet have the drawings of a tool only once the tool is chosen."""
    for name in _NAMES:
        overlay = layer._overlays[name]  # noqa: SLF001 (napari has no public way)
        overlay.visible = False
        overlay.events.enabled.connect(partial(_show_if_enabled, overlay))


def _show_if_enabled(overlay: Any, _event: object = None) -> None:  # noqa: ANN401 (napari has no types)
    if overlay.enabled:
        overlay.visible = True
