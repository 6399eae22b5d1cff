"""Examples in the OpenAPI document: for every request and every error."""

from __future__ import annotations

from typing import Any, Final

from cryomamba.errors import ErrorCode, error_from_payload
from cryomamba_gateway.errors import STATUS, ErrorBody, error_body

JOB_ID: Final = "0b9f5c1e-6f0a-4f3e-9a57-3c1f6f7f2a10"
REQUEST_ID: Final = "5e0c3a52-8a4e-4d0e-bd7a-0c6c3f0d9b77"

SUBMIT: Final[dict[str, Any]] = {
    "tomogram": {
        "summary": "A tomogram that the server can read",
        "value": {
            "volume": {"path": "tomograms/TS_01.mrc", "voxel_size_A": [10.0, 10.0, 10.0]},
            "engine": "threshold",
            "params": {},
            "preview": {"interval_s": 1.0, "max_voxels": 2097152},
            "name": "TS_01, first try",
            "priority": 0,
        },
    },
    "region": {
        "summary": "A tomogram, limited to a lamella",
        "value": {
            "volume": {"path": "tomograms/TS_01.mrc"},
            "engine": "membrane",
            "within": {"path": "tomograms/TS_01_lamella.mrc"},
        },
    },
    "demo": {"summary": "A demo job", "value": {"volume": {"shape": [64, 64, 64]}}},
    "first": {"summary": "The older form of a demo job", "value": {"volume_shape": [64, 64, 64], "params": {}}},
    "empty": {"summary": "All defaults", "value": {}},
}
FOCUS: Final[dict[str, Any]] = {
    "corner": {"summary": "Near the first voxel", "value": {"position": [10.0, 20.0, 30.0]}}
}
STROKES: Final[dict[str, Any]] = {
    "lines": {
        "summary": "A stroke on a ball, and one beside it",
        "value": {
            "shape": [64, 64, 64],
            "labels": ["background", "ball"],
            "lines": [
                {"label": 0, "radius": 2, "points": [[32, 4, 4], [32, 4, 60]]},
                {"label": 1, "radius": 2, "points": [[32, 32, 28], [32, 32, 36]]},
            ],
        },
    }
}

UPLOAD: Final[dict[str, Any]] = {
    "tomogram": {
        "summary": "A tomogram in parts of 8 MiB",
        "value": {"filename": "TS_01.mrc", "total_size_bytes": 1073742848, "chunk_size_bytes": 8388608},
    }
}
THRESHOLD: Final[dict[str, Any]] = {
    "stricter": {"summary": "Fewer and larger components", "value": {"high": 170, "low": 140, "min_volume_nm3": 5000.0}}
}
WEBHOOK: Final[dict[str, Any]] = {
    "all": {"summary": "All outcomes", "value": {"url": "https://example.org/cryomamba"}},
    "failures": {
        "summary": "Only failures",
        "value": {"url": "https://example.org/cryomamba", "events": ["job.failed"], "name": "on-call"},
    },
}
MODEL: Final[dict[str, Any]] = {
    "archive": {
        "summary": "An uploaded archive of a model's folder",
        "value": {"upload_id": "8c5f4c1e-6d0e-4b52-a4a5-0a8e5f0d3c11", "name": "membranes", "accept_licence": True},
    }
}
LICENCE: Final[dict[str, Any]] = {
    "non-commercial": {"summary": "As the model states it", "value": {"licence": "CC-BY-NC-4.0"}}
}
REVISION: Final[dict[str, Any]] = {
    "upload": {
        "summary": "An uploaded mask",
        "value": {"file_id": "8c5f4c1e-6d0e-4b52-a4a5-0a8e5f0d3c11", "note": "holes filled"},
    }
}

_TITLES: Final[dict[int, str]] = {
    400: "The request does not match the schema",
    401: "The token is missing or invalid",
    403: "Not allowed",
    404: "Not found",
    409: "The current state does not allow this",
    412: "It is not the one that If-Match names",
    413: "Too large",
    415: "The media type of the body is not accepted",
    416: "The range is beyond the end of the file",
    422: "The request is well-formed but cannot be processed",
    429: "Too many requests or connections",
    500: "A defect",
    502: "The broker sent an invalid answer",
    503: "The broker or a worker cannot be reached",
    504: "A service or client did not answer in time",
    507: "The disk is full",
}

BUS: Final = (ErrorCode.UNAVAILABLE, ErrorCode.TIMEOUT, ErrorCode.PROTOCOL)
CHANGE: Final = (ErrorCode.FORBIDDEN, ErrorCode.TOO_LARGE)
REQUEST_ID_HEADER: Final[dict[str, Any]] = {
    "X-Request-ID": {
        "description": "The id of the request; the client's own if it sent one.",
        "schema": {"type": "string", "examples": [REQUEST_ID]},
    }
}


def _links(**targets: dict[str, str]) -> dict[str, Any]:
    return {name: {"operationId": name, "parameters": parameters} for name, parameters in targets.items()}


_JOB: Final = {"job_id": "$response.body#/job_id"}
_MASK: Final = {**_JOB, "name": "mask.mrc"}
JOB_LINKS: Final = _links(
    getJob=_JOB,
    cancelJob=_JOB,
    retryJob=_JOB,
    focusJob=_JOB,
    setStrokes=_JOB,
    reviseJob=_JOB,
    thresholdJob=_JOB,
    followJob=_JOB,
    getPreview=_JOB,
    getArtifact=_MASK,
    headArtifact=_MASK,
    linkArtifact=_MASK,
    getJobVolumes=_JOB,
    linkJobZarr=_JOB,
)
_WEBHOOK_ID: Final = {"webhook_id": "$response.body#/webhook_id"}
WEBHOOK_LINKS: Final = _links(
    getWebhook=_WEBHOOK_ID, testWebhook=_WEBHOOK_ID, listWebhookDeliveries=_WEBHOOK_ID, deleteWebhook=_WEBHOOK_ID
)
_MODEL: Final = {"name": "$response.body#/name"}
MODEL_LINKS: Final = _links(getModel=_MODEL, acceptModelLicence=_MODEL, removeModel=_MODEL)
_WORKER: Final = {"worker": "$response.body#/worker"}
WORKER_LINKS: Final = _links(drainWorker=_WORKER, resumeWorker=_WORKER, removeWorker=_WORKER)
_UPLOAD_ID: Final = {"upload_id": "$response.body#/upload_id"}
UPLOAD_LINKS: Final = _links(
    getUpload=_UPLOAD_ID, putPart=_UPLOAD_ID, completeUpload=_UPLOAD_ID, abortUpload=_UPLOAD_ID
)
_FILE_ID: Final = {"file_id": "$response.body#/file_id"}
FILE_LINKS: Final = _links(
    getFile=_FILE_ID, getFileContent=_FILE_ID, getFileSlice=_FILE_ID, linkFileZarr=_FILE_ID, deleteFile=_FILE_ID
)


def error_example(code: ErrorCode) -> dict[str, Any]:
    """Return an error of a code as clients receive it; the hint of a real one is more specific."""
    error = error_from_payload({"code": code, "message": code.description})
    error.retryable = error.default_retryable
    if error.retryable:
        error.hint = "Try again in a moment."
    else:
        error.hint = "Correct the request." if STATUS[code] < 500 else "Report it with the request id."
    return error_body(error, request=REQUEST_ID).model_dump(mode="json")


def ok(description: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 (OpenAPI objects)
    """Return the entry of a successful response in ``responses``; `headers` are added to the request id."""
    return {"description": description, **fields, "headers": {**REQUEST_ID_HEADER, **fields.get("headers", {})}}


def errors(*codes: ErrorCode) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses`` of a route for these errors; an internal one is always possible."""
    found: dict[int | str, dict[str, Any]] = {}
    for code in (*codes, ErrorCode.INTERNAL):
        status = STATUS[code]
        entry = found.setdefault(
            status,
            {
                "model": ErrorBody,
                "description": _TITLES[status],
                "headers": REQUEST_ID_HEADER | (_RETRY_AFTER if status in {429, 503} else {}),
                "content": {"application/json": {"examples": {}}},
            },
        )
        entry["content"]["application/json"]["examples"][str(code)] = {"value": error_example(code)}
    return found


_RETRY_AFTER: Final[dict[str, Any]] = {
    "Retry-After": {"description": "Seconds after which to try again.", "schema": {"type": "integer", "minimum": 0}}
}
