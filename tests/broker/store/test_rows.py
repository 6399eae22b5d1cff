"""Records of rows: they always fit into a message header."""

from __future__ import annotations

from tests.broker.store.store_helpers import ALL, SettableClock, claimed

from cryomamba.engines.api import Estimate
from cryomamba.errors import ErrorCode
from cryomamba.models.jobs import Artifact, JobError, JobState, SubmitRequest, VolumeSource, VolumeSummary
from cryomamba.models.masks import MaskSummary
from cryomamba.volumes import VolumeWarning
from cryomamba.wire.constants import HEADER_MAX_BYTES
from cryomamba.wire.envelope import EnvelopeFactory, encode
from cryomamba_broker.store import NewJob, Store
from cryomamba_broker.store.results import ESTIMATES_MAX, WARNINGS_MAX


def test_a_full_record_still_fits_into_a_header(store: Store, time: SettableClock) -> None:
    """Whatever clients and workers send, a job's record always fits into a message."""
    long = "∫" * 2000
    request = SubmitRequest(
        volume=VolumeSource(path="x" * 4096), name="ß" * 200, params={"text": "p" * 16_000}, client_key="k"
    )
    summary = VolumeSummary(
        name="n" * 255, shape=(4, 4, 4), voxel_size_A=(1, 1, 1), path="x" * 4096, warnings=("w" * 300,) * 8
    )
    within = MaskSummary(name="m" * 255, path="x" * 4096)
    store.submissions.submit(NewJob(request, "demo", summary, within), ALL)
    error = JobError(code=ErrorCode.ENGINE_FAILED, message=long, hint=long[:1000], retryable=True)
    for _ in range(20):
        while store.leases.claim("w", ["demo"]) is None:
            time.now += 1
        record, attempt = claimed(store)
        if store.leases.fail(attempt, error).record.state is JobState.FAILED:
            store.jobs.retry(record.job_id, ALL)
    while store.leases.claim("w", ["demo"]) is None:
        time.now += 1
    record, attempt = claimed(store)
    artifacts = [Artifact(name=f"{n:03d}" + "f" * 100, size_bytes=2**40, sha256="0" * 64) for n in range(40)]
    warning = VolumeWarning(code="c" * 100, message=long, hint=long)
    estimates: dict[str, Estimate] = {f"{n:03d}" + "e" * 100: long for n in range(40)}
    record = store.leases.finish(attempt, artifacts, warnings=[warning] * 40, estimates=estimates).record
    body = {"event": record.history[-1].model_dump(mode="json"), "record": record.model_dump(mode="json")}
    raw = encode(EnvelopeFactory("broker").envelope("job.state", body, ts=1.0, job=record.job_id, attempt=99))
    assert len(raw) <= HEADER_MAX_BYTES
    assert record.history[-1].type == "job_completed"
    assert len(record.errors) == 5
    assert record.within == within
    assert (len(record.warnings), len(record.estimates)) == (WARNINGS_MAX, ESTIMATES_MAX)
