"""Coverage-guided fuzzing of one target with Atheris.

``python -m tests.fuzz.coverage envelope --seconds 20`` begins with the seeds of the target and the inputs under
``tests/fuzz/crashes/envelope``, and leaves an input that crashes, hangs or eats memory there, so that it is read again
with every run of the tests. Exit status 0 means that there was none.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Final

import atheris

with atheris.instrument_imports(include=["cryomamba", "tests.fuzz.targets"]):
    from tests.fuzz.targets import TARGETS, seeds

CRASHES: Final = Path(__file__).with_name("crashes")
LONGEST: Final = 70_000
MEMORY_MB: Final = 1024
HANG_S: Final = 5


def main() -> None:
    """Fuzz; the library ends the process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=20261126)
    told = parser.parse_args()
    kept = CRASHES / told.target
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="cryomamba-corpus-") as folder:
        for number, seed in enumerate(seeds(told.target)):
            Path(folder, f"seed-{number}").write_bytes(seed)
        options = [
            f"-max_total_time={told.seconds}",
            f"-max_len={LONGEST}",
            f"-rss_limit_mb={MEMORY_MB}",
            f"-timeout={HANG_S}",
            f"-seed={told.seed}",
            f"-artifact_prefix={kept}/",
            "-print_final_stats=1",
            "-verbosity=1",
        ]
        atheris.Setup([sys.argv[0], *options, folder, str(kept)], TARGETS[told.target])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
