"""The contents of ``stats.json``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from cryomamba._version import __version__
from cryomamba.engines.api import Engine, Estimate
from cryomamba.engines.artifacts import STATISTICS
from cryomamba.geometry import Shape, Spacing
from cryomamba.masks.measure import METHOD, THICKNESS_METHOD, InstanceSummary, LabelSummary, Measurements
from cryomamba.masks.medial_surface import METHOD as MEDIAL_SURFACE_METHOD
from cryomamba.masks.thresholds import HysteresisThreshold
from cryomamba.picks import Kind, Picks
from cryomamba.volumes import Statistics, VolumeWarning
from cryomamba_inference.result_warnings import mask_warnings
from cryomamba_inference.runner.task import Outcome
from cryomamba_inference.uncertainty import UncertaintySummary

INSTANCES_MAX = 1000


class PicksSummary(BaseModel):
    """Summary of the picks: kind, number of points, and number of particles, filaments or membrane components."""

    model_config = ConfigDict(frozen=True)

    kind: Kind
    points: int
    objects: int


class RegionSummary(BaseModel):
    """The region to which a segmentation was limited.

    Attributes
    ----------
    mask : str
        File name of the mask that gives it.
    voxels : int
    fraction : float
        Of all voxels of the tomogram.
    volume_nm3 : float
    """

    model_config = ConfigDict(frozen=True)

    mask: str
    voxels: int
    fraction: float
    volume_nm3: float


class MaskStatistics(BaseModel):
    """Contents of ``stats.json``; the same job always gives the same bytes.

    Attributes
    ----------
    version : str
        Of CryoMamba.
    engine, parameters : str, dict
        The engine and its parameters, including defaults.
    volume : str
        File name of the tomogram; empty if there was none.
    shape, voxel_size_A : tuple
        ZYX shape of the tomogram, and the voxel size used, in ångström.
    input : Statistics or None
        Statistics of the tomogram's density, of the region if there is one.
    within : RegionSummary or None
        The region to which the segmentation was limited.
    estimates : dict
        What the engine has determined by itself, such as the contrast.
    warnings : tuple of VolumeWarning
        What was seen in the volume or the mask that should be checked.
    threshold : HysteresisThreshold or None
        The thresholds applied to the scores (0 to 255).
    medial_surface_method : str or None
        How medial surfaces were computed, if they were.
    picks : dict or None
        If there are picks: their ``kind``, the number of ``points``, and of ``objects`` (particles, filaments or
        membrane components).
    uncertainty : dict or None
        If it was requested: the `method`, its mean over the voxels of the mask, `mean_percent`, and `by_label`.
    instance_count : int
        Number of connected components.
    instances : tuple of InstanceSummary
        The largest thousand components by size; ``stats.csv`` has a hundred thousand.
    """

    model_config = ConfigDict(frozen=True)

    version: str = __version__
    engine: str
    parameters: dict[str, Any]
    volume: str
    shape: Shape
    voxel_size_A: Spacing
    input: Statistics | None
    within: RegionSummary | None = None
    estimates: dict[str, Estimate] = {}
    warnings: tuple[VolumeWarning, ...] = ()
    threshold: HysteresisThreshold | None = None
    surface_method: str = METHOD
    thickness_method: str = THICKNESS_METHOD
    medial_surface_method: str | None = None
    picks: PicksSummary | None = None
    uncertainty: UncertaintySummary | None = None
    labels: tuple[LabelSummary, ...]
    instance_count: int
    instances: tuple[InstanceSummary, ...]


def mask_statistics(
    outcome: Outcome,
    engine: Engine[Any],
    volume_name: str,
    measured: Measurements,
    picks: Picks | None,
    *,
    surfaces: bool,
    uncertainty: UncertaintySummary | None,
) -> MaskStatistics:
    """Return what ``stats.json`` holds.

    Parameters
    ----------
    volume_name : str
        File name of the tomogram.
    surfaces : bool
        Whether medial surfaces were computed.
    """
    summary = None if picks is None else PicksSummary(kind=picks.kind, points=len(picks), objects=picks.objects)
    return MaskStatistics(
        engine=engine.name,
        parameters=engine.parameters.model_dump(mode="json"),
        volume=volume_name,
        shape=outcome.header.shape,
        voxel_size_A=outcome.header.voxel_size_A,
        input=outcome.statistics,
        within=_region(outcome),
        estimates=outcome.estimates,
        warnings=(*outcome.warnings, *(mask_warnings(measured.labels) if engine.needs_volume else ())),
        threshold=outcome.thresholds,
        medial_surface_method=MEDIAL_SURFACE_METHOD if surfaces else None,
        picks=summary,
        uncertainty=uncertainty,
        labels=measured.labels,
        instance_count=measured.count,
        instances=tuple(measured.instances(INSTANCES_MAX)),
    )


def _region(outcome: Outcome) -> RegionSummary | None:
    region = outcome.region
    if region is None:
        return None
    return RegionSummary(
        mask=region.name,
        voxels=region.voxels,
        fraction=region.voxels / math.prod(outcome.header.shape),
        volume_nm3=region.voxels * math.prod(outcome.header.voxel_size_A) / 1000,
    )


def read_statistics(folder: Path) -> dict[str, Any]:
    """Return the contents of ``stats.json`` as written by :func:`write_artifacts`."""
    fields: dict[str, Any] = json.loads((folder / STATISTICS.name).read_text(encoding="utf-8"))
    return fields
