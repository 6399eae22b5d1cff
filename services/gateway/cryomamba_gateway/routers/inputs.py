"""The allowed input directories: which tomograms are already on the server."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from cryomamba.errors import ErrorCode
from cryomamba.models.base import Request as Fields
from cryomamba_gateway.context import Caller, Context
from cryomamba_gateway.examples import errors, ok
from cryomamba_gateway.input_folders import InputPage
from cryomamba_server.tokens import Scope

router = APIRouter(prefix="/v1", tags=["uploads"])


class InputQuery(Fields):
    """Which folder, and which page of it."""

    path: str = Field("", max_length=4096, description="The folder; the allowed input directories by default.")
    limit: int = Field(200, ge=1, le=500, description="Maximum number of entries in the page.")
    cursor: str | None = Field(
        None, max_length=256, pattern=r"^[df][^/\x00]+$", description="The `cursor` of the previous page."
    )


@router.get(
    "/inputs",
    operation_id="listInputs",
    responses={
        200: ok("A page of folders and tomograms"),
        **errors(ErrorCode.PATH_FORBIDDEN, ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND),
    },
)
async def list_inputs(gateway: Context, caller: Caller, query: Annotated[InputQuery, Query()]) -> InputPage:
    """List the folders and tomograms in an allowed input directory, for tokens that may submit jobs.

    Their paths can be given as the `path` of a job's volume. Hidden files, and links that lead out of the allowed
    directories, are left out.
    """
    caller.require(Scope.WRITE)
    return await gateway.inputs.page(caller.owner, query.path, limit=query.limit, cursor=query.cursor)
