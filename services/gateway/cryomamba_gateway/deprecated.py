"""Names of the first documentation, for the clients that were written to it.

They are accepted or sent beside the present names, and marked as deprecated in the OpenAPI document.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BaseModel, Field, StrictBool, StringConstraints

from cryomamba.engines.info import EngineName
from cryomamba.models.base import Request
from cryomamba.models.job_filter import JobFilter, States
from cryomamba.models.jobs import EventType, Side, VolumeSource


class FirstJobFields(Request):
    """Fields of a new job as it was described first."""

    file_id: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = Field(
        None,
        deprecated=True,
        description="An uploaded file, for a job without a `volume`. Use `volume: {file_id: …}` instead.",
    )
    model: EngineName | None = Field(
        None, deprecated=True, description="The engine of a job without an `engine`. Use `engine` instead."
    )
    volume_shape: tuple[Side, Side, Side] | None = Field(
        None,
        deprecated=True,
        description="ZYX shape of a demo job without a `volume`. Use `volume: {shape: …}` instead.",
    )
    volume_dtype: Annotated[str, StringConstraints(max_length=32)] | None = Field(
        None, deprecated=True, description="Not used: the volume's header has it."
    )
    has_volume: StrictBool | None = Field(None, deprecated=True, description="Not used: see `volume`.")

    def first_volume(self) -> VolumeSource | None:
        """Return the volume in these fields, if there is one."""
        # Not by attribute, which would warn of the field's deprecation.
        file_id, shape = self.__dict__["file_id"], self.__dict__["volume_shape"]
        if file_id is not None:
            return VolumeSource(file_id=file_id)
        return None if shape is None else VolumeSource(shape=shape)

    def first_engine(self) -> EngineName | None:
        """Return the engine in these fields, if there is one."""
        model: EngineName | None = self.__dict__["model"]
        return model


class FirstJobFilter(JobFilter):
    """Conditions of a listing with the name that `state` had first."""

    status: States = Field((), max_length=5, deprecated=True, description="Use `state` instead.")

    def wanted(self) -> JobFilter:
        """Return the conditions with their present names."""
        found = {name: self.__dict__[name] for name in JobFilter.model_fields}
        return JobFilter(**{**found, "state": self.state or self.__dict__["status"]})


class CancelStatus(BaseModel):
    """What the answer to a cancel has beside the job."""

    status: Literal["cancelled", "cancelling"] = Field(
        deprecated=True, description="Use `state` and `cancel_requested` instead."
    )


FINAL_TYPES: Final[Mapping[EventType, str]] = {"job_completed": "completed", "job_failed": "error"}
"""The first types of the WebSocket's last messages, by the present ones; sent on request."""
