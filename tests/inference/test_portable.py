"""A local run needs nothing that only Unix has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cryomamba.volumes import write_volume

# What Python has on Unix alone, and code for files likes to use. What else Windows lacks mypy finds.
UNIX_ONLY = ("pread", "preadv", "pwrite", "pwritev", "posix_fadvise", "sched_getaffinity", "fork", "killpg")

RUN = """
import os, sys
for name in {names}:
    if hasattr(os, name):
        delattr(os, name)
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
if __name__ == "__main__":
    import cryomamba
    cryomamba.segment("t1.mrc", engine={engine!r}, output={output!r})
"""


def run(folder: Path, engine: str, names: tuple[str, ...], output: str) -> bytes:
    script = folder / "run.py"
    script.write_text(RUN.format(names=names, engine=engine, output=output))
    env = {**os.environ, "CRYOMAMBA_PROCESSES": "1", "CRYOMAMBA_HOME": str(folder / "home")}
    done = subprocess.run([sys.executable, script], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # After the header, which has the time.
    return (folder / output).read_bytes()[1024:]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["threshold", "membrane", "particles"])
def test_a_run_without_functions_of_unix_gives_the_same_mask(engine: str, tmp_path: Path) -> None:
    """Reading, scores and writing take the way that they would on Windows."""
    noise = np.random.default_rng(2).normal(size=(32, 48, 48)).astype(np.float32)
    noise[12:15] -= 3
    write_volume(tmp_path / "t1.mrc", noise, 12.0)
    assert run(tmp_path, engine, UNIX_ONLY, "portable.mrc") == run(tmp_path, engine, (), "usual.mrc")
