"""What the logs say about requests: the fields of their records, and entries in the audit log."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from cryomamba.access.visibility import Visibility
from cryomamba.errors import AccessError, CryoMambaError, InternalError, UnavailableError
from cryomamba.wire import messages
from cryomamba.wire.envelope import Envelope
from cryomamba.wire.trace_context import TraceContext, is_request_id
from cryomamba_server.audit import Outcome, audit, audit_download

ACTIONS: Final[Mapping[str, str]] = {
    messages.JOB_SUBMIT: "job.submit",
    messages.JOB_CANCEL: "job.cancel",
    messages.JOB_RETRY: "job.retry",
    messages.JOB_DELETE: "job.delete",
    messages.JOB_REVISE: "job.revise",
    messages.ARTIFACT_READ: "artifact.download",
    messages.WEBHOOK_CREATE: "webhook.create",
    messages.WEBHOOK_DELETE: "webhook.delete",
    messages.WEBHOOK_TEST: "webhook.test",
    messages.WORKER_DRAIN: "worker.drain",
    messages.WORKER_RESUME: "worker.resume",
    messages.WORKER_REMOVE: "worker.remove",
}

# Requests that do something, and do not wait for it to happen.
TRACED: Final = frozenset(
    {*ACTIONS, messages.JOB_FINISH, messages.JOB_FAIL, messages.JOB_RELEASE, messages.JOB_FOCUS, messages.JOB_STROKES}
)


def trace_of(request: Envelope) -> TraceContext:
    """Return the trace context of a request; one without an id gets its message's own."""
    if request.trace.request_id is not None:
        return request.trace
    own = request.id if is_request_id(request.id) else str(uuid.uuid4())
    return replace(request.trace, request_id=own)


def request_fields(request: Envelope, visibility: Visibility, actor: str | None) -> dict[str, object]:
    """Return the fields that all records about a request carry."""
    return {"request": request.type, "peer": request.src, "owner": visibility.owner, "actor": actor}


def body_fields(body: object) -> dict[str, object]:
    """Return the job, the attempt, the worker and the webhook that a request names."""
    named = {"job_id": "job", "attempt": "attempt", "worker": "worker", "webhook_id": "webhook"}
    return {field: getattr(body, name, None) for field, name in named.items()}


def audit_done(request: Envelope, job_id: str | None, webhook_id: str | None) -> None:
    """Enter a request that was carried out, if it is of a kind that is audited."""
    _audit(request, "done", job_id=job_id, webhook_id=webhook_id)


def audit_error(request: Envelope, error: CryoMambaError) -> None:
    """Enter a request that was refused or has failed, if it is of a kind that is audited."""
    refused = isinstance(error, AccessError) or not isinstance(error, UnavailableError | InternalError)
    _audit(
        request,
        "refused" if refused else "failed",
        job_id=_named(request, "job"),
        webhook_id=_named(request, "webhook"),
        worker=_named(request, "worker"),
        code=str(error.code),
    )


def _audit(request: Envelope, outcome: Outcome, **fields: object) -> None:
    action = ACTIONS.get(request.type)
    if action is None:
        return
    if request.type == messages.ARTIFACT_READ:
        about = {name: value for name, value in fields.items() if name != "job_id"}
        from_start, file = request.body.get("offset") == 0, _named(request, "name")
        audit_download(outcome, from_start=from_start, job_id=_named(request, "job"), artifact=file, **about)
    else:
        audit(action, outcome, **fields)


def _named(request: Envelope, field: str) -> str | None:
    named = request.body.get(field)
    return named[:128] if isinstance(named, str) else None
