"""An engine that is a program: its file, its progress, its errors, and its end."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import psutil
import pytest

from cryomamba.engines import EngineParameters, Found, ProgramEngine, ProgramFiles, Slices, Tile, VolumeContext, Voxels
from cryomamba.engines.program_output import last_sentence, percentage
from cryomamba.errors import JobFailedError
from cryomamba.testing import DEADLINE_S, wait_until

SHAPE = (6, 5, 4)
SIZE_A = (12.0, 10.0, 9.0)
START = """
import os, signal, subprocess, sys, time
import mrcfile, numpy as np
source, target, folder = sys.argv[1:]
tomogram = mrcfile.read(source)

def write(mask):
    with mrcfile.new(target, overwrite=True) as file:
        file.set_data(mask)
"""
NEGATIVE = "write((tomogram < 0).astype(np.int8))"
# A process that has started another, and neither ends by itself; both numbers are written at once.
ENDLESS = """
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
with open(folder + "/pids.part", "w") as file:
    file.write(f"{os.getpid()} {other.pid}")
os.replace(folder + "/pids.part", folder + "/pids")
print("12 %")
time.sleep(3600)
"""


class Scripted(ProgramEngine[EngineParameters]):
    name = "scripted"
    summary = "An engine for tests."
    program = sys.executable
    labels: Mapping[int, str] = {1: "negative", 2: "other"}
    script: ClassVar[Path]

    def arguments(self, files: ProgramFiles) -> Sequence[str | Path | float]:
        return [self.script, files.tomogram, files.output, self.script.parent]


class Half(Scripted):
    name = "half"

    def decode(self, block: Voxels) -> Found:
        return block > 100


class Missing(Scripted):
    name = "missing"
    program = "no-such-program"
    install = "conda install no-such-program"


@pytest.fixture
def density() -> Voxels:
    return np.random.default_rng(2).normal(0, 1, SHAPE).astype(np.float32)


def make(folder: Path, code: str, kind: type[Scripted] = Scripted) -> Scripted:
    """Return an engine whose program is Python code."""
    script = folder / "tool.py"
    script.write_text(START + textwrap.dedent(code))
    kind.script = script
    return kind(EngineParameters())


class Reports:
    """Notes progress; raises, as of a cancelled job, once something is there."""

    def __init__(self, cancel_at: Path | None = None) -> None:
        self.fractions: list[float] = []
        self.doing: list[str] = []
        self._cancel_at = cancel_at

    def __call__(self, fraction: float, doing: str = "", /) -> None:
        self.fractions.append(fraction)
        self.doing.append(doing)
        if self._cancel_at is not None and self._cancel_at.exists():
            raise JobFailedError("The job was cancelled.")


def prepare(engine: Scripted, density: Voxels, scratch: Path | None, reports: Reports | None = None) -> None:
    engine.prepare(
        VolumeContext(
            density.shape,
            SIZE_A,
            None,
            density.__getitem__,
            scratch=scratch,
            threads=2,
            report_progress=reports or Reports(),
        )
    )


def predict(engine: Scripted, box: Slices) -> np.ndarray:
    start, shape = [each.start for each in box], [each.stop - each.start for each in box]
    core = (slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2]))
    tile = Tile(np.empty((0, 0, 0), np.float32), core, (start[0], start[1], start[2]), (shape[0], shape[1], shape[2]))
    return engine.predict(tile)


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_tile_is_a_part_of_what_the_program_wrote(tmp_path: Path, density: Voxels, in_memory: bool) -> None:
    """The program gets the densities and the voxel size; nothing but the labels is left in the job's folder."""
    code = f"assert mrcfile.open(source).voxel_size.tolist() == {SIZE_A[::-1]}\n" + NEGATIVE
    engine, before = make(tmp_path, code), set(Path(tempfile.gettempdir()).glob("cryomamba-*"))
    job = tmp_path / "job"
    job.mkdir()
    prepare(engine, density, None if in_memory else job)
    box = (slice(1, 6), slice(0, 5), slice(2, 4))
    assert np.array_equal(predict(engine, box), (density < 0)[box])
    assert [path.name for path in job.rglob("*") if path.is_file()] == ([] if in_memory else ["labels.raw"])
    assert set(Path(tempfile.gettempdir()).glob("cryomamba-*")) <= before


def test_percentages_become_progress(tmp_path: Path, density: Voxels) -> None:
    """Whatever stream they are printed to and however the line ends; progress never goes back."""
    code = """
    print("a 20 %")
    sys.stderr.write("\\r 60%|####  | 3/5\\r")
    print("again 10%")
    """
    reports = Reports()
    prepare(make(tmp_path, code + "\n" + textwrap.dedent(NEGATIVE)), density, tmp_path, reports)
    assert reports.fractions == sorted(reports.fractions)
    running = [
        fraction
        for fraction, doing in zip(reports.fractions, reports.doing, strict=True)
        if doing.startswith("running python")
    ]
    assert max(running) == pytest.approx(0.05 + 0.9 * 0.6)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("sys.exit('error: the density is constant')", "failed: the density is constant."),
        ("raise ValueError(f'{source} has no voxel size')", "failed: tomogram.mrc has no voxel size."),
        ("print('nothing to do'); sys.exit(3)", "failed: nothing to do."),
        ("sys.exit(3)", "exit status 3 and without a message."),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "was ended by the signal SIGSEGV."),
        ("os.kill(os.getpid(), signal.SIGKILL)", "was ended by the signal SIGKILL."),
        ("pass", "ended without writing its mask."),
        ("open(target, 'w').write('no volume')", "wrote a mask that cannot be read"),
        ("write(np.zeros((6, 5, 5), np.int8))", r"shape \(6, 5, 5\) for a tomogram of \(6, 5, 4\)"),
        ("write(np.full(tomogram.shape, 3, np.int8))", "values from 3 to 3; the labels are 0 to 2"),
        ("write(np.full(tomogram.shape, 0.5, np.float32))", "fractions"),
    ],
)
def test_what_goes_wrong_becomes_a_sentence(tmp_path: Path, density: Voxels, code: str, words: str) -> None:
    """It names the program and what it said, without the folders of the server, and what to do."""
    with pytest.raises(JobFailedError, match=words) as caught:
        prepare(make(tmp_path, code), density, tmp_path)
    assert "python" in caught.value.message
    assert str(tmp_path) not in caught.value.message
    assert caught.value.hint


def test_a_subclass_says_what_the_values_mean(tmp_path: Path, density: Voxels) -> None:
    """A program that writes 255 needs one line more."""
    engine = make(tmp_path, "write((tomogram < 0).astype(np.float32) * 255)", Half)
    prepare(engine, density, tmp_path)
    assert np.array_equal(predict(engine, (slice(0, 6), slice(0, 5), slice(0, 4))), density < 0)


def ended(pids: Path) -> bool:
    """Return whether none of the noted processes runs."""
    found = [int(pid) for pid in pids.read_text().split()]
    assert len(found) == 2
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in found)


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_cancel_ends_the_program_and_what_it_has_started(tmp_path: Path, density: Voxels, stubborn: bool) -> None:
    """Also a program that ignores the request to end."""
    code = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" if stubborn else ""
    with pytest.raises(JobFailedError, match="cancelled"):
        prepare(make(tmp_path, code + ENDLESS), density, tmp_path, Reports(tmp_path / "pids"))
    wait_until(lambda: ended(tmp_path / "pids"), what="the processes to end")


def test_the_program_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    """A compute process that is killed, for its memory or its time, leaves no program running."""
    make(tmp_path, ENDLESS)
    runner = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from pathlib import Path
import numpy as np
from tests.sdk.engines.test_programs import START, Scripted, prepare
from cryomamba.engines import EngineParameters
Scripted.script = Path({str(tmp_path / "tool.py")!r})
prepare(Scripted(EngineParameters()), np.zeros({SHAPE}, np.float32), Path({str(tmp_path)!r}))
"""
    process = subprocess.Popen([sys.executable, "-c", runner])
    wait_until((tmp_path / "pids").exists, what="the program to start")
    assert not ended(tmp_path / "pids")
    process.send_signal(signal.SIGKILL)
    process.wait(DEADLINE_S)
    wait_until(lambda: ended(tmp_path / "pids"), what="the processes to end")


def test_a_program_that_is_not_there_makes_the_engine_unavailable() -> None:
    """The reason names it, and the hint says how to install it."""
    missing = Missing.availability()
    assert (missing.ok, missing.hint) == (False, "conda install no-such-program")
    assert "'no-such-program' is not installed" in missing.reason
    assert Scripted.availability().ok


def test_a_program_that_depends_on_the_voxel_size_is_run_once() -> None:
    """A preview of the binned copy comes first, unless the engine has none."""
    assert [each.factor for each in Scripted(EngineParameters()).passes()] == [0, 1]
    once = type("Once", (Scripted,), {"previews": False})
    assert [each.factor for each in once(EngineParameters()).passes()] == [1]


@pytest.mark.parametrize(
    ("line", "fraction"),
    [(" 37%|###   | 3/8", 0.37), ("12.5 % of 100 % done", 1.0), ("step 3 of 8", None), ("250 %", 1.0), ("", None)],
)
def test_the_last_percentage_of_a_line_counts(line: str, fraction: float | None) -> None:
    """Other numbers say nothing."""
    assert percentage(line) == fraction


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["a", "tool: error: no such file: /srv/data/user/t1.mrc.", "  "], "no such file: t1.mrc"),
        (["torch.cuda.OutOfMemoryError: CUDA out of memory"], "CUDA out of memory"),
        (["ERROR: 3 of 4 GPUs"], "3 of 4 GPUs"),
        (["cannot read C:\\data\\new\\t1.mrc"], "cannot read t1.mrc"),
        (["beam/stage 3/4 lost"], "beam/stage 3/4 lost"),
        (["bad \x1b[31m colour"], "bad \\x1b[31m colour"),
        ([], ""),
    ],
)
def test_the_last_line_is_the_message(lines: list[str], sentence: str) -> None:
    """Without what programs write before a message, without folders, and printable."""
    assert last_sentence(lines) == sentence
