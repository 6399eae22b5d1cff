"""Output files of jobs: from this machine's disk if they are there, or else over the bus."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse

from cryomamba.access.visibility import Visibility
from cryomamba.client import calls
from cryomamba.errors import CryoMambaError, ErrorCode, NotFoundError
from cryomamba.models.jobs import Artifact, JobId, JobRecord
from cryomamba.volumes.allowed_paths import verify_opened
from cryomamba_gateway.conditional import not_modified
from cryomamba_gateway.context import Caller, Context, Gateway
from cryomamba_gateway.download_names import attachment, download_name
from cryomamba_gateway.examples import BUS, errors, ok
from cryomamba_gateway.routers.jobs import JOB
from cryomamba_server.audit import audit_download

router = APIRouter(tags=["artifacts"])

_RANGE: Final = re.compile(
    r"bytes=\s*(\d{1,19}-(\d{1,19})?|-\d{1,19})(\s*,\s*(\d{1,19}-(\d{1,19})?|-\d{1,19}))*\s*", re.IGNORECASE
)
OCTETS: Final[dict[str, Any]] = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
# What it is: in the job's record, and in the header Content-Type. Generators take the first.
_BYTES: Final[dict[str, Any]] = {**OCTETS, "*/*": {"schema": {"type": "string", "format": "binary"}}}
_HEADERS: Final[dict[str, Any]] = {
    "ETag": {"description": "The file's SHA-256.", "schema": {"type": "string"}},
    "Accept-Ranges": {"description": "'bytes' if Range is supported.", "schema": {"type": "string"}},
}
RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: ok("The file", headers=_HEADERS, content=_BYTES),
    206: ok("The requested range of the file", headers=_HEADERS, content=_BYTES),
    304: ok("It has not changed since the one in If-None-Match", headers=_HEADERS),
    **errors(ErrorCode.RANGE_NOT_SATISFIABLE, ErrorCode.PRECONDITION_FAILED, *JOB, *BUS),
}


class LocalFile(FileResponse):
    """A file on this machine's disk. An invalid Range header is ignored, as HTTP demands.

    Parameters
    ----------
    opened : int
        Descriptor of the file; it is closed at the end. Exactly this file is sent, whatever is at its path by then;
        only on systems without ``/proc`` the path is opened again.
    path : Path
    more
        As for starlette's response.
    """

    chunk_size = 256 * 1024

    def __init__(self, opened: int, path: Path, **more: Any) -> None:  # noqa: ANN401 (starlette's)
        named = Path("/proc/self/fd") / str(opened)
        super().__init__(named if named.exists() else path, stat_result=os.fstat(opened), **more)
        self._opened = opened

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 (ASGI)
        """Send the file."""
        headers = MutableHeaders(scope=scope)
        if "range" in headers and not _RANGE.fullmatch(headers["range"]):
            del headers["range"]
        try:
            await super().__call__(scope, receive, send)
        finally:
            os.close(self._opened)


@router.get("/jobs/{job_id}/artifacts/{name}", operation_id="getArtifact", response_class=Response, responses=RESPONSES)
async def get_artifact(gateway: Context, caller: Caller, request: Request, job_id: JobId, name: str) -> Response:
    """Download an output file; Range and If-Range resume an interrupted download, If-None-Match and If-Match hold."""
    return await send_artifact(gateway, request, job_id, name, caller.visibility)


async def send_artifact(gateway: Gateway, request: Request, job_id: str, name: str, visibility: Visibility) -> Response:
    """Send an output file of a visible job."""
    record = await gateway.bus.call(visibility, calls.get_job(job_id))
    artifact = find_artifact(record, name)
    headers = {"ETag": f'"{artifact.sha256}"'} if artifact.sha256 else {}
    unchanged = not_modified(request, headers)
    if unchanged is not None:
        return unchanged
    saved_as = download_name(record, artifact.name)
    path = gateway.settings.artifacts / job_id / artifact.name
    if request.method == "GET":
        from_start = _is_from_start(request.headers.get("range"))
        audit_download(from_start=from_start, job_id=job_id, artifact=artifact.name, bytes=artifact.size_bytes)
    opened = await asyncio.to_thread(open_regular, path, (gateway.settings.artifacts,), size=artifact.size_bytes)
    if opened is not None:
        return LocalFile(opened, path, headers=headers, media_type=artifact.media_type, filename=saved_as)
    if request.method == "HEAD":
        return Response(headers=_bus_headers(artifact, saved_as, headers), media_type=artifact.media_type)
    chunks = gateway.bus.transport(visibility).artifact(job_id, artifact.name)
    return await _send_from_bus(chunks, artifact, _bus_headers(artifact, saved_as, headers))


def _is_from_start(range_: str | None) -> bool:
    """Return whether an answer to a Range begins with the file's first byte; a Range that is not valid is ignored."""
    return range_ is None or not _RANGE.fullmatch(range_) or bool(re.match(r"bytes=\s*0+-", range_, re.IGNORECASE))


def find_artifact(record: JobRecord, name: str) -> Artifact:
    """Return the record of an output file.

    Raises
    ------
    NotFoundError
        The job has none of this name.
    """
    artifact = next((found for found in record.artifacts if found.name == name), None)
    if artifact is None:
        listed = ", ".join(found.name for found in record.artifacts) or "none yet"
        raise NotFoundError("The job has no file with this name.", hint=f"Its files: {listed}.")
    return artifact


def open_regular(
    path: Path, roots: Sequence[Path], *, closed: Sequence[Path] = (), size: int | None = None
) -> int | None:
    """Open a file if it is a regular one (no link) in the folders and has the recorded size; otherwise return None."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        opened = os.open(path, flags)
    except OSError:
        return None
    try:
        verify_opened(opened, path, roots, closed=closed)
        if size is None or os.fstat(opened).st_size == size:
            return opened
    except (CryoMambaError, OSError):
        pass
    os.close(opened)
    return None


def _bus_headers(artifact: Artifact, saved_as: str, headers: dict[str, str]) -> dict[str, str]:
    return headers | {
        "Accept-Ranges": "none",
        "Content-Length": str(artifact.size_bytes),
        "Content-Disposition": attachment(saved_as),
    }


async def _send_from_bus(chunks: AsyncGenerator[bytes, None], artifact: Artifact, headers: dict[str, str]) -> Response:
    # Requested before the response starts, so that a missing file is a 404 and not a broken download.
    first = await anext(chunks, b"")

    async def content() -> AsyncIterator[bytes]:
        async with contextlib.aclosing(chunks):
            yield first
            async for chunk in chunks:
                yield chunk

    return StreamingResponse(content(), headers=headers, media_type=artifact.media_type)
