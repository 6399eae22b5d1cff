"""A compilation by numba is named in the progress."""

from __future__ import annotations

import numba
from numba.core import event

from cryomamba.models.jobs import Progress
from cryomamba_inference.runner.compilation import COMPILING, naming_compilation


def test_a_stage_during_which_numba_compiles_says_so() -> None:
    """While a function is compiled, and not before or after."""
    reports: list[Progress] = []
    report = naming_compilation(reports.append)
    progress = Progress(fraction=0.5, done_tiles=1, total_tiles=2, stage="preparing: correcting the background")

    class Listener(event.Listener):
        def on_start(self, event: object) -> None:  # noqa: ARG002 (numba's)
            report(progress)

        def on_end(self, event: object) -> None:
            """Do nothing."""

    report(progress)
    with event.install_listener("numba:compile", Listener()):
        numba.njit(lambda x: x + 1)(1)
    report(progress)
    assert [one.stage for one in reports] == [progress.stage, f"preparing: {COMPILING}", progress.stage]
