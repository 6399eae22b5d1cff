"""Parameters of engines that segment membranes: which further files the runner makes."""

from __future__ import annotations

from pydantic import Field

from cryomamba.engines.api import EngineParameters
from cryomamba.engines.artifacts import PRODUCES


class MembraneOptions(EngineParameters):
    """Which files are made from a membrane mask.

    An engine only has to derive its parameters from this class; the runner makes the files from label 1.
    """

    instances: bool = Field(
        default=False,
        title="Label each component",
        description="Also write instances.mrc: instance labels of the connected components, sorted by size, 1 the "
        "largest.",
        json_schema_extra={PRODUCES: "instances"},
    )
    middle: bool = Field(
        default=False,
        title="Mid-surface",
        description="Also write middle.mrc: the mid-surface of each component, one voxel thick, with its instance "
        "label.",
        json_schema_extra={PRODUCES: "middle"},
    )
    normals: bool = Field(
        default=False,
        title="Normals",
        description="Also write normals.nrrd: the vector field of membrane normals on the mid-surface.",
        json_schema_extra={PRODUCES: "normals"},
    )
    point_spacing_A: float | None = Field(
        None,
        ge=5,
        le=10000,
        title="Point spacing",
        description="Also write tables of points (picks) on the mid-surface at this spacing, with normals and Euler "
        "angles, for subtomogram averaging. None if not set.",
        json_schema_extra={"unit": "Å", PRODUCES: "csv"},
    )

    @property
    def any(self) -> bool:
        """Whether any file is requested."""
        return self.instances or self.middle or self.normals or self.point_spacing_A is not None
