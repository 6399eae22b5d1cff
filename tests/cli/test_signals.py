"""Ctrl-C and SIGTERM."""

from __future__ import annotations

import signal

import pytest

from cryomamba_cli.signals import Interrupted, Interrupts, interruptible


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_becomes_an_exception(signum: signal.Signals, status: int) -> None:
    """Within the block a signal raises; after it the handlers are the old ones."""
    before = signal.getsignal(signum)
    with pytest.raises(Interrupted) as caught, interruptible():
        signal.raise_signal(signum)
    assert caught.value.exit_code == status
    assert signal.getsignal(signum) is before


def test_a_held_signal_comes_at_the_end() -> None:
    """While held, a signal can be asked for, the step ends, and only then it is raised."""
    steps: list[str] = []

    def work(interrupts: Interrupts) -> None:
        with interrupts.held():
            assert not interrupts.asked()
            signal.raise_signal(signal.SIGINT)
            assert interrupts.asked()
            steps.append("held")
        steps.append("after")

    with interruptible() as interrupts, pytest.raises(Interrupted):
        work(interrupts)
    assert steps == ["held"]


def test_asking_twice_means_now() -> None:
    """The second signal is raised even while signals are held."""
    steps: list[str] = []

    def work(interrupts: Interrupts) -> None:
        with interrupts.held():
            signal.raise_signal(signal.SIGINT)
            steps.append("once")
            signal.raise_signal(signal.SIGINT)
            steps.append("twice")

    with interruptible() as interrupts, pytest.raises(Interrupted):
        work(interrupts)
    assert steps == ["once"]
