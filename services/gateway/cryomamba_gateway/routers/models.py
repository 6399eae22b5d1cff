"""Trained models: list, add, accept a licence, remove."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Body, Path, Query
from starlette.responses import Response

from cryomamba.errors import ErrorCode
from cryomamba.models.model_listing import LicenceAcceptance, ListedModel, ModelPage, ModelUpload
from cryomamba.models.trained_models import ModelName
from cryomamba_gateway.context import Caller, Context
from cryomamba_gateway.examples import BUS, CHANGE, LICENCE, MODEL, MODEL_LINKS, errors, ok
from cryomamba_gateway.media_types import JSON_BODY
from cryomamba_gateway.models import ModelQuery
from cryomamba_server.audit import audit
from cryomamba_server.tokens import Scope

router = APIRouter(prefix="/v1/models", tags=["models"])

_MODEL: Final = (ErrorCode.NOT_FOUND, *BUS)
_ADD: Final = (
    ErrorCode.BAD_REQUEST,
    ErrorCode.NOT_FOUND,
    ErrorCode.CONFLICT,
    ErrorCode.CHECKSUM_MISMATCH,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE,
    ErrorCode.INSUFFICIENT_STORAGE,
    *CHANGE,
    *BUS,
)
_ACCEPT: Final = (
    ErrorCode.BAD_REQUEST,
    ErrorCode.CONFLICT,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE,
    ErrorCode.INSUFFICIENT_STORAGE,
    *CHANGE,
)
Name = Annotated[ModelName, Path(description="Name of the model.")]


@router.get(
    "", operation_id="listModels", responses={200: ok("A page of models"), **errors(ErrorCode.BAD_REQUEST, *BUS)}
)
async def list_models(gateway: Context, query: Annotated[ModelQuery, Query()]) -> ModelPage:
    """List the trained models by name, with the workers that have them; pass `cursor` to get the next page."""
    models, begin = await gateway.models.listed(), int(query.cursor or 0)
    page = tuple(models[begin : begin + query.limit])
    end = begin + len(page)
    return ModelPage(models=page, cursor=str(end) if page and end < len(models) else None)


@router.post(
    "",
    operation_id="addModel",
    status_code=201,
    dependencies=JSON_BODY,
    responses={201: ok("The model", links=MODEL_LINKS), **errors(*_ADD)},
)
async def add_model(
    gateway: Context, caller: Caller, body: Annotated[ModelUpload, Body(openapi_examples=MODEL)]
) -> ListedModel:
    """Make a trained model of an upload that was not completed; needs the scope `admin`.

    An archive (.zip, .tar, .tar.gz) must have the model's folder in it, or its files. It is unpacked within bounds, and
    refused with links or with names that leave the folder; nothing in it is run.
    """
    caller.require(Scope.ADMIN)
    model = await gateway.models.add(body, caller.visibility, caller.owner)
    audit("model.add", model=model.name, sha256=model.sha256, bytes=model.size_bytes)
    if model.licence and body.accept_licence:
        audit("model.accept_licence", model=model.name, sha256=model.sha256, licence=model.licence)
    return model


@router.get("/{name}", operation_id="getModel", responses={200: ok("The model"), **errors(*_MODEL)})
async def get_model(gateway: Context, name: Name) -> ListedModel:
    """Return a trained model: its labels, voxel size, checksum and licence, and which workers have it."""
    return await gateway.models.get(name)


@router.delete(
    "/{name}",
    operation_id="removeModel",
    status_code=204,
    response_class=Response,
    responses={204: ok("It is removed"), **errors(ErrorCode.CONFLICT, *CHANGE, *_MODEL)},
)
async def remove_model(gateway: Context, caller: Caller, name: Name) -> Response:
    """Remove a trained model; needs the scope `admin`. A model that a pending or running job needs is refused."""
    caller.require(Scope.ADMIN)
    await gateway.models.remove(name)
    audit("model.remove", model=name)
    return Response(status_code=204)


@router.post(
    "/{name}/accept-licence",
    operation_id="acceptModelLicence",
    dependencies=JSON_BODY,
    responses={200: ok("The model"), **errors(*_ACCEPT, *_MODEL)},
)
async def accept_model_licence(
    gateway: Context, caller: Caller, name: Name, body: Annotated[LicenceAcceptance, Body(openapi_examples=LICENCE)]
) -> ListedModel:
    """Accept the licence of a trained model, once for this server; before that, no job may use the model."""
    model = await gateway.models.accept_licence(name, body.licence, caller.owner)
    audit("model.accept_licence", model=model.name, sha256=model.sha256, licence=model.licence)
    return model
