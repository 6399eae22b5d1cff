"""The description of an engine for clients."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from cryomamba.engines.scratch import ScratchGrid

CHOICES: Final = "models"
"""Value of ``choices_from`` in the schema of a parameter whose value is the name of a trained model."""

EngineName = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z_.-]+$")]


class EngineInfo(BaseModel):
    """An engine of a worker.

    Attributes
    ----------
    parameters : dict
        JSON schema of its parameters, from which forms are generated.
    package : str
        Name and version of the package that offers it; empty if it comes with CryoMamba.
    disk_per_voxel : int
        Peak disk use of a job in bytes per voxel; a job is refused if the disk has less.
    scratch : ScratchGrid or None
        Further temporary disk space.
    picks : {'particles', 'filaments'} or None
        Kind of picks that it finds, written as ``picks.csv``, ``picks.star`` and ``picks.tbl``.
    available : bool
        Whether it can run on that worker.
    reason, hint : str
        Why not, and what to do.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", json_schema_serialization_defaults_required=True)

    name: EngineName
    summary: str
    parameters: dict[str, Any]
    package: str = Field("", max_length=200)
    needs_volume: bool = True
    disk_per_voxel: int = Field(1, ge=1, le=1024)
    scratch: ScratchGrid | None = None
    picks: Literal["particles", "filaments"] | None = None
    default: bool = False
    available: bool = True
    reason: str = ""
    hint: str = ""

    @property
    def model_parameter(self) -> str | None:
        """Name of the parameter that names a trained model, None if there is none.

        Its schema has ``"choices_from": "models"``; the models that fit are those whose kind is the engine's name.
        """
        properties = self.parameters.get("properties", {})
        return next((name for name, field in properties.items() if field.get("choices_from") == CHOICES), None)
