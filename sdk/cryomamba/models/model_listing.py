"""Trained models as workers announce them and servers list them, and the requests that add them and accept licences."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from cryomamba.models.base import Record, Request
from cryomamba.models.trained_models import ModelInfo, ModelName


class OfferedModel(ModelInfo):
    """A model in the data directory of a worker.

    Attributes
    ----------
    licence_accepted : bool
        Whether it may be used: somebody has accepted its licence for this data directory, or it states none.
    """

    licence_accepted: bool = True


class ListedModel(OfferedModel):
    """A model of a server.

    Attributes
    ----------
    workers : tuple of str
        Connected workers that have it, at most 32; none just after it was added, or while none is connected.
    """

    workers: tuple[str, ...] = ()


class ModelPage(Record):
    """One page of a listing, by name; `cursor` continues it."""

    models: tuple[ListedModel, ...]
    cursor: str | None = None


class LicenceAcceptance(Request):
    """The licence of a model, accepted.

    Attributes
    ----------
    licence : str
        As the model states it; another one is refused.
    """

    licence: Annotated[str, StringConstraints(max_length=200)] = Field(description="As the model states it.")


class ModelUpload(Request):
    """An upload that becomes a model.

    Attributes
    ----------
    upload_id : str
        An upload whose parts have all been sent, and that was not completed: an archive (.zip, .tar, .tar.gz) of the
        model's folder, or its only file.
    name : str
        By which jobs ask for it.
    accept_licence : bool
        Whether the caller accepts the licence that the model states.
    """

    upload_id: Annotated[str, StringConstraints(min_length=1, max_length=64)] = Field(
        description="An upload whose parts have all been sent: an archive of the model's folder, or its only file."
    )
    name: ModelName = Field(description="Jobs refer to the model by this name.")
    accept_licence: bool = Field(default=False, description="Whether you accept the licence that the model states.")
