"""Parameters of engines that segment membranes: which further files are made from the mask."""

from __future__ import annotations

from pydantic import Field

from cryomamba.engines.api import EngineParameters
from cryomamba.engines.artifacts import PRODUCES


class MembraneOptions(EngineParameters):
    """Further files that are made from a mask of membranes.

    An engine whose parameters derive from this class does nothing more: the runner makes the files from label 1.
    """

    instances: bool = Field(
        default=False,
        title="Label each component",
        description="Also write instances.mrc: each connected component has its own label, 1 for the largest.",
        json_schema_extra={PRODUCES: "instances"},
    )
    medial_surface: bool = Field(
        default=False,
        title="Medial surface",
        description="Also write medial_surface.mrc: the medial surface, one voxel thick, labelled by component.",
        json_schema_extra={PRODUCES: "medial_surface"},
    )
    normals: bool = Field(
        default=False,
        title="Normals",
        description="Also write normals.nrrd: the unit normals of the medial surface as a vector field.",
        json_schema_extra={PRODUCES: "normals"},
    )
    point_spacing_A: float | None = Field(
        None,
        ge=5,
        le=10000,
        title="Point spacing",
        description="Also write tables of points at this spacing on the medial surface, with normals and Euler "
        "angles, for subtomogram averaging. Leave it out for none.",
        json_schema_extra={"unit": "Å", "unset": "none", PRODUCES: "csv"},
    )

    @property
    def any(self) -> bool:
        """Whether any further file is requested."""
        return self.instances or self.medial_surface or self.normals or self.point_spacing_A is not None
