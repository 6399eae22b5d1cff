"""Coverage-guided fuzzing of one target with Atheris.

``python -m tests.fuzz.coverage envelope --seconds 20`` begins with the seeds of the target and the inputs under
``tests/fuzz/crashes/envelope``, and leaves an input that crashes, hangs or eats memory there, so that it is read again
with every run of the tests. Exit status 0 means that there was none.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

CRASHES: Final = Path(__file__).with_name("crashes")
LONGEST: Final = 70_000
MEMORY_MB: Final = 1024
HANG_S: Final = 5


def main() -> int:
    """Fuzz in a process of its own: the library ends that without a word, so the folder is for this one to remove."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=20261126)
    parser.add_argument("--corpus", type=Path, help="A folder for what is found; a temporary one if left out.")
    told = parser.parse_args()
    if told.corpus is not None:
        fuzz(told.target, told.corpus, told.seconds, told.seed)
    with tempfile.TemporaryDirectory(prefix="cryomamba-corpus-") as folder:
        again = [sys.executable, "-m", "tests.fuzz.coverage", *sys.argv[1:], "--corpus", folder]
        return subprocess.run(again, check=False).returncode


def fuzz(target: str, corpus: Path, seconds: int, seed: int) -> None:
    """Fuzz a target; does not return."""
    import atheris

    with atheris.instrument_imports(include=["cryomamba", "tests.fuzz.targets"]):
        from tests.fuzz.targets import TARGETS, seeds
    kept = CRASHES / target
    kept.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(seeds(target)):
        (corpus / f"seed-{number}").write_bytes(content)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-timeout={HANG_S}",
        f"-seed={seed}",
        f"-artifact_prefix={kept}/",
        "-print_final_stats=1",
        "-verbosity=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus), str(kept)], TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
