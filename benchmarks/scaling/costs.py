"""What one unit of each kind of work costs, as it was measured, and what is assumed where it cannot be measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Costs:
    """Measured on one machine; seconds of one core unless said otherwise.

    Attributes
    ----------
    idle_gateway, idle_broker : float
        Of each second, whatever happens.
    submit_gateway, submit_broker, submit_client : float
        Of one job submitted over HTTP.
    submit_wait : float
        Seconds of wall-clock time of one submit in which neither client nor services compute nor the disk commits.
    submit_commits : float
        Commits of one submit.
    commit : float
        Seconds of wall-clock time of one durable commit of a small row, alone on the disk; the median.
    job_second_broker, job_second_gateway : float
        Of one second of one running job without frames: renewals, progress.
    frame_worker, frame_broker, frame_gateway : float
        Of one frame, whoever watches.
    watcher_second_gateway : float
        Of the messages on state and progress to one watcher in a second.
    send_gateway : float
        Of one frame to one watcher, with its acknowledgement.
    send_delay : float
        Seconds of wall-clock time by which one watcher has a frame later than the one before.
    receive_client : float
        Of one frame that a watcher reads.
    frame_wait : float
        Seconds of wall-clock time of a frame on its way in which nobody computes on it.
    connect_gateway : float
        Of one watcher that connects.
    gateway_MB, watcher_MB : float
        Memory of a gateway without watchers, and that of each watcher.
    broker_MB : float
    disk_MB_s : float
        Sequential write with fsync.
    frame_bytes : int
    """

    idle_gateway: float
    idle_broker: float
    submit_gateway: float
    submit_broker: float
    submit_client: float
    submit_wait: float
    submit_commits: float
    commit: float
    job_second_broker: float
    job_second_gateway: float
    frame_worker: float
    frame_broker: float
    frame_gateway: float
    watcher_second_gateway: float
    send_gateway: float
    send_delay: float
    receive_client: float
    frame_wait: float
    connect_gateway: float
    gateway_MB: float
    watcher_MB: float
    broker_MB: float
    disk_MB_s: float
    frame_bytes: int


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Not measured here.

    Attributes
    ----------
    job_s : float
        Duration of a job on one worker.
    job_MB : float
        Mask and score map of 512³ voxels.
    commits_per_job : int
        Submit, claim and finish, with their events.
    renewal_s : float
        Between two renewals of a lease, each a commit.
    network_Mbit_s : float
        Of the host of a gateway.
    descriptors : int
        Of a process, which a service raises its limit to.
    busy : float
        Share of its capacity beyond which a part is said to break: waiting times grow without end towards 1.
    postgres_commit : float
        Seconds of a commit over the network.
    postgres_parallel : int
        Commits at once; the store's single thread has one.
    object_MB_s : float
        Of an object store; limited by its own network.
    """

    job_s: float = 300.0
    job_MB: float = 403.0
    commits_per_job: int = 4
    renewal_s: float = 5.0
    network_Mbit_s: float = 10_000.0
    descriptors: int = 65_536
    busy: float = 0.7
    postgres_commit: float = 0.003
    postgres_parallel: int = 8
    object_MB_s: float = 5_000.0
