"""Coverage-guided fuzzing of parsers with Atheris.

``python -m tests.fuzz.coverage envelope frame --seconds 20`` starts each target with its seeds and the inputs under
``tests/fuzz/crashes/<target>``. An input that crashes, hangs or takes too much memory is saved there, so that every run
of the tests reads it again. The exit status is 0 if there was none.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

CRASHES: Final = Path(__file__).with_name("crashes")
MAX_INPUT_BYTES: Final = 70_000
MEMORY_MB: Final = 1024
HANG_S: Final = 5


def main() -> int:
    """Fuzz the targets one after the other; the first that fails ends the run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="+")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=20261126)
    options = parser.parse_args()
    import atheris

    with atheris.instrument_imports(include=["cryomamba", "tests.fuzz.targets"]):
        from tests.fuzz.targets import TARGETS, seeds
    for name in options.targets:
        with tempfile.TemporaryDirectory(prefix="cryomamba-corpus-") as corpus:
            for number, content in enumerate(seeds(name)):
                Path(corpus, f"seed-{number}").write_bytes(content)
            status = run_in_child(lambda: fuzz(TARGETS[name], name, Path(corpus), options))  # noqa: B023 (called here)
        if status:
            return status
        sys.stdout.write(f"{name}: no finding\n")
    return 0


def run_in_child(function: Callable[[], None]) -> int:
    """Run a function in a fork of this process, which is instrumented already, and return the exit status."""
    child = os.fork()
    if child == 0:
        # libFuzzer ends the process itself; this is for an exception before that.
        try:
            function()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    return abs(os.waitstatus_to_exitcode(status))


def fuzz(target: Callable[[bytes], None], name: str, corpus: Path, given: argparse.Namespace) -> None:
    """Fuzz a target; does not return."""
    import atheris

    saved = CRASHES / name
    saved.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={given.seconds}",
        f"-max_len={MAX_INPUT_BYTES}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-timeout={HANG_S}",
        f"-seed={given.seed}",
        f"-artifact_prefix={saved}/",
        "-print_final_stats=1",
        "-verbosity=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus), str(saved)], target)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
