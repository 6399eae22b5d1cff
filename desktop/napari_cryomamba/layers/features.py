"""Columns of a layer's features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_cryomamba.napari_types import Layer


def assign_features(layer: Layer, columns: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> None:
    """Set columns of a layer's features; the others stay, as do the values that new points or shapes will get.

    napari alone would give new ones the values of the first row.

    Parameters
    ----------
    columns : mapping of str to array-like
    defaults : mapping, optional
        What new points or shapes get; needed for columns that the layer does not have yet.
    """
    kept = {name: layer.feature_defaults[name].iloc[0] for name in layer.feature_defaults.columns}
    layer.features = layer.features.assign(**columns)
    layer.feature_defaults = {**kept, **(defaults or {})}
