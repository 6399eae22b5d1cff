"""All errors of CryoMamba, and how they cross process boundaries.

The tree::

    CryoMambaError
    ├── InvalidRequestError   the request is invalid; repeating it cannot help
    │   └── VolumeError       the volume is missing, truncated, unsupported, not finite or was changed
    ├── NotFoundError         no such job, artifact or route
    ├── ConflictError         the current state of the job or file does not allow this
    ├── AccessError           not authenticated, not permitted, or too many requests
    ├── UnavailableError      a service is down, slow or full; the same call may succeed later
    ├── ProtocolError         a message does not follow the bus protocol
    ├── JobFailedError        the job failed or was cancelled
    └── InternalError         a bug in CryoMamba

An error has a ``code`` (from a closed list), a ``message`` (a sentence), a ``hint`` (what to do), ``retryable`` and
``details``. The same five fields are sent over the bus, HTTP and WebSocket, so all clients get the same error.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar, Self

from cryomamba.printable import file_text


class ErrorCode(StrEnum):
    """The closed list of error codes, part of the API's contract; each with a `description` of when it occurs."""

    description: str

    def __new__(cls, value: str, description: str = "") -> Self:
        """Make a member whose value is the code alone."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.description = description
        return member

    BAD_REQUEST = "bad_request", "The request is malformed, or a field has an invalid value."
    INVALID_PARAMETERS = (
        "invalid_parameters",
        "An engine parameter is unknown, of the wrong type, or out of range, or the mask is on another grid.",
    )
    UNKNOWN_ENGINE = "unknown_engine", "The server has no engine of this name."
    ENGINE_UNAVAILABLE = "engine_unavailable", "The engine is known but cannot run: a package is missing."
    UNKNOWN_MODEL = "unknown_model", "No worker has a trained model of this name for this engine."
    MODEL_CHANGED = "model_changed", "The trained model was replaced after the job was submitted."
    LICENCE_NOT_ACCEPTED = "licence_not_accepted", "Nobody has accepted the licence of the trained model yet."
    PATH_FORBIDDEN = "path_forbidden", "The path is outside the allowed input directories."
    URL_FORBIDDEN = "url_forbidden", "The server sends no webhooks to this URL."
    TOO_LARGE = "too_large", "The body, a header or the parameters are larger than allowed."
    VOLUME_NOT_FOUND = "volume_not_found", "There is no such file."
    VOLUME_UNREADABLE = "volume_unreadable", "The file is not an MRC file, is truncated, or has an inconsistent header."
    VOLUME_UNSUPPORTED = "volume_unsupported", "The file is an MRC file of an unsupported kind, such as a complex one."
    VOLUME_NOT_FINITE = "volume_not_finite", "Voxels are NaN or infinite."
    VOLUME_CHANGED = "volume_changed", "The file was changed after the job was submitted, or while it was read."
    NOT_FOUND = "not_found", "There is no such job, file, preview or route."
    METHOD_NOT_ALLOWED = "method_not_allowed", "The route exists but does not accept this method."
    RANGE_NOT_SATISFIABLE = "range_not_satisfiable", "The requested range is beyond the end of the file."
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type", "The body has a media type or encoding that is not accepted."
    PRECONDITION_FAILED = "precondition_failed", "The file or record is not the one that the header If-Match names."
    CONFLICT = "conflict", "The current state does not allow this, or the idempotency key belongs to another request."
    JOB_FINAL = "job_final", "The job has already ended."
    STALE_ATTEMPT = "stale_attempt", "A worker reports an attempt that has been given to another worker."
    CHECKSUM_MISMATCH = "checksum_mismatch", "A file was damaged in transfer."
    UNAUTHORIZED = "unauthorized", "The request has no valid token or key."
    FORBIDDEN = "forbidden", "The caller, or the web page that sent the request, is not allowed to do this."
    RATE_LIMITED = "rate_limited", "There are too many requests or connections."
    UNAVAILABLE = "unavailable", "A service cannot be reached."
    NO_WORKER = "no_worker", "No inference service is connected."
    TIMEOUT = "timeout", "A service or client did not answer in time."
    INSUFFICIENT_STORAGE = "insufficient_storage", "The server's disk is full."
    STORE_DAMAGED = "store_damaged", "The server's job store is damaged; whoever runs it must restore a backup."
    PROTOCOL = "protocol", "The other side uses another protocol or version."
    ENGINE_FAILED = "engine_failed", "The engine failed."
    OUT_OF_MEMORY = "out_of_memory", "The engine, or the command, needed more memory than available."
    WORKER_LOST = "worker_lost", "The worker crashed or stopped responding in each of the allowed attempts."
    CANCELLED = "cancelled", "The job was cancelled."
    INTERNAL = "internal", "CryoMamba has a defect."


class CryoMambaError(Exception):
    """Base class of all errors.

    Parameters
    ----------
    message : str
        A sentence for users, without server paths, tokens or tracebacks. It may contain names as they are: whoever
        shows it passes it through :func:`~cryomamba.printable.printable`.
    code : ErrorCode, optional
        Default: the code of the class.
    hint : str
        A sentence that says what to do.
    retryable : bool, optional
        Whether the same call may succeed later. Default: that of the class.
    details : mapping, optional
        Data for programs (msgpack and JSON types only).
    """

    default_code: ClassVar[ErrorCode] = ErrorCode.INTERNAL
    default_retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        code: ErrorCode | None = None,
        hint: str = "",
        retryable: bool | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.hint = hint
        self.retryable = self.default_retryable if retryable is None else retryable
        self.details: dict[str, Any] = dict(details or {})

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()

    def __reduce__(self) -> tuple[Any, ...]:
        return (error_from_payload, (self.payload(),))

    def payload(self) -> dict[str, Any]:
        """Return the five fields as plain types, as sent over the bus and HTTP."""
        return {
            "code": str(self.code),
            "message": file_text(self.message),
            "hint": file_text(self.hint),
            "retryable": self.retryable,
            "details": self.details,
        }


class InvalidRequestError(CryoMambaError):
    """The request is invalid: malformed, out of range, an unknown engine, a forbidden path."""

    default_code = ErrorCode.BAD_REQUEST


class VolumeError(InvalidRequestError):
    """The volume is missing, truncated, unsupported, changed meanwhile, or has voxels that are NaN or infinite."""

    default_code = ErrorCode.VOLUME_UNREADABLE


class NotFoundError(CryoMambaError):
    """There is no such job, artifact, preview or route."""

    default_code = ErrorCode.NOT_FOUND


def no_such_job(job_id: str) -> NotFoundError:
    """Return the error for a job that does not exist or is not visible: the caller must not see which."""
    return NotFoundError(f"There is no job '{job_id[:64]}'.", hint="Check the id; 'cryomamba jobs' lists the jobs.")


def no_such_worker(worker: str) -> NotFoundError:
    """Return the error for a worker that is not connected."""
    return NotFoundError(
        f"No worker '{worker[:128]}' is connected.", hint="'cryomamba workers' lists those that are connected."
    )


def no_such_webhook(webhook_id: str) -> NotFoundError:
    """Return the error for a webhook that does not exist or is not visible: the caller must not see which."""
    return NotFoundError(
        f"There is no webhook '{webhook_id[:64]}'.", hint="Check the id; 'cryomamba webhooks list' lists the webhooks."
    )


def no_such_model(name: str) -> NotFoundError:
    """Return the error for a trained model that a server does not have."""
    return NotFoundError(
        f"There is no model '{name[:64]}'.", hint="Check the name; 'cryomamba models list' lists the models."
    )


class ConflictError(CryoMambaError):
    """The current state does not allow this: a final job, a reused key, a stale attempt."""

    default_code = ErrorCode.CONFLICT


class AccessError(CryoMambaError):
    """The caller is not authenticated, not permitted, or sends too many requests."""

    default_code = ErrorCode.FORBIDDEN


class UnavailableError(CryoMambaError):
    """A service is down, too slow or full; the same call may succeed later."""

    default_code = ErrorCode.UNAVAILABLE
    default_retryable = True


class ProtocolError(CryoMambaError):
    """A message does not follow this version of the bus protocol."""

    default_code = ErrorCode.PROTOCOL


class JobFailedError(CryoMambaError):
    """A job ended without a mask: it failed or was cancelled."""

    default_code = ErrorCode.ENGINE_FAILED


class InternalError(CryoMambaError):
    """A bug in CryoMamba; please report it."""

    default_code = ErrorCode.INTERNAL


_CLASSES: dict[ErrorCode, type[CryoMambaError]] = {
    ErrorCode.BAD_REQUEST: InvalidRequestError,
    ErrorCode.INVALID_PARAMETERS: InvalidRequestError,
    ErrorCode.UNKNOWN_ENGINE: InvalidRequestError,
    ErrorCode.ENGINE_UNAVAILABLE: InvalidRequestError,
    ErrorCode.UNKNOWN_MODEL: InvalidRequestError,
    ErrorCode.MODEL_CHANGED: InvalidRequestError,
    ErrorCode.LICENCE_NOT_ACCEPTED: InvalidRequestError,
    ErrorCode.PATH_FORBIDDEN: InvalidRequestError,
    ErrorCode.URL_FORBIDDEN: InvalidRequestError,
    ErrorCode.TOO_LARGE: InvalidRequestError,
    ErrorCode.VOLUME_NOT_FOUND: VolumeError,
    ErrorCode.VOLUME_UNREADABLE: VolumeError,
    ErrorCode.VOLUME_UNSUPPORTED: VolumeError,
    ErrorCode.VOLUME_NOT_FINITE: VolumeError,
    ErrorCode.VOLUME_CHANGED: VolumeError,
    ErrorCode.NOT_FOUND: NotFoundError,
    ErrorCode.METHOD_NOT_ALLOWED: InvalidRequestError,
    ErrorCode.RANGE_NOT_SATISFIABLE: InvalidRequestError,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: InvalidRequestError,
    ErrorCode.PRECONDITION_FAILED: ConflictError,
    ErrorCode.CONFLICT: ConflictError,
    ErrorCode.JOB_FINAL: ConflictError,
    ErrorCode.STALE_ATTEMPT: ConflictError,
    ErrorCode.CHECKSUM_MISMATCH: ConflictError,
    ErrorCode.UNAUTHORIZED: AccessError,
    ErrorCode.FORBIDDEN: AccessError,
    ErrorCode.RATE_LIMITED: AccessError,
    ErrorCode.UNAVAILABLE: UnavailableError,
    ErrorCode.NO_WORKER: UnavailableError,
    ErrorCode.TIMEOUT: UnavailableError,
    ErrorCode.INSUFFICIENT_STORAGE: UnavailableError,
    ErrorCode.STORE_DAMAGED: UnavailableError,
    ErrorCode.PROTOCOL: ProtocolError,
    ErrorCode.ENGINE_FAILED: JobFailedError,
    ErrorCode.OUT_OF_MEMORY: JobFailedError,
    ErrorCode.WORKER_LOST: JobFailedError,
    ErrorCode.CANCELLED: JobFailedError,
    ErrorCode.INTERNAL: InternalError,
}


def error_from_payload(payload: Mapping[str, Any]) -> CryoMambaError:
    """Return the typed error for the fields of :meth:`CryoMambaError.payload`.

    An unknown code (from a newer server) becomes :class:`InternalError` with the message unchanged.
    """
    try:
        code = ErrorCode(str(payload.get("code", "")))
    except ValueError:
        code = ErrorCode.INTERNAL
    details = payload.get("details")
    return _CLASSES[code](
        str(payload.get("message") or "The service returned an error without a message."),
        code=code,
        hint=str(payload.get("hint") or ""),
        retryable=bool(payload.get("retryable", False)),
        details=details if isinstance(details, Mapping) else None,
    )
