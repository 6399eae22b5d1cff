"""Volumes as OME-Zarr, made on the fly: metadata from headers, chunks cut out of the files."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Query
from fastapi import Path as PathParam
from starlette.requests import Request
from starlette.responses import Response

from cryomamba.access.visibility import Visibility
from cryomamba.errors import ErrorCode, NotFoundError, VolumeError
from cryomamba.models.jobs import JobId
from cryomamba_gateway.access.auth import zarr_grant_path
from cryomamba_gateway.access.principal import Principal
from cryomamba_gateway.conditional import answer, not_modified
from cryomamba_gateway.context import Caller, Context, Gateway
from cryomamba_gateway.examples import BUS, errors, ok
from cryomamba_gateway.volumes.catalog import Images, Kind
from cryomamba_gateway.volumes.hierarchy import ChunkAddress, Version, chunk_address, documents
from cryomamba_gateway.volumes.input_ids import ID_MAX
from cryomamba_gateway.volumes.models import LinkLifetime, ZarrLink, zarr_urls
from cryomamba_gateway.volumes.reader import ClientGoneError
from cryomamba_server.audit import audit
from cryomamba_server.tokens import Scope

router = APIRouter(prefix="/v1", tags=["volumes"])

# nginx's status for a client that has closed its connection; nobody receives it.
GONE: Final = 499
IMMUTABLE: Final = "private, max-age=86400, immutable"
# A boolean of RFC 9651.
SAMPLED: Final = "CryoMamba-Sampled"
CHECKED: Final = "private, no-cache"

VolumeId = Annotated[
    str,
    PathParam(
        min_length=1,
        max_length=ID_MAX,
        pattern=r"^[0-9A-Za-z_-]+$",
        description="Id of an uploaded file or a job, or the `input_id` of a tomogram in an allowed input directory.",
    ),
]
Key = Annotated[
    str,
    PathParam(
        max_length=200,
        description="Key in the Zarr hierarchy, with slashes: a metadata document such as `zarr.json` or `0/.zarray`, "
        "or a chunk such as `0/c/1/2/3`.",
    ),
]
SAMPLED_HEADER: Final[dict[str, Any]] = {
    SAMPLED: {
        "description": "`?1` if this is made of a sample of the voxels, because the coarser levels of a large volume "
        "are still being made; ask again after some seconds.",
        "schema": {"type": "string"},
        "required": False,
    }
}
_CONTENT: Final[dict[str, Any]] = {
    "application/json": {"schema": {"type": "object"}},
    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
}
_HEADERS: Final[dict[str, Any]] = {
    "ETag": {"description": "Changes with the volume.", "schema": {"type": "string"}},
    "Accept-Ranges": {"description": "'bytes'.", "schema": {"type": "string"}},
    **SAMPLED_HEADER,
}
VOLUME: Final = (
    ErrorCode.NOT_FOUND,
    ErrorCode.PATH_FORBIDDEN,
    ErrorCode.VOLUME_NOT_FOUND,
    ErrorCode.VOLUME_UNREADABLE,
    ErrorCode.VOLUME_UNSUPPORTED,
    ErrorCode.VOLUME_CHANGED,
    *BUS,
)
_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: ok("A metadata document, or the bytes of a chunk", headers=_HEADERS, content=_CONTENT),
    206: ok("The requested range of it", headers=_HEADERS, content=_CONTENT),
    304: ok("It has not changed since the one in If-None-Match", headers=_HEADERS),
    **errors(ErrorCode.RANGE_NOT_SATISFIABLE, ErrorCode.PRECONDITION_FAILED, *VOLUME),
}


async def get_zarr(
    gateway: Context, caller: Caller, request: Request, version: Version, kind: Kind, volume_id: VolumeId, key: Key
) -> Response:
    """Read a tomogram and its masks as OME-Zarr 0.5 or 0.4: open the URL up to `.ome.zarr` with any Zarr reader.

    Coarser levels of a volume above 512 MiB are samples until they have been made, in the background. Masks are below
    `labels` once the job is completed. Tomograms in the allowed input directories can be read by those who may submit
    jobs.
    """
    if kind == "inputs":
        caller.require(Scope.WRITE)
    return await _send(gateway, caller, caller.visibility, request, version, kind, volume_id, key)


async def get_shared_zarr(
    gateway: Context,
    caller: Caller,
    request: Request,
    version: Version,
    grant: str,
    kind: Kind,
    volume_id: VolumeId,
    key: Key,
) -> Response:
    """Read a tomogram and its masks as OME-Zarr with a link, for viewers that send no token."""
    del grant
    # It was checked together with the tokens; its maker could see the volume.
    return await _send(gateway, caller, Visibility.everything(), request, version, kind, volume_id, key)


for _path, _endpoint, _name in (
    ("/zarr/{version}/{kind}/{volume_id}.ome.zarr/{key:path}", get_zarr, "Zarr"),
    ("/zarr/{version}/shared/{grant}/{kind}/{volume_id}.ome.zarr/{key:path}", get_shared_zarr, "SharedZarr"),
):
    router.add_api_route(_path, _endpoint, operation_id=f"get{_name}", response_class=Response, responses=_RESPONSES)


@router.post(
    "/files/{file_id}/zarr-link",
    operation_id="linkFileZarr",
    responses={200: ok("The link"), **errors(ErrorCode.BAD_REQUEST, ErrorCode.FORBIDDEN, *VOLUME)},
)
async def link_file(
    gateway: Context, caller: Caller, file_id: str, query: Annotated[LinkLifetime, Query()]
) -> ZarrLink:
    """Make a link to an uploaded tomogram as OME-Zarr that works for anybody until it expires."""
    return await _link(gateway, caller, "files", file_id, query.lifetime_s)


@router.post(
    "/inputs/{input_id}/zarr-link",
    operation_id="linkInputZarr",
    responses={200: ok("The link"), **errors(ErrorCode.BAD_REQUEST, ErrorCode.FORBIDDEN, *VOLUME)},
)
async def link_input(
    gateway: Context, caller: Caller, input_id: VolumeId, query: Annotated[LinkLifetime, Query()]
) -> ZarrLink:
    """Make a link to a tomogram in an allowed input directory as OME-Zarr that works for anybody until it expires.

    Whoever has the link can read the path of the file in it.
    """
    return await _link(gateway, caller, "inputs", input_id, query.lifetime_s)


@router.post(
    "/jobs/{job_id}/zarr-link",
    operation_id="linkJobZarr",
    responses={200: ok("The link"), **errors(ErrorCode.BAD_REQUEST, ErrorCode.FORBIDDEN, *VOLUME)},
)
async def link_job(
    gateway: Context, caller: Caller, job_id: JobId, query: Annotated[LinkLifetime, Query()]
) -> ZarrLink:
    """Make a link to a job's tomogram and masks as OME-Zarr that works for anybody until it expires."""
    return await _link(gateway, caller, "jobs", job_id, query.lifetime_s)


async def _link(gateway: Gateway, caller: Principal, kind: Kind, id_: str, lifetime_s: int) -> ZarrLink:
    await gateway.volumes.images(kind, id_, caller.visibility)
    grant, expires = gateway.signer.grant(zarr_grant_path(kind, id_), lifetime_s=lifetime_s)
    audit("zarr-link.create", kind=kind, id=id_, lifetime_s=lifetime_s)
    return ZarrLink(zarr=zarr_urls(kind, id_, grant), expires_at=datetime.fromtimestamp(expires, UTC))


async def _send(
    gateway: Gateway,
    caller: Principal,
    visibility: Visibility,
    request: Request,
    version: Version,
    kind: Kind,
    id_: str,
    key: str,
) -> Response:
    def address_in(found: Images) -> ChunkAddress | None:
        return chunk_address(key, found.images, version)

    try:
        found = await gateway.volumes.images(
            kind, id_, visibility, suffices=lambda known: address_in(known) is not None
        )
    except NotFoundError as error:
        raise _not_missing(error, key) from None
    address = address_in(found)
    if address is None:
        return _document(request, found, version, key)
    return await _chunk(gateway, caller, request, found, address)


def _document(request: Request, found: Images, version: Version, key: str) -> Response:
    listed = documents(found.images, version)
    if key not in listed:
        # The root is there even without a tomogram, so it is not what is missing.
        problem = next((one for path, one in found.problems.items() if path and key.startswith(f"{path}/")), None)
        raise problem or found.missing(key)
    if not found.known and found.problems:
        raise next(iter(found.problems.values()))
    content = orjson.dumps(listed[key])
    headers = {"Cache-Control": CHECKED, "ETag": f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'}
    return not_modified(request, headers) or answer(request, content, "application/json", headers)


async def _chunk(
    gateway: Gateway, caller: Principal, request: Request, found: Images, address: ChunkAddress
) -> Response:
    known = found.image(address.path)
    place = "-".join(map(str, (address.level, *address.position)))
    headers = {"Cache-Control": IMMUTABLE, "ETag": f'"{known.key}-{place}"'}
    unchanged = not_modified(request, headers)
    if unchanged is not None:
        return unchanged
    try:
        part = await gateway.reader.chunk(
            known, address.level, address.position, caller_name(caller, request), partial(is_gone, request)
        )
    except ClientGoneError:
        return Response(status_code=GONE)
    if part.sampled:
        headers = sampled_headers(headers["ETag"])
    return answer(request, part.content, "application/octet-stream", headers)


def sampled_headers(etag: str) -> dict[str, str]:
    """Return the headers of a part that is made of a sample; those of the final one have the given ETag."""
    return {"Cache-Control": "no-store", "ETag": f'{etag[:-1]}-sample"', SAMPLED: "?1"}


def caller_name(caller: Principal, request: Request) -> str:
    """Return who takes turns: a token or link, or on a gateway without tokens an address."""
    return caller.token_id or (request.client.host if request.client is not None else "")


async def is_gone(request: Request) -> bool:
    """Whether the client has closed its connection."""
    return await request.is_disconnected()


def _not_missing(error: NotFoundError, key: str) -> NotFoundError | VolumeError:
    """Return another error than 404 for a chunk: readers take that for a chunk of zeros, not for a deleted volume."""
    if not key[-1:].isdigit():
        return error
    return VolumeError(error.message, code=ErrorCode.VOLUME_NOT_FOUND, hint=error.hint)
