"""What clients are told about an engine."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from cryomamba.engines.scratch import ScratchGrid

EngineName = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z_.-]+$")]


class EngineInfo(BaseModel):
    """An engine as a worker offers it.

    Attributes
    ----------
    parameters : dict
        JSON schema of its parameters, from which forms are made.
    disk_per_voxel : int
        Bytes on the disk that a job takes per voxel of its volume, at its fullest; a submit without room is refused.
    scratch : ScratchGrid or None
        What it takes besides.
    picks : {'particles', 'filaments'} or None
        Of what it also finds places, which its jobs have as ``picks.csv``, ``picks.star`` and ``picks.tbl``.
    available : bool
        Whether it can run on that worker.
    reason, hint : str
        Why not, and what to install.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: EngineName
    summary: str
    parameters: dict[str, Any]
    needs_volume: bool = True
    disk_per_voxel: int = Field(1, ge=1, le=1024)
    scratch: ScratchGrid | None = None
    picks: Literal["particles", "filaments"] | None = None
    default: bool = False
    available: bool = True
    reason: str = ""
    hint: str = ""
