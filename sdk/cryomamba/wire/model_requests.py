"""The bodies of requests about trained models."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from cryomamba.models.base import Request
from cryomamba.models.model_listing import OfferedModel
from cryomamba.models.trained_models import ModelName

ANNOUNCED_MAX_BYTES: Final = 40 * 1024
"""Size in a message of the models that one announcement may have."""


class ModelRef(Request):
    """``model.get``: the model that a request is about."""

    model: ModelName


class ModelListRequest(Request):
    """``model.list``: the models of all connected workers, by name; a page ends early when the reply is full."""

    limit: int = Field(100, ge=1, le=500)
    cursor: str | None = Field(None, max_length=200)


class WorkerModels(Request):
    """``worker.models``: the models that a worker has, after ``worker.hello`` and whenever they change.

    Attributes
    ----------
    first : bool
        Whether these replace what it announced before; otherwise they are added, where one message cannot have all.
    """

    worker: str = Field(min_length=1, max_length=128)
    models: tuple[OfferedModel, ...] = Field(max_length=500)
    first: bool = True
