"""Why a job cannot run, in words."""

from __future__ import annotations

from cryomamba_broker.placement import Candidate, Placement


def test_a_job_that_a_worker_can_run_is_not_blocked() -> None:
    """One worker with engine and model is enough."""
    placement = Placement((Candidate(("demo",)), Candidate(("onnx",), ("net",))))
    assert placement.blocked_reason("j", "onnx", "net") == ""


def test_the_reason_names_what_is_missing() -> None:
    """Without a worker, an engine, a model, a worker that takes jobs, or one that sees the file, the reason says so."""
    assert Placement().blocked_reason("j", "demo", "") == "No worker is connected."
    assert Placement((Candidate(("a",)),)).blocked_reason("j", "demo", "") == "No worker has the engine 'demo'."
    no_model = Placement((Candidate(("onnx",), ("other",)), Candidate(("demo",), ("net",))))
    assert no_model.blocked_reason("j", "onnx", "net") == "No worker with the engine 'onnx' has the model 'net'."
    assert "drained" in Placement((Candidate(("demo",), drained=True),)).blocked_reason("j", "demo", "")
    blind = Placement((Candidate(("demo",), declined={"j": "No worker can access /data/t1.mrc."}),))
    assert blind.blocked_reason("j", "demo", "") == "No worker can access /data/t1.mrc."
    assert blind.blocked_reason("other", "demo", "") == ""


def test_a_drained_worker_is_in_no_pool() -> None:
    """Workers with the same abilities are one pool; a drained one does not count."""
    placement = Placement((Candidate(("a",)), Candidate(("a",)), Candidate(("b",), drained=True)))
    assert len(placement.pools) == 1
