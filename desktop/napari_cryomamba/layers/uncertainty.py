"""The uncertainty of a job as an Image layer below its mask."""

from __future__ import annotations

from napari.layers import Image

from cryomamba.engines.uncertainty import PERCENT_MAX
from napari_cryomamba.layers.tomogram import METADATA_KEY, Array
from napari_cryomamba.napari_types import Layer, Viewer

UNCERTAINTY_KEY = "cryomamba_uncertainty"
"""Where a layer's metadata have the job whose uncertainty it shows."""


def uncertainty_layer(percent: Array, mask: Layer, job_id: str) -> Layer:
    """Return the layer that shows percentages on the grid of a finished mask; what is certain is seen through."""
    return Image(
        percent,
        name=f"{mask.name} · uncertainty",
        colormap="inferno",
        contrast_limits=(0, PERCENT_MAX),
        blending="additive",
        opacity=0.7,
        # It is no tomogram, so that it is not offered for segmentation.
        metadata={UNCERTAINTY_KEY: job_id, METADATA_KEY: None},
        scale=mask.scale,
        translate=mask.translate,
        units=mask.units,
        axis_labels=mask.axis_labels,
    )


def uncertainty_of_job(viewer: Viewer, job_id: str) -> Layer | None:
    """Return the layer that shows the uncertainty of a job, None if there is none."""
    return next((layer for layer in viewer.layers if layer.metadata.get(UNCERTAINTY_KEY) == job_id), None)
