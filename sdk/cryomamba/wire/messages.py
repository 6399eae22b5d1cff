"""The names of all messages on the bus: the ``type`` of an envelope."""

from __future__ import annotations

from typing import Final

PING: Final = "ping"
SERVER_INFO: Final = "server.info"
SERVER_ACTIVITY: Final = "server.activity"
SERVER_METRICS: Final = "server.metrics"
JOB_SUBMIT: Final = "job.submit"
JOB_GET: Final = "job.get"
JOB_LIST: Final = "job.list"
JOB_CANCEL: Final = "job.cancel"
JOB_RETRY: Final = "job.retry"
JOB_DELETE: Final = "job.delete"
JOB_FOCUS: Final = "job.focus"
JOB_STROKES: Final = "job.strokes"
JOB_REVISE: Final = "job.revise"
EVENTS_SINCE: Final = "events.since"
ARTIFACT_READ: Final = "artifact.read"
PREVIEW_GET: Final = "preview.get"

WEBHOOK_CREATE: Final = "webhook.create"
WEBHOOK_GET: Final = "webhook.get"
WEBHOOK_LIST: Final = "webhook.list"
WEBHOOK_DELETE: Final = "webhook.delete"
WEBHOOK_TEST: Final = "webhook.test"
WEBHOOK_DELIVERIES: Final = "webhook.deliveries"
DELIVERY_CLAIM: Final = "delivery.claim"
DELIVERY_REPORT: Final = "delivery.report"

MODEL_GET: Final = "model.get"
MODEL_LIST: Final = "model.list"

WORKER_LIST: Final = "worker.list"
WORKER_DRAIN: Final = "worker.drain"
WORKER_RESUME: Final = "worker.resume"
WORKER_REMOVE: Final = "worker.remove"

WORKER_HELLO: Final = "worker.hello"
WORKER_STATUS: Final = "worker.status"
WORKER_MODELS: Final = "worker.models"
JOB_CLAIM: Final = "job.claim"
JOB_RENEW: Final = "job.renew"
# A worker's request, and the message that the broker publishes upon it.
PROGRESS: Final = "job.progress"
JOB_FINISH: Final = "job.finish"
JOB_FAIL: Final = "job.fail"
JOB_RELEASE: Final = "job.release"

REPLY: Final = "reply"
ERROR: Final = "error"

PREVIEW: Final = "preview"
STATE: Final = "job.state"
HEAD: Final = "bus.head"
