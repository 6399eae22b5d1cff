"""Orderly shutdown on signals."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from cryomamba_server.shutdown import run_service, stop_on_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_service_clean_up(number: signal.Signals) -> None:
    """The code after the wait runs, and the old handler of the signal is restored."""
    before = signal.getsignal(number)
    steps: list[str] = []

    async def main(stop: asyncio.Event) -> None:
        os.kill(os.getpid(), number)
        await stop.wait()
        steps.append("cleaned up")

    run_service(main)
    assert steps == ["cleaned up"]
    assert signal.getsignal(number) == before


async def test_without_a_signal_nothing_is_set() -> None:
    """The event is not set until a signal arrives."""
    with stop_on_signals() as stop:
        assert not stop.is_set()


def test_an_error_of_the_service_is_raised() -> None:
    """An exception of the service reaches the caller."""

    async def main(stop: asyncio.Event) -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        run_service(main)
