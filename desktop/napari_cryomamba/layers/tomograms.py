"""The tomogram layers of a viewer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryomamba.geometry import Spacing
from cryomamba.output_paths import require_outputs
from napari_cryomamba.layers.tomogram import METADATA_KEY, source_of
from napari_cryomamba.models.source import Source
from napari_cryomamba.models.world_coordinates import Placement
from napari_cryomamba.napari_types import Layer, Viewer


def tomogram_layers(viewer: Viewer) -> list[Any]:
    """Return the image layers of files that we opened, in the viewer's order."""
    return [layer for layer in viewer.layers if (source := source_of(layer)) is not None and not source.is_mask]


def layer_of_path(viewer: Viewer, path: str | None) -> Layer:
    """Return the tomogram layer of a file, None if it is not open."""
    if path is None:
        return None
    wanted = Path(path).resolve()
    for layer in tomogram_layers(viewer):
        source = source_of(layer)
        if source is not None and source.path.resolve() == wanted:
            return layer
    return None


def require_savable(viewer: Viewer, path: Path) -> None:
    """Refuse to save to a file that is open as a tomogram, or to a place that cannot be written.

    An existing file is replaced: the dialog has asked about it.

    Raises
    ------
    InvalidRequestError
        The file is one of those, by whatever name or link, or cannot be written.
    """
    sources = [source for layer in tomogram_layers(viewer) if (source := source_of(layer)) is not None]
    opened = [Path(source.location) for source in sources if source.folder is not None and source.image is not None]
    require_outputs([path], inputs=[*(source.path for source in sources), *opened], replace=True)


def active_tomogram(viewer: Viewer) -> Layer:
    """Return the selected tomogram, or the topmost one that is visible, or the topmost one, or None."""
    layers = tomogram_layers(viewer)
    active = viewer.layers.selection.active
    if active in layers:
        return active
    shown = [layer for layer in layers if layer.visible] or layers
    return shown[-1] if shown else None


def correct_voxel_size(layer: Layer, voxel_size_A: Spacing) -> Source:
    """Replace the voxel size (Å; z, y, x) of a tomogram.

    Raises
    ------
    VolumeError
        The size is not plausible.
    """
    source = source_of(layer)
    if source is None:
        raise ValueError("the layer is not a tomogram that we opened")
    source = source.with_voxel_size(voxel_size_A)
    layer.metadata = {**layer.metadata, METADATA_KEY: source}
    layer.scale = Placement.of_volume(source.meta.voxel_size_A).scale
    return source


def go_to_middle(viewer: Viewer, layer: Layer) -> None:
    """Show the whole middle section of a layer."""
    middle = layer.data_to_world([side // 2 for side in layer.data.shape])
    viewer.dims.set_point(range(viewer.dims.ndim)[-3:], [float(at) for at in middle[-3:]])
    viewer.reset_view(layers=[layer])
