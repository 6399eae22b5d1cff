"""The mask that limits a job to a region of its volume."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import ConfigDict, StringConstraints, model_validator

from cryomamba.models.base import JobId, Record, Request


class MaskSource(Request):
    """A mask on the grid of the volume: exactly one of `path`, `file_id` and `job_id`.

    Attributes
    ----------
    path : str, optional
        A file that the server can read, in one of its allowed input directories.
    file_id : str, optional
        An uploaded file.
    job_id : str, optional
        A completed job, whose newest mask is used.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"title": title, "required": [name], "properties": {name: {"not": {"type": "null"}}}}
                for name, title in {"path": "MaskPath", "file_id": "MaskFile", "job_id": "MaskJob"}.items()
            ]
        }
    )

    path: Annotated[str, StringConstraints(min_length=1, max_length=4096)] | None = None
    file_id: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    job_id: JobId | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(value is not None for value in (self.path, self.file_id, self.job_id)) != 1:
            raise ValueError("give exactly one of path, file_id and job_id")
        return self


class MaskSummary(Record):
    """The mask that limits a job: `path` as the client gave it, `job_id` with the name of that job's mask file.

    `version` stands for the state of the file when the job was submitted, as for a volume.
    """

    name: str
    path: str | None = None
    file_id: str | None = None
    job_id: str | None = None
    version: str | None = None
