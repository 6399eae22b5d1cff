"""Names for napari's objects, which type checkers take for Any: napari's own annotations fail ``mypy --strict``."""

from typing import Any

Viewer = Any
"""A ``napari.components.ViewerModel``; only ``napari.Viewer`` has a window."""
Layer = Any
"""A ``napari.layers.Layer``."""
LayerEvent = Any
"""An event of a layer, of the layer list or of the dims."""
