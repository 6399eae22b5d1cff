"""What the runner itself warns of."""

from __future__ import annotations

import pytest

from cryomamba.engines.api import Estimate
from cryomamba.geometry import Spacing
from cryomamba.masks.measure import LabelSummary
from cryomamba.volumes import VolumeWarning
from cryomamba_inference.result_warnings import contrast_warnings, mask_warnings, voxel_size_warnings


def label(fraction: float, within: float | None = None) -> LabelSummary:
    voxels = round(fraction * 1000)
    return LabelSummary(
        label=1, name="x", voxels=voxels, volume_nm3=1, fraction=fraction, fraction_within=within, instances=1
    )


@pytest.mark.parametrize(
    ("size_A", "unusual"),
    [((10, 10, 10), False), ((3, 3, 3), False), ((2.9, 10, 10), True), ((40, 40, 41), True), ((1, 1, 1), True)],
)
def test_an_unusual_voxel_size_is_named(size_A: Spacing, unusual: bool) -> None:
    """Along any axis; once only, if the header says already that the size is unknown."""
    found = list(voxel_size_warnings(size_A, ()))
    assert [warning.code for warning in found] == ["voxel_size_unusual"] * unusual
    assert list(voxel_size_warnings(size_A, (VolumeWarning(code="voxel_size_suspect", message="1 Å"),))) == []


def test_an_empty_or_nearly_full_mask_is_named() -> None:
    """The share of a region counts if there is one, and that of all labels together."""
    assert [warning.code for warning in mask_warnings((label(0.0), label(0.0)))] == ["mask_empty"]
    assert list(mask_warnings((label(0.2), label(0.1)))) == []
    [full] = mask_warnings((label(0.25), label(0.25)))
    assert (full.code, full.message) == ("mask_nearly_full", "The mask covers 50% of the tomogram.")
    [region] = mask_warnings((label(0.1, 0.9),))
    assert region.message == "The mask covers 90% of the region."


@pytest.mark.parametrize(
    ("estimates", "warned"),
    [
        ({}, False),
        ({"contrast": "dark"}, False),
        ({"contrast": "dark", "contrast_margin": 0.3}, False),
        ({"contrast": "dark", "contrast_margin": 0.1}, True),
    ],
)
def test_a_low_margin_of_the_contrast_is_named(estimates: dict[str, Estimate], warned: bool) -> None:
    """The warning says what was chosen and suggests the other."""
    found = list(contrast_warnings(estimates))
    assert len(found) == warned
    assert all("taken as dark" in one.message and "contrast=bright" in one.hint for one in found)
