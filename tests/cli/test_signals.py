"""Ctrl-C and SIGTERM as exceptions."""

from __future__ import annotations

import signal

import pytest

from cryomamba_cli.signals import Interrupted, Interrupts, interruptible


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_becomes_an_exception(signum: signal.Signals, status: int) -> None:
    """Within the block a signal raises; after it the old handlers are restored."""
    before = signal.getsignal(signum)
    with pytest.raises(Interrupted) as caught, interruptible():
        signal.raise_signal(signum)
    assert caught.value.exit_code == status
    assert signal.getsignal(signum) is before


def test_a_deferred_signal_raises_at_the_end() -> None:
    """A deferred signal is pending until the block ends, and raises then."""
    steps: list[str] = []

    def work(interrupts: Interrupts) -> None:
        with interrupts.deferred():
            assert not interrupts.pending()
            signal.raise_signal(signal.SIGINT)
            assert interrupts.pending()
            steps.append("deferred")
        steps.append("after")

    with interruptible() as interrupts, pytest.raises(Interrupted):
        work(interrupts)
    assert steps == ["deferred"]


def test_a_second_signal_raises_at_once() -> None:
    """The second signal raises even while signals are deferred."""
    steps: list[str] = []

    def work(interrupts: Interrupts) -> None:
        with interrupts.deferred():
            signal.raise_signal(signal.SIGINT)
            steps.append("once")
            signal.raise_signal(signal.SIGINT)
            steps.append("twice")

    with interruptible() as interrupts, pytest.raises(Interrupted):
        work(interrupts)
    assert steps == ["once"]


def test_a_deferred_signal_aborts_a_transfer() -> None:
    """A progress callback raises once a signal is pending; before, it is called as it is."""
    seen: list[int] = []

    def transfer(interrupts: Interrupts) -> None:
        with interrupts.deferred():
            progress = interrupts.aborting(seen.append)
            progress(1)
            signal.raise_signal(signal.SIGTERM)
            progress(2)

    with interruptible() as interrupts, pytest.raises(Interrupted) as caught:
        transfer(interrupts)
    assert seen == [1]
    assert caught.value.exit_code == 143
    assert not interrupts.pending()
