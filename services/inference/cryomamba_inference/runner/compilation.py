"""Whether numba is compiling, which it does once on each computer, and for which a stage takes seconds longer."""

from __future__ import annotations

import sys
from collections.abc import Callable
from threading import Lock
from typing import Any, Final

from cryomamba.models.jobs import Progress

COMPILING: Final = "compiling, on the first run only"
_STAGE_MAX: Final = 64
_EVENT: Final = "numba:compile"


class _Watch:
    """Counts the functions that are being compiled, in all threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._running = 0
        self._registered = False

    def is_compiling(self) -> bool:
        """Return whether a function is being compiled at the moment; the first call begins to watch."""
        if not self._registered:
            self._register()
        return self._running > 0

    def _register(self) -> None:
        # An engine that does not use numba shall not import it.
        if "numba.core.event" not in sys.modules:
            return
        from numba.core import event

        watch = self

        class Listener(event.Listener):
            def on_start(self, event: Any) -> None:  # noqa: ANN401, ARG002
                watch.count(1)

            def on_end(self, event: Any) -> None:  # noqa: ANN401, ARG002
                watch.count(-1)

        self._registered = True
        event.register(_EVENT, Listener())  # type: ignore[no-untyped-call] # numba has few types

    def count(self, change: int) -> None:
        """Enter that a compilation has begun or ended."""
        with self._lock:
            self._running += change


_watch: Final = _Watch()


def naming_compilation(on_progress: Callable[[Progress], None]) -> Callable[[Progress], None]:
    """Return a callback that names a compilation in the stage, so that nobody takes it for the usual speed."""

    def call(progress: Progress) -> None:
        if _watch.is_compiling() and progress.fraction < 1:
            stage = f"{progress.stage.partition(':')[0]}: {COMPILING}"[:_STAGE_MAX]
            progress = progress.model_copy(update={"stage": stage})
        on_progress(progress)

    return call
