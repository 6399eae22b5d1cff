"""What the runner warns of once a mask is finished, whatever engine made it. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from cryomamba.engines.api import CONTRAST, CONTRAST_MARGIN, Engine, Estimate
from cryomamba.geometry import Spacing
from cryomamba.masks.measure import LabelSummary
from cryomamba.volumes import Volume, VolumeWarning
from cryomamba.volumes.grid import VOXEL_SIZE_WARNINGS

# Cells and lamellae are reconstructed at 5 to 20 Å; beyond this range the voxel size is more often wrong than right.
USUAL_VOXEL_A: Final = (3.0, 40.0)
# Membranes fill 1 to 10 % of a cell, so that a mask of more than this is more often background.
FULL_FROM: Final = 0.4
# Half of the range in which the choices of both contrasts were seen to be wrong.
MARGIN_FROM: Final = 0.2


def finite_estimates(engine: Engine[Any]) -> dict[str, Estimate]:
    """Return the estimates of an engine as plain numbers and texts; without those that are not finite."""
    found: dict[str, Estimate] = {}
    for name, value in engine.estimates().items():
        if isinstance(value, str):
            found[name] = value
        elif math.isfinite(value):
            found[name] = float(value)
    return found


def volume_warnings(
    engine: Engine[Any], volume: Volume | None, voxel_size_A: Spacing, estimates: Mapping[str, Estimate]
) -> tuple[VolumeWarning, ...]:
    """Return the warnings of a volume's header, of its voxel size, and of what the engine has seen in it."""
    seen = (*contrast_warnings(estimates), *engine.warnings())
    if volume is None:
        return seen
    header = tuple(volume.meta.warnings)
    return (*header, *voxel_size_warnings(voxel_size_A, header), *seen)


def voxel_size_warnings(voxel_size_A: Spacing, header: tuple[VolumeWarning, ...]) -> Iterator[VolumeWarning]:
    """Yield a warning if a voxel size is unusual, unless the warnings of the header say already that it is unknown."""
    low, high = USUAL_VOXEL_A
    known = not any(warning.code in VOXEL_SIZE_WARNINGS for warning in header)
    if known and not low <= min(voxel_size_A) <= max(voxel_size_A) <= high:
        z, y, x = voxel_size_A
        yield VolumeWarning(
            code="voxel_size_unusual",
            message=f"The voxel size is {z:g} × {y:g} × {x:g} Å (z, y, x); that of tomograms is usually {low:g} to "
            f"{high:g} Å.",
            hint="If the header is wrong, give the voxel size in Å; if it is right, bin the tomogram to about 10 Å.",
        )


def mask_warnings(labels: tuple[LabelSummary, ...]) -> Iterator[VolumeWarning]:
    """Yield a warning if a mask is empty or nearly full."""
    if not any(label.voxels for label in labels):
        yield VolumeWarning(
            code="mask_empty",
            message="The mask is empty: nothing was found.",
            hint="Check the voxel size and the contrast, or try a lower threshold.",
        )
    shares = [label.fraction if label.fraction_within is None else label.fraction_within for label in labels]
    if (share := sum(shares)) > FULL_FROM:
        what = "tomogram" if all(label.fraction_within is None for label in labels) else "region"
        yield VolumeWarning(
            code="mask_nearly_full",
            message=f"The mask covers {share:.0%} of the {what}.",
            hint="The contrast may be the wrong way round, or the threshold too low: set the contrast, or try a higher "
            "threshold.",
        )


def contrast_warnings(estimates: Mapping[str, Estimate]) -> Iterator[VolumeWarning]:
    """Yield a warning if an engine has chosen the contrast by a low margin."""
    margin, contrast = estimates.get(CONTRAST_MARGIN), estimates.get(CONTRAST)
    if isinstance(margin, float | int) and contrast is not None and margin < MARGIN_FROM:
        other = "bright" if contrast == "dark" else "dark"
        yield VolumeWarning(
            code="contrast_uncertain",
            message=f"Whether the features are dark or bright is uncertain; they were taken as {contrast} "
            f"(margin {margin:.2g} of 1).",
            hint=f"Look at the tomogram and set the contrast; if the mask is wrong, try contrast={other}.",
        )
