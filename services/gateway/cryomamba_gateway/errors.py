"""The error envelope: the body of every response with a status of 400 or above, whoever raised the error."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path

from cryomamba.errors import (
    AccessError,
    CryoMambaError,
    ErrorCode,
    InternalError,
    InvalidRequestError,
    NotFoundError,
    UnavailableError,
)
from cryomamba.field_problems import field_problem
from cryomamba.system_errors import system_error

RETRY_AFTER_S: Final = 2
REQUEST_ID: Final = "cryomamba.request_id"
_FIELDS_MAX: Final = 20

logger = logging.getLogger(__name__)

STATUS: Final[dict[ErrorCode, int]] = {
    ErrorCode.BAD_REQUEST: 400,
    ErrorCode.INVALID_PARAMETERS: 422,
    ErrorCode.UNKNOWN_ENGINE: 422,
    ErrorCode.ENGINE_UNAVAILABLE: 422,
    ErrorCode.UNKNOWN_MODEL: 422,
    ErrorCode.MODEL_CHANGED: 422,
    ErrorCode.LICENCE_NOT_ACCEPTED: 422,
    ErrorCode.PATH_FORBIDDEN: 403,
    ErrorCode.URL_FORBIDDEN: 422,
    ErrorCode.TOO_LARGE: 413,
    ErrorCode.VOLUME_NOT_FOUND: 422,
    ErrorCode.VOLUME_UNREADABLE: 422,
    ErrorCode.VOLUME_UNSUPPORTED: 422,
    ErrorCode.VOLUME_NOT_FINITE: 422,
    ErrorCode.VOLUME_CHANGED: 422,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.METHOD_NOT_ALLOWED: 405,
    ErrorCode.RANGE_NOT_SATISFIABLE: 416,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: 415,
    ErrorCode.PRECONDITION_FAILED: 412,
    ErrorCode.CONFLICT: 409,
    ErrorCode.JOB_FINAL: 409,
    ErrorCode.STALE_ATTEMPT: 409,
    ErrorCode.CHECKSUM_MISMATCH: 409,
    ErrorCode.UNAUTHORIZED: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.UNAVAILABLE: 503,
    ErrorCode.NO_WORKER: 503,
    ErrorCode.TIMEOUT: 504,
    ErrorCode.INSUFFICIENT_STORAGE: 507,
    ErrorCode.STORE_DAMAGED: 503,
    ErrorCode.PROTOCOL: 502,
    ErrorCode.ENGINE_FAILED: 500,
    ErrorCode.OUT_OF_MEMORY: 500,
    ErrorCode.WORKER_LOST: 500,
    ErrorCode.CANCELLED: 409,
    ErrorCode.INTERNAL: 500,
}


class ErrorBody(BaseModel):
    """The body of every response with a status of 400 or above."""

    code: ErrorCode = Field(description="The kind of error, from a closed list.")
    message: str = Field(description="A sentence for people.")
    hint: str = Field(description="Suggested next step.")
    retryable: bool = Field(description="Whether the same request may succeed later.")
    details: dict[str, Any] = Field(description="Facts for programs.")
    request_id: str = Field(description="The X-Request-ID of the response, to find it in the logs.")


def request_id(scope: Any) -> str:  # noqa: ANN401 (an ASGI scope)
    """Return the id that the middleware assigned to a request."""
    return str(scope.get(REQUEST_ID, ""))


def error_body(error: CryoMambaError, *, request: str) -> ErrorBody:
    """Return the envelope of an error; text that cannot be encoded as UTF-8 is replaced."""
    fields = _sendable(error.payload())
    return ErrorBody(**fields, request_id=request)


def envelope(scope: Any, error: CryoMambaError, headers: dict[str, str] | None = None) -> Response:  # noqa: ANN401
    """Return the response to a request that ended with an error."""
    own = {**(headers or {}), "X-Request-ID": request_id(scope), "Cache-Control": "no-store"}
    status = STATUS[error.code]
    if status in {429, 503} and error.retryable:
        own.setdefault("Retry-After", str(RETRY_AFTER_S))
    body = error_body(error, request=own["X-Request-ID"]).model_dump_json()
    return Response(body, status, own, media_type="application/json")


def _sendable(value: Any) -> Any:  # noqa: ANN401 (any JSON value)
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_sendable(str(key)): _sendable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_sendable(item) for item in value]
    return value


def of_status(status: int) -> CryoMambaError:
    """Return the error for a status that the framework raises without one."""
    match status:
        case 404:
            return NotFoundError("There is no such route.", hint="The routes are listed in /openapi.json.")
        case 405:
            return InvalidRequestError(
                "This route does not accept this method.",
                code=ErrorCode.METHOD_NOT_ALLOWED,
                hint="The header 'Allow' lists the accepted methods.",
            )
        case 413:
            return InvalidRequestError(
                "The body of the request is too large.",
                code=ErrorCode.TOO_LARGE,
                hint="A JSON body may have 1 MiB; upload volumes with PUT /v1/files.",
            )
        case 416:
            return InvalidRequestError(
                "The requested range is beyond the end of the file.",
                code=ErrorCode.RANGE_NOT_SATISFIABLE,
                hint="The header 'Content-Range' has the file's size.",
            )
        case 401 | 403:
            return AccessError("This is not allowed.", hint="Use a token that may do this.")
        case 503:
            return UnavailableError("The gateway is too busy.", hint="Try again in a moment.")
        case _ if status < 500:
            return InvalidRequestError("The request is malformed.", hint="Send well-formed JSON in UTF-8.")
        case _:
            return defect()


def defect() -> InternalError:
    """Return the error for an unexpected exception; it reveals nothing else to the client."""
    return InternalError(
        "The gateway failed because of a defect.",
        hint="Please report it with the request id; the gateway's log has details under that id.",
    )


def invalid_request(error: RequestValidationError) -> CryoMambaError:
    """Return the error for invalid fields, all of them in the details; an impossible id is not found."""
    found = error.errors()
    if found and all(item["loc"][:1] == ("path",) for item in found):
        return NotFoundError("There is nothing with this id.", hint="Use an id from the listing or the job record.")
    if any(item["type"] == "json_invalid" for item in found):
        return InvalidRequestError("The body is not JSON.", hint="Send a JSON object in UTF-8, or no body.")
    problems = [
        {
            "field": ".".join(str(part) for part in item["loc"][1:]) or str(item["loc"][0]),
            "problem": field_problem(item),
        }
        for item in found[:_FIELDS_MAX]
    ]
    return InvalidRequestError(
        f"{_named(found[0]['loc'])} is not valid: {problems[0]['problem']}.",
        hint="Correct the fields named in the details; /openapi.json describes them.",
        details={"fields": problems},
    )


def _named(location: tuple[int | str, ...]) -> str:
    """Return where in a request a value is, for people."""
    kind, name = str(location[0]), ".".join(str(part) for part in location[1:])[:100]
    match kind:
        case "header":
            return f"The header '{'-'.join(part.capitalize() for part in name.split('-'))}'"
        case "query":
            return f"The query parameter '{name}'"
        case _:
            return f"The field '{name}' of the body" if name else "The body"


def allowed_methods(paths: Mapping[str, Iterable[str]], path: str) -> str:
    """Return the methods of all routes with this path; the framework's own answer names those of one route.

    Parameters
    ----------
    paths : mapping
        Methods of each path template, as in the OpenAPI document. The job routes are also served without ``/v1``.
    path : str
        Of the templates that match it, those with the fewest parameters count.
    """
    versioned = path if path.startswith("/v1/") else f"/v1{path}"
    matching = [template for template in paths if _pattern(template).match(versioned)]
    fewest = min((template.count("{") for template in matching), default=0)
    templates = [template for template in matching if template.count("{") == fewest]
    return ", ".join(sorted({method.upper() for template in templates for method in paths[template]}))


@cache
def _pattern(template: str) -> re.Pattern[str]:
    return compile_path(template)[0]


def install(app: FastAPI) -> None:
    """Send every error as the envelope."""

    async def known(request: Request, error: Any) -> Response:  # noqa: ANN401 (a CryoMambaError)
        return envelope(request.scope, error)

    async def invalid(request: Request, error: Any) -> Response:  # noqa: ANN401 (a RequestValidationError)
        return envelope(request.scope, invalid_request(error))

    async def framework(request: Request, error: Any) -> Response:  # noqa: ANN401 (an HTTPException)
        headers = dict(error.headers or {})
        if error.status_code == 405:
            own = ", ".join(sorted(headers["Allow"].split(", ")))
            headers["Allow"] = allowed_methods(app.openapi()["paths"], request.url.path) or own
        return envelope(request.scope, of_status(error.status_code), headers)

    async def of_the_system(request: Request, error: Any) -> Response:  # noqa: ANN401 (an OSError)
        typed = system_error(error)
        if typed is None:
            raise error
        return envelope(request.scope, typed)

    async def unexpected(request: Request, _error: Exception) -> Response:
        return envelope(request.scope, defect())

    app.add_exception_handler(CryoMambaError, known)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, framework)
    app.add_exception_handler(OSError, of_the_system)
    app.add_exception_handler(Exception, unexpected)
