"""Parameters that an engine offers whose mask is one of membranes; who runs it makes the files."""

from __future__ import annotations

from pydantic import Field

from cryomamba.engines.api import EngineParameters
from cryomamba.engines.artifacts import PRODUCES


class MembraneOptions(EngineParameters):
    """What is made of a mask of membranes besides itself.

    An engine whose parameters derive from this need do no more: whoever runs it makes the files from its label 1.
    """

    instances: bool = Field(
        default=False,
        title="Number the pieces",
        description="Make instances.mrc as well, in which each connected piece has its own number, the largest 1.",
        json_schema_extra={PRODUCES: "instances"},
    )
    middle: bool = Field(
        default=False,
        title="Middle surface",
        description="Make middle.mrc as well: the middle surface, one voxel thick, with each piece's number.",
        json_schema_extra={PRODUCES: "middle"},
    )
    normals: bool = Field(
        default=False,
        title="Normals",
        description="Make normals.nrrd as well: the membrane's normals on its middle surface, a field of vectors.",
        json_schema_extra={PRODUCES: "normals"},
    )
    point_spacing_A: float | None = Field(
        None,
        ge=5,
        le=10000,
        title="Points every",
        description="Make tables of points (picks) so far apart on the middle surface, with normals and angles, for "
        "subtomogram averaging; none if left out.",
        json_schema_extra={"unit": "Å", PRODUCES: "csv"},
    )

    @property
    def any(self) -> bool:
        """Whether anything is wanted."""
        return self.instances or self.middle or self.normals or self.point_spacing_A is not None
