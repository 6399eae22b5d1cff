"""Volumes: what they are, the uploaded file itself, and slices as images."""

from __future__ import annotations

import asyncio
import hashlib
import os
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from fastapi import Path as PathParam
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cryomamba.errors import ConflictError, CryoMambaError, ErrorCode, InvalidRequestError, VolumeError
from cryomamba.models.jobs import JobId
from cryomamba.volumes import FileVersion
from cryomamba_gateway.access.principal import Principal
from cryomamba_gateway.conditional import not_modified
from cryomamba_gateway.context import Caller, Context, Gateway
from cryomamba_gateway.examples import errors, ok
from cryomamba_gateway.routers.artifacts import OCTETS, LocalFile, open_regular
from cryomamba_gateway.routers.artifacts import RESPONSES as FILE_RESPONSES
from cryomamba_gateway.routers.zarr import (
    CHECKED,
    GONE,
    IMMUTABLE,
    SAMPLED_HEADER,
    VOLUME,
    caller_name,
    is_gone,
    sampled_headers,
)
from cryomamba_gateway.volumes.catalog import TOMOGRAM, Images, Kind, artifact_path, input_source
from cryomamba_gateway.volumes.input_ids import ID_MAX, input_path
from cryomamba_gateway.volumes.models import (
    FileOut,
    InputOut,
    JobVolumes,
    SliceQuery,
    UnreadableVolume,
    VolumeOut,
    volume_out,
    zarr_urls,
)
from cryomamba_gateway.volumes.reader import ClientGoneError, KnownImage
from cryomamba_gateway.volumes.sections import SectionQuery
from cryomamba_server.tokens import Scope
from cryomamba_server.uploaded_files import no_such_file, uploaded_volume

router = APIRouter(prefix="/v1", tags=["volumes"])

MAIN: Final = "tomogram"
VolumeName = Annotated[
    str,
    PathParam(
        min_length=1,
        max_length=128,
        description="`tomogram`, or the name of an output file such as `mask.mrc`.",
        examples=[MAIN, "mask.mrc"],
    ),
]
_PNG: Final[dict[str, Any]] = {"image/png": {"schema": {"type": "string", "format": "binary"}}}
_ETAG: Final[dict[str, Any]] = {
    "ETag": {"description": "Changes with the volume and the query.", "schema": {"type": "string"}}
}
_SLICE: Final[dict[int | str, dict[str, Any]]] = {
    200: ok("The slice", headers={**_ETAG, **SAMPLED_HEADER}, content=_PNG),
    304: ok("It has not changed since the one in If-None-Match", headers=_ETAG),
    **errors(ErrorCode.BAD_REQUEST, ErrorCode.INVALID_PARAMETERS, ErrorCode.PRECONDITION_FAILED, *VOLUME),
}


_CONTENT: Final[dict[int | str, dict[str, Any]]] = {
    **FILE_RESPONSES,
    200: ok("The file", headers=_ETAG, content=OCTETS),
    206: ok("The requested range of the file", headers=_ETAG, content=OCTETS),
    **errors(ErrorCode.RANGE_NOT_SATISFIABLE, ErrorCode.PRECONDITION_FAILED, *VOLUME),
}
InputId = Annotated[
    str,
    PathParam(
        min_length=1,
        max_length=ID_MAX,
        pattern=r"^[0-9A-Za-z_-]+$",
        description="The `input_id` of a tomogram in the list of the allowed input directories.",
    ),
]


async def get_file(gateway: Context, caller: Caller, file_id: str) -> FileOut:
    """Describe an uploaded file: its header, levels, contrast, and where to read all or part of it."""
    record = await gateway.uploads.file(file_id, caller.visibility)
    found = await gateway.volumes.images("files", file_id, caller.visibility)
    base = f"/v1/files/{file_id}"
    problem = found.problems.get(TOMOGRAM)
    volume = None if problem else await _describe(gateway, found, TOMOGRAM, f"{base}/slice")
    return FileOut(
        **dict(record),
        url=f"{base}/content",
        zarr=zarr_urls("files", file_id),
        volume=volume,
        problem=str(problem or ""),
    )


async def get_file_content(gateway: Context, caller: Caller, request: Request, file_id: str) -> Response:
    """Download an uploaded file; Range and If-Range resume an interrupted download."""
    record = await gateway.uploads.file(file_id, caller.visibility)
    headers = {"ETag": f'"{record.sha256}"', "Cache-Control": IMMUTABLE}
    unchanged = not_modified(request, headers)
    if unchanged is not None:
        return unchanged
    folder = gateway.settings.uploads
    path = await asyncio.to_thread(uploaded_volume, folder, file_id)
    opened = await asyncio.to_thread(open_regular, path, (folder,), size=record.size_bytes)
    if opened is None:
        raise no_such_file(file_id)
    return LocalFile(opened, path, headers=headers, media_type="application/octet-stream", filename=record.filename)


async def get_file_slice(
    gateway: Context, caller: Caller, request: Request, file_id: str, query: Annotated[SliceQuery, Query()]
) -> Response:
    """Return a slice of an uploaded tomogram as an image."""
    return await _slice(gateway, caller, request, "files", file_id, TOMOGRAM, query)


async def get_input(gateway: Context, caller: Caller, input_id: InputId) -> InputOut:
    """Describe a tomogram in an allowed input directory: levels, contrast, and where to read all or part of it."""
    caller.require(Scope.WRITE)
    found = await gateway.volumes.images("inputs", input_id, caller.visibility)
    base = f"/v1/inputs/{input_id}"
    problem = found.problems.get(TOMOGRAM)
    return InputOut(
        input_id=input_id,
        path=input_path(input_id),
        url=f"{base}/content",
        zarr=zarr_urls("inputs", input_id),
        volume=None if problem else await _describe(gateway, found, TOMOGRAM, f"{base}/slice"),
        problem=str(problem or ""),
    )


async def get_input_content(gateway: Context, caller: Caller, request: Request, input_id: InputId) -> Response:
    """Download a tomogram in an allowed input directory; Range and If-Range resume an interrupted download."""
    caller.require(Scope.WRITE)
    settings = gateway.settings
    source = await asyncio.to_thread(input_source, settings, input_id)
    opened = await asyncio.to_thread(open_regular, source.path, source.roots, closed=source.closed)
    if opened is None:
        raise VolumeError("The file cannot be read.", hint="List its folder again, with GET /v1/inputs.")
    version = await asyncio.to_thread(FileVersion.of, opened)
    etag = hashlib.blake2b(version.to_text().encode(), digest_size=12).hexdigest()
    headers = {"ETag": f'"{etag}"', "Cache-Control": CHECKED}
    try:
        unchanged = not_modified(request, headers)
    except ConflictError:
        os.close(opened)
        raise
    if unchanged is not None:
        os.close(opened)
        return unchanged
    return LocalFile(
        opened, source.path, headers=headers, media_type="application/octet-stream", filename=source.path.name
    )


async def get_input_slice(
    gateway: Context, caller: Caller, request: Request, input_id: InputId, query: Annotated[SliceQuery, Query()]
) -> Response:
    """Return a slice of a tomogram in an allowed input directory as an image."""
    caller.require(Scope.WRITE)
    return await _slice(gateway, caller, request, "inputs", input_id, TOMOGRAM, query)


async def get_job_volumes(gateway: Context, caller: Caller, job_id: JobId) -> JobVolumes:
    """Describe the tomogram and the finished masks of a job, and where to read all or part of them."""
    found = await gateway.volumes.images("jobs", job_id, caller.visibility)
    described = [
        await _describe(gateway, found, path, f"/v1/jobs/{job_id}/volumes/{_name(path)}/slice") for path in found.known
    ]
    unreadable = [UnreadableVolume(zarr_path=path, problem=str(error)) for path, error in found.problems.items()]
    return JobVolumes(
        job_id=job_id,
        zarr=zarr_urls("jobs", job_id),
        volumes=tuple(described),
        unreadable=tuple(unreadable),
        hint=found.hint,
    )


async def get_job_slice(
    gateway: Context,
    caller: Caller,
    request: Request,
    job_id: JobId,
    name: VolumeName,
    query: Annotated[SliceQuery, Query()],
) -> Response:
    """Return a slice of a job's tomogram in grey, or of a mask in colours on a transparent background."""
    path = TOMOGRAM if name == MAIN else artifact_path(name)
    return await _slice(gateway, caller, request, "jobs", job_id, path, query)


for _path, _endpoint, _id, _responses in (
    ("/files/{file_id}", get_file, "File", {200: ok("The file"), **errors(*VOLUME)}),
    ("/files/{file_id}/content", get_file_content, "FileContent", _CONTENT),
    ("/files/{file_id}/slice", get_file_slice, "FileSlice", _SLICE),
    ("/inputs/{input_id}", get_input, "Input", {200: ok("The tomogram"), **errors(*VOLUME)}),
    ("/inputs/{input_id}/content", get_input_content, "InputContent", _CONTENT),
    ("/inputs/{input_id}/slice", get_input_slice, "InputSlice", _SLICE),
    ("/jobs/{job_id}/volumes", get_job_volumes, "JobVolumes", {200: ok("The volumes"), **errors(*VOLUME)}),
    ("/jobs/{job_id}/volumes/{name}/slice", get_job_slice, "JobSlice", _SLICE),
):
    router.add_api_route(
        _path,
        _endpoint,
        operation_id=f"get{_id}",
        responses=_responses,
        response_class=JSONResponse if _endpoint in (get_file, get_input, get_job_volumes) else Response,
    )


def _name(path: str) -> str:
    return MAIN if path == TOMOGRAM else f"{path.rpartition('/')[2]}.mrc"


async def _describe(gateway: Gateway, found: Images, path: str, slice_url: str) -> VolumeOut:
    known = found.image(path)
    limits: tuple[float, float] | None = None
    try:
        limits = await gateway.reader.contrast_limits(known)
    except CryoMambaError as error:
        # The header was read a moment ago; the volume is described without what its voxels would say.
        if error.code is not ErrorCode.VOLUME_CHANGED:
            raise
    return volume_out(known, path, slice_url, limits)


async def _slice(
    gateway: Gateway, caller: Principal, request: Request, kind: Kind, id_: str, path: str, query: SliceQuery
) -> Response:
    found = await gateway.volumes.images(kind, id_, caller.visibility, suffices=lambda recent: path in recent.known)
    known = found.image(path)
    asked = hashlib.blake2b(f"{known.key} {query!r}".encode(), digest_size=12).hexdigest()
    headers = {"Cache-Control": IMMUTABLE, "ETag": f'"{asked}"'}
    unchanged = not_modified(request, headers)
    if unchanged is not None:
        return unchanged
    try:
        limits = await _limits(gateway, known, query)
        wanted = SectionQuery(query.axis, query.index, query.thickness, query.size)
        part = await gateway.reader.section(
            known, wanted, limits, caller_name(caller, request), partial(is_gone, request)
        )
    except ClientGoneError:
        return Response(status_code=GONE)
    if part.sampled:
        headers = sampled_headers(headers["ETag"])
    return Response(part.content, headers=headers, media_type="image/png")


async def _limits(gateway: Gateway, known: KnownImage, query: SliceQuery) -> tuple[float, float] | None:
    if known.image.labels:
        return None
    low, high = query.low, query.high
    if low is None or high is None:
        found = await gateway.reader.contrast_limits(known) or (0.0, 1.0)
        low, high = found[0] if low is None else low, found[1] if high is None else high
    if not low < high:
        raise InvalidRequestError(
            f"The contrast limits are empty: from {low:g} to {high:g}.",
            code=ErrorCode.INVALID_PARAMETERS,
            hint="Give a 'high' that is above 'low'.",
        )
    return low, high
