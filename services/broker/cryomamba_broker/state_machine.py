"""The state machine of a job as pure functions: which state follows, and what an attempt's error leads to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cryomamba.errors import ConflictError, ErrorCode
from cryomamba.models.jobs import EventType, JobState
from cryomamba.wire.constants import LEASE_S, MAX_ATTEMPTS, RENEWALS_PER_LEASE


class Trigger(StrEnum):
    """What can happen to a job."""

    CLAIM = "claim"
    FINISH = "finish"
    FAIL = "fail"
    REQUEUE = "requeue"
    CANCEL = "cancel"
    RETRY = "retry"


_NEXT: Final[Mapping[tuple[JobState, Trigger], JobState]] = {
    (JobState.PENDING, Trigger.CLAIM): JobState.RUNNING,
    (JobState.PENDING, Trigger.CANCEL): JobState.CANCELLED,
    (JobState.RUNNING, Trigger.FINISH): JobState.COMPLETED,
    (JobState.RUNNING, Trigger.FAIL): JobState.FAILED,
    (JobState.RUNNING, Trigger.REQUEUE): JobState.PENDING,
    (JobState.RUNNING, Trigger.CANCEL): JobState.CANCELLED,
    (JobState.FAILED, Trigger.RETRY): JobState.PENDING,
    (JobState.CANCELLED, Trigger.RETRY): JobState.PENDING,
}

EVENT_OF: Final[Mapping[Trigger, EventType]] = {
    Trigger.CLAIM: "job_started",
    Trigger.FINISH: "job_completed",
    Trigger.FAIL: "job_failed",
    Trigger.REQUEUE: "job_requeued",
    Trigger.CANCEL: "job_cancelled",
    Trigger.RETRY: "job_retried",
}


class IllegalTransitionError(ConflictError):
    """The job's state does not allow this; the code is ``job_final`` if the job has ended.

    The details have the job's `state` and, where the store raises the error, its last events as `history`.
    """


def next_state(state: JobState, trigger: Trigger) -> JobState:
    """Return the state that follows.

    Raises
    ------
    IllegalTransitionError
        The state does not allow the trigger.
    """
    after = _NEXT.get((state, trigger))
    if after is None:
        raise IllegalTransitionError(
            f"The job is {state}, so it cannot {_VERBS[trigger]}.",
            code=ErrorCode.JOB_FINAL if state.final else ErrorCode.CONFLICT,
            hint=_HINTS.get((state, trigger), "'cryomamba show' prints the state of a job."),
            details={"state": str(state)},
        )
    return after


_VERBS: Final[Mapping[Trigger, str]] = {
    Trigger.CLAIM: "be claimed",
    Trigger.FINISH: "be finished",
    Trigger.FAIL: "fail",
    Trigger.REQUEUE: "be queued again",
    Trigger.CANCEL: "be cancelled",
    Trigger.RETRY: "be retried",
}
_HINTS: Final[Mapping[tuple[JobState, Trigger], str]] = {
    (JobState.COMPLETED, Trigger.CANCEL): "Its files are available.",
    (JobState.COMPLETED, Trigger.RETRY): "Its files are available; submit a new job to run it again.",
    (JobState.RUNNING, Trigger.RETRY): "Cancel it first.",
}


@dataclass(frozen=True, slots=True)
class LeasePolicy:
    """How long a lease lasts and how often a job is attempted.

    Attributes
    ----------
    lease_s : float
        Seconds from a renewal until the lease expires.
    max_attempts : int
        Attempts before a retryable error is final.
    pause_s : float
        Seconds before the second attempt; each further pause is four times as long.
    """

    lease_s: float = LEASE_S
    max_attempts: int = MAX_ATTEMPTS
    pause_s: float = 1.0

    @property
    def renewal_s(self) -> float:
        """Seconds between two renewals."""
        return self.lease_s / RENEWALS_PER_LEASE

    def pause(self, tries: int) -> float:
        """Return the seconds to wait after the given number of failed attempts."""
        return self.pause_s * 4.0 ** (tries - 1)

    def after_error(self, tries: int, *, retryable: bool, cancel_requested: bool) -> Trigger:
        """Return what follows when an attempt ends with an error; a requested cancel prevents another attempt."""
        if cancel_requested:
            return Trigger.CANCEL
        if retryable and tries < self.max_attempts:
            return Trigger.REQUEUE
        return Trigger.FAIL
