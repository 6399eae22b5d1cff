"""Uploads and uploaded files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Query
from fastapi import Path as PathParam
from pydantic import Field
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from cryomamba.errors import ErrorCode, InvalidRequestError, UnavailableError
from cryomamba.models.base import Request as Fields
from cryomamba.models.files import FileList, FileRecord, PartReceipt, Sha256, UploadRequest, UploadStatus
from cryomamba_gateway.access.principal import Principal
from cryomamba_gateway.context import Caller, Context, Gateway
from cryomamba_gateway.examples import FILE_LINKS, UPLOAD, UPLOAD_LINKS, errors, ok
from cryomamba_gateway.media_types import JSON_BODY, RAW_BODY
from cryomamba_server.audit import audit

router = APIRouter(prefix="/v1", tags=["uploads"])

_BEGIN: Final = (
    ErrorCode.BAD_REQUEST,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE,
    ErrorCode.FORBIDDEN,
    ErrorCode.TOO_LARGE,
    ErrorCode.RATE_LIMITED,
    ErrorCode.INSUFFICIENT_STORAGE,
)
_PART: Final = (
    ErrorCode.BAD_REQUEST,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE,
    ErrorCode.NOT_FOUND,
    ErrorCode.CONFLICT,
    ErrorCode.FORBIDDEN,
    ErrorCode.TOO_LARGE,
    ErrorCode.TIMEOUT,
    ErrorCode.INSUFFICIENT_STORAGE,
)
_COMPLETE: Final = (
    ErrorCode.NOT_FOUND,
    ErrorCode.CONFLICT,
    ErrorCode.CHECKSUM_MISMATCH,
    ErrorCode.FORBIDDEN,
    ErrorCode.VOLUME_UNREADABLE,
    ErrorCode.VOLUME_UNSUPPORTED,
    ErrorCode.INSUFFICIENT_STORAGE,
)
_RAW: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary", "minLength": 1}}},
    }
}


async def _body(request: Request) -> AsyncGenerator[bytes, None]:
    try:
        async for block in request.stream():
            yield block
    except ClientDisconnect:
        raise UnavailableError(
            "The upload was interrupted.", code=ErrorCode.TIMEOUT, hint="Send the part again."
        ) from None


class DigestQuery(Fields):
    """Expected checksum of a file that is sent in one request."""

    sha256: Sha256 | None = Field(None, description="SHA-256 of the whole file.")


class PutQuery(DigestQuery):
    """Name and expected checksum of a file that is sent in one request."""

    filename: str = Field(
        "volume.mrc", min_length=1, max_length=1024, description="Shown to people; directories are removed."
    )


# OpenAPI allows one template for a path, so the name is in the place of the id.
FileName = Annotated[
    str,
    PathParam(alias="file_id", min_length=1, max_length=1024, description="Shown to people; the response has the id."),
]


@router.post(
    "/uploads/init",
    operation_id="beginUpload",
    dependencies=JSON_BODY,
    status_code=201,
    responses={201: ok("The upload is ready for its parts", links=UPLOAD_LINKS), **errors(*_BEGIN)},
)
async def begin_upload(
    gateway: Context, caller: Caller, body: Annotated[UploadRequest, Body(openapi_examples=UPLOAD)]
) -> UploadStatus:
    """Start an upload. With `sha256`, resume the unfinished upload of the same file."""
    status = await gateway.uploads.begin(body, owner=caller.owner)
    urls = tuple(f"/v1/uploads/{status.upload_id}/part/{index}" for index in range(status.part_count))
    return status.model_copy(update={"chunk_urls": () if status.file else urls})


@router.put(
    "/uploads/{upload_id}/part/{index}",
    operation_id="putPart",
    openapi_extra=_RAW,
    dependencies=RAW_BODY,
    responses={200: ok("The part is stored"), **errors(*_PART)},
)
async def put_part(gateway: Context, caller: Caller, upload_id: str, index: int, request: Request) -> PartReceipt:
    """Send a part as the raw body. Parts may be sent in any order, in parallel, and repeatedly."""
    async with aclosing(_body(request)) as body:
        return await gateway.uploads.receive(upload_id, index, body, caller.visibility)


@router.get(
    "/uploads/{upload_id}",
    operation_id="getUpload",
    responses={200: ok("The status of the upload"), **errors(ErrorCode.NOT_FOUND)},
)
async def get_upload(gateway: Context, caller: Caller, upload_id: str) -> UploadStatus:
    """Return which parts have been received, so that a client sends only the others."""
    return await gateway.uploads.status(upload_id, caller.visibility)


@router.delete(
    "/uploads/{upload_id}",
    operation_id="abortUpload",
    status_code=204,
    response_class=Response,
    responses={204: ok("It is removed"), **errors(ErrorCode.NOT_FOUND, ErrorCode.FORBIDDEN)},
)
async def abort_upload(gateway: Context, caller: Caller, upload_id: str) -> Response:
    """Remove an unfinished upload."""
    await gateway.uploads.abort(upload_id, caller.visibility)
    return Response(status_code=204)


@router.post(
    "/uploads/{upload_id}/complete",
    operation_id="completeUpload",
    responses={200: ok("The file", links=FILE_LINKS), **errors(*_COMPLETE)},
)
async def complete_upload(gateway: Context, caller: Caller, upload_id: str) -> FileRecord:
    """Assemble the file: verify its checksums and open it as a volume. Repeating it returns the same file."""
    return _uploaded(await gateway.uploads.complete(upload_id, caller.visibility))


def _uploaded(record: FileRecord) -> FileRecord:
    audit("file.upload", file_id=record.file_id, file_name=record.filename, bytes=record.size_bytes)
    return record


@router.put(
    "/files",
    operation_id="putFile",
    status_code=201,
    openapi_extra=_RAW,
    dependencies=RAW_BODY,
    responses={201: ok("The file", links=FILE_LINKS), **errors(*_BEGIN, *_PART, *_COMPLETE)},
)
async def put_file(
    gateway: Context, caller: Caller, query: Annotated[PutQuery, Query()], request: Request
) -> FileRecord:
    """Send a whole file in one request. With `sha256`, an interrupted request leaves an upload that can be resumed."""
    return await _receive_whole(gateway, caller, query.filename, query.sha256, request)


@router.put(
    "/files/{file_id}",
    operation_id="putNamedFile",
    status_code=201,
    openapi_extra=_RAW,
    dependencies=RAW_BODY,
    responses={201: ok("The file"), **errors(*_BEGIN, *_PART, *_COMPLETE)},
)
async def put_named_file(
    gateway: Context, caller: Caller, filename: FileName, query: Annotated[DigestQuery, Query()], request: Request
) -> FileRecord:
    """Send a whole file in one request under its name, as ``curl -T FILE http://HOST/v1/files/`` does."""
    return await _receive_whole(gateway, caller, filename, query.sha256, request)


async def _receive_whole(
    gateway: Gateway, caller: Principal, filename: str, sha256: str | None, request: Request
) -> FileRecord:
    size = request.headers.get("content-length", "")
    if not size.isascii() or not size.isdigit() or len(size) > 18 or int(size) == 0:
        raise InvalidRequestError(
            "The request has no valid 'Content-Length'.", hint="Send the file's size in it; 'curl -T FILE' does."
        )
    upload = UploadRequest(filename=filename, total_size_bytes=int(size), sha256=sha256)
    # Without a checksum an interrupted upload could not be found again: then the file is a single part.
    status = await gateway.uploads.begin(upload, owner=caller.owner, whole=sha256 is None)
    async with aclosing(_body(request)) as body:
        if status.file is not None:
            async for _ in body:
                pass
            return status.file
        try:
            await gateway.uploads.receive_whole(status, body, caller.visibility)
            return _uploaded(await gateway.uploads.complete(status.upload_id, caller.visibility))
        except BaseException as error:
            interrupted = isinstance(error, UnavailableError | asyncio.CancelledError)
            if sha256 is None or not interrupted:
                await gateway.uploads.discard(status.upload_id)
            raise


@router.get("/files", operation_id="listFiles", responses={200: ok("The files"), **errors()})
async def list_files(gateway: Context, caller: Caller) -> FileList:
    """List the uploaded files, newest first."""
    return FileList(files=tuple(await gateway.uploads.files(caller.visibility)))


@router.delete(
    "/files/{file_id}",
    operation_id="deleteFile",
    status_code=204,
    response_class=Response,
    responses={204: ok("It is removed"), **errors(ErrorCode.NOT_FOUND, ErrorCode.FORBIDDEN)},
)
async def delete_file(gateway: Context, caller: Caller, file_id: str) -> Response:
    """Remove an uploaded file; pending jobs that use it will fail."""
    await gateway.uploads.delete(file_id, caller.visibility)
    audit("file.delete", file_id=file_id)
    return Response(status_code=204)
