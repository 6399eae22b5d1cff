"""Signed links to output files, for a browser or a pipeline without a token."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from cryomamba.access.visibility import Visibility
from cryomamba.client import calls
from cryomamba.errors import ErrorCode
from cryomamba.models.base import Record
from cryomamba.models.base import Request as Fields
from cryomamba.models.jobs import JobId
from cryomamba_gateway.context import Caller, Context
from cryomamba_gateway.examples import errors, ok
from cryomamba_gateway.routers.artifacts import RESPONSES, find_artifact, send_artifact
from cryomamba_gateway.routers.jobs import JOB
from cryomamba_server import log_context
from cryomamba_server.audit import audit
from cryomamba_server.signing import LIFETIME_S

router = APIRouter(prefix="/v1", tags=["artifacts"])

_DAY_S: Final = 24 * 3600
_SIGNED: Final[dict[int | str, dict[str, Any]]] = {**RESPONSES, **errors(ErrorCode.FORBIDDEN)}


class Link(Record):
    """A link that works without a token."""

    url: str = Field(description="Path on this gateway, with its signature; supports Range.")
    expires_at: datetime


class LinkQuery(Fields):
    """The lifetime of a link."""

    lifetime_s: int = Field(LIFETIME_S, ge=1, le=7 * _DAY_S, description="Seconds.")


class Signature(Fields):
    """The query of a signed link."""

    expires: str = Field(max_length=12, description="Seconds since 1970.")
    signature: str = Field(max_length=128, description="HMAC-SHA256 over method, path and expiry, as hex.")


@router.post(
    "/jobs/{job_id}/artifacts/{name}/link",
    operation_id="linkArtifact",
    responses={200: ok("The link"), **errors(ErrorCode.BAD_REQUEST, ErrorCode.FORBIDDEN, *JOB)},
)
async def link_artifact(
    gateway: Context, caller: Caller, job_id: JobId, name: str, query: Annotated[LinkQuery, Query()]
) -> Link:
    """Make a link to an output file that works for anybody until it expires."""
    artifact = find_artifact(await gateway.bus.call(caller.visibility, calls.get_job(job_id)), name)
    url, expires = gateway.signer.sign(f"/v1/files/{job_id}/{artifact.name}", lifetime_s=query.lifetime_s)
    audit("link.create", job_id=job_id, artifact=artifact.name, lifetime_s=query.lifetime_s)
    return Link(url=url, expires_at=datetime.fromtimestamp(expires, UTC))


@router.get("/files/{job_id}/{name}", operation_id="getSigned", response_class=Response, responses=_SIGNED)
async def get_signed(
    gateway: Context, request: Request, job_id: JobId, name: str, query: Annotated[Signature, Query()]
) -> Response:
    """Download an output file with a signed link."""
    path = f"/v1/files/{job_id}/{name}"
    gateway.signer.check(path, method=request.method, expires=query.expires, signature=query.signature)
    log_context.add(via="link")
    # The maker of the link could read the file; the signature is the permission.
    return await send_artifact(gateway, request, job_id, name, Visibility.everything())
