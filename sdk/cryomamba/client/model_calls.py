"""The requests about trained models: of each the forms on the bus and over HTTP, and the record that answers it."""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError

from cryomamba.client.calls import Acknowledged, BusForm, Call, HttpForm
from cryomamba.errors import no_such_model
from cryomamba.models.model_listing import LicenceAcceptance, ListedModel, ModelPage, ModelUpload
from cryomamba.wire import messages
from cryomamba.wire.model_requests import ModelListRequest, ModelRef

UNPACK_S: Final = 600.0
_CHANGE_S: Final = 60.0


def list_models(*, limit: int = 100, cursor: str | None = None) -> Call[ModelPage]:
    """Ask for one page of the models, by name."""
    body = ModelListRequest(limit=limit, cursor=cursor)
    query = body.model_dump(mode="json", exclude_none=True)
    return Call(ModelPage, BusForm(messages.MODEL_LIST, body), HttpForm("GET", "/v1/models", query))


def get_model(name: str) -> Call[ListedModel]:
    """Ask for a model."""
    ref = _ref(name)
    return Call(ListedModel, BusForm(messages.MODEL_GET, ref), HttpForm("GET", _path(ref)))


def add_model(upload: ModelUpload) -> Call[ListedModel]:
    """Make a model of an upload."""
    http = HttpForm("POST", "/v1/models", json=upload.model_dump(mode="json"), repeatable=False)
    return Call(ListedModel, None, http, timeout_s=UNPACK_S)


def remove_model(name: str) -> Call[Acknowledged]:
    """Remove a model."""
    http = HttpForm("DELETE", _path(_ref(name)), repeatable=False)
    return Call(Acknowledged, None, http, timeout_s=_CHANGE_S)


def accept_licence(name: str, acceptance: LicenceAcceptance) -> Call[ListedModel]:
    """Accept the licence of a model."""
    http = HttpForm("POST", f"{_path(_ref(name))}/accept-licence", json=acceptance.model_dump(mode="json"))
    return Call(ListedModel, None, http, timeout_s=_CHANGE_S)


def _ref(name: str) -> ModelRef:
    """Return the body that names a model; NotFoundError if none can have this name."""
    try:
        return ModelRef(model=name)
    except ValidationError:
        raise no_such_model(name) from None


def _path(ref: ModelRef) -> str:
    return f"/v1/models/{ref.model}"
