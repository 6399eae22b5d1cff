"""Messages to webhooks while services are killed. Real processes and sockets."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.webhook_receiver import ThreadedReceiver

import cryomamba
from cryomamba.testing import Stack, wait_until

StackMaker = Callable[..., Stack]

pytestmark = [pytest.mark.system, pytest.mark.slow]


def test_no_end_of_a_job_is_lost(make_stack: StackMaker) -> None:
    """The broker is killed right after a job has ended, while no gateway runs: the message comes when both are back."""
    stack = make_stack(CRYOMAMBA_WEBHOOK_NETWORKS="127.0.0.0/8")
    stack.start().wait_ready()
    with ThreadedReceiver().listening() as receiver:
        with cryomamba.connect(stack.http_url) as client:
            secret = client.add_webhook(receiver.url).secret
        stack.kill("gateway")
        with cryomamba.connect(stack.bus_url) as client:
            job = client.submit(shape=(16, 16, 16), engine="demo", params={"seconds": 0}).wait()
        stack.kill("broker")
        assert receiver.received == []
        stack.start("broker", "gateway").wait_ready()
        wait_until(lambda: receiver.received, what="the message")
        [message] = receiver.messages(secret)
    assert (message["type"], message["data"]["job_id"]) == ("job.completed", job.job_id)
    assert {one["name"] for one in message["data"]["artifacts"]} == {one.name for one in job.artifacts}
    assert secret not in stack.log("broker") + stack.log("gateway")


def test_two_gateways_share_the_work(make_stack: StackMaker) -> None:
    """Whichever takes a message, it is sent; when one is killed, the other goes on."""
    stack = make_stack(CRYOMAMBA_WEBHOOK_NETWORKS="127.0.0.0/8")
    stack.start().wait_ready()
    other = make_stack(
        "home",
        **{
            **{
                f"CRYOMAMBA_BUS_{name.upper()}": stack.env[f"CRYOMAMBA_BUS_{name.upper()}"]
                for name in ("jobs", "preview_in", "preview_out", "events")
            },
            "CRYOMAMBA_WEBHOOK_NETWORKS": "127.0.0.0/8",
        },
    )
    other.start("gateway").wait_ready()
    with ThreadedReceiver().listening() as receiver, cryomamba.connect(stack.bus_url) as client:
        secret = client.add_webhook(receiver.url).secret
        jobs = [client.submit(shape=(8, 8, 8), engine="demo", params={"seconds": 0}).wait().job_id for _ in range(3)]
        wait_until(lambda: len(receiver.received) >= 3, what="the messages")
        stack.kill("gateway")
        jobs += [client.submit(shape=(8, 8, 8), engine="demo", params={"seconds": 0}).wait().job_id for _ in range(3)]

        def missing() -> set[str]:
            return set(jobs) - {message["data"]["job_id"] for message in receiver.messages(secret)}

        wait_until(lambda: not missing(), what="the messages")
        got = [message["data"]["job_id"] for message in receiver.messages(secret)]
    # The one that was killed may have sent a message without having said so: it is sent once more.
    assert set(got) == set(jobs)
    assert len(got) - len(jobs) <= 1
