"""The state machine: every state against every trigger."""

from __future__ import annotations

import itertools

import pytest

from cryomamba.errors import ErrorCode
from cryomamba.models.jobs import JobState
from cryomamba_broker.state_machine import IllegalTransitionError, LeasePolicy, Trigger, next_state

LEGAL = {
    ("pending", "claim"): "running",
    ("pending", "cancel"): "cancelled",
    ("running", "finish"): "completed",
    ("running", "fail"): "failed",
    ("running", "requeue"): "pending",
    ("running", "cancel"): "cancelled",
    ("failed", "retry"): "pending",
    ("cancelled", "retry"): "pending",
}


@pytest.mark.parametrize(("state", "trigger"), list(itertools.product(JobState, Trigger)))
def test_each_trigger_leads_where_the_page_says_or_is_refused(state: JobState, trigger: Trigger) -> None:
    """What is not in the table of legal transitions is a conflict, with its own code for jobs that have ended."""
    expected = LEGAL.get((str(state), str(trigger)))
    if expected is not None:
        assert next_state(state, trigger) == expected
        return
    with pytest.raises(IllegalTransitionError) as caught:
        next_state(state, trigger)
    assert caught.value.code is (ErrorCode.JOB_FINAL if state.final else ErrorCode.CONFLICT)
    assert state in caught.value.message


def test_a_requested_cancel_prevents_another_attempt() -> None:
    """An error of a job that is being cancelled never requeues it."""
    policy = LeasePolicy(max_attempts=3)
    assert policy.after_error(1, retryable=True, cancel_requested=True) is Trigger.CANCEL
    assert policy.after_error(1, retryable=True, cancel_requested=False) is Trigger.REQUEUE
    assert policy.after_error(3, retryable=True, cancel_requested=False) is Trigger.FAIL
    assert policy.after_error(1, retryable=False, cancel_requested=False) is Trigger.FAIL


def test_pauses_grow() -> None:
    """Each pause is longer than the one before."""
    pauses = [LeasePolicy().pause(tries) for tries in (1, 2, 3)]
    assert pauses == sorted(set(pauses))
