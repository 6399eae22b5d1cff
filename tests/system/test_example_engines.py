"""The packages of ``examples/``: each in an environment of its own, run on this machine and as a job of a server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mrcfile
import numpy as np
import psutil
import pytest

import cryomamba
from cryomamba.errors import JobFailedError
from cryomamba.models.events import PreviewEvent, ProgressEvent
from cryomamba.models.jobs import JobState, PreviewOptions, Progress
from cryomamba.testing import DEADLINE_S, Stack, wait_until
from cryomamba.volumes import write_volume
from cryomamba_inference.runner.progress import MEASURING, MERGING, PREPARING, WRITING

pytestmark = [pytest.mark.system, pytest.mark.slow]
EXAMPLES = Path(__file__).parents[2] / "examples"
ENGINES = ("spots", "spotnet", "kmeans")
# Several processes compute it: eight tiles of the array engine, but of a network fewer voxels have many windows.
SHAPES = {"spots": (180, 224, 224), "spotnet": (64, 128, 128), "kmeans": (96, 224, 224)}
VOXEL_SIZE_A = (12.0, 10.0, 10.0)
SPOTS = 12
STAGES = ("starting", "quick preview", MEASURING, PREPARING, "segmenting", "reading the mask", MERGING, WRITING, "done")


@dataclass(frozen=True)
class Environment:
    """A virtual environment with the package of one engine."""

    engine: str
    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def cli(self, *arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
        home = {"CRYOMAMBA_HOME": str(self.folder / "home"), "PYTHONPATH": ""}
        return subprocess.run(
            [self.python, "-m", "cryomamba_cli", *(str(each) for each in arguments)],
            env={**os.environ, **home, **env},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=2 * DEADLINE_S,
        )


@pytest.fixture(scope="module", params=ENGINES)
def environment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A new environment that sees the packages of this one, and has the example installed."""
    engine = str(request.param)
    folder = tmp_path_factory.mktemp(f"env-{engine}")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=DEADLINE_S)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "ours.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    install = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet"]
    install += ["--disable-pip-version-check", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*install, str(EXAMPLES / f"cryomamba-{engine}")], check=True, timeout=DEADLINE_S)
    return Environment(engine, folder)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("inputs")


@pytest.fixture(scope="module")
def centres(environment: Environment) -> list[tuple[int, int, int]]:
    rng, shape = np.random.default_rng(5), SHAPES[environment.engine]
    return [tuple(rng.integers(12, [side - 12 for side in shape]).tolist()) for _ in range(SPOTS)]


@pytest.fixture(scope="module")
def tomogram(environment: Environment, inputs: Path, centres: list[tuple[int, int, int]]) -> Path:
    """Dark spots of 100 Å in noise, with a start and an origin."""
    density = np.random.default_rng(5).normal(0, 6, SHAPES[environment.engine]).astype(np.float32)
    z, y, x = np.indices((13, 13, 13)) - 6
    ball = (z * 1.2) ** 2 + y**2 + x**2 <= 25
    for at in centres:
        density[tuple(slice(each - 6, each + 7) for each in at)][ball] -= 25
    path = inputs / f"{environment.engine}.mrc"
    write_volume(path, np.clip(np.rint(density), -128, 127), VOXEL_SIZE_A, dtype="int8")
    with mrcfile.open(path, "r+") as file:
        file.header.origin = (11.0, 22.0, 33.0)
        file.nstart = (1, 2, 3)
    return path


@pytest.fixture(scope="module")
def stack(environment: Environment, inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The services in the environment of the example."""
    home = tmp_path_factory.mktemp(f"stack-{environment.engine}")
    env = {"CRYOMAMBA_PROCESSES": "2"}
    with Stack(home, roots=[inputs], env=env, python=environment.python) as stack:
        yield stack.start().wait_ready()


@pytest.fixture(scope="module")
def local_mask(environment: Environment, tomogram: Path) -> Path:
    """What a local run with one process gives."""
    mask = environment.folder / "one.mrc"
    run = environment.cli("segment", tomogram, "-e", environment.engine, "-o", mask, CRYOMAMBA_PROCESSES="1")
    assert run.returncode == 0, run.stderr
    return mask


def programs(environment: Environment) -> list[int]:
    """Return the processes of the program that comes with an example."""
    script = str(environment.folder / "bin" / "mrc-kmeans")
    running = (each for each in psutil.process_iter(["cmdline", "status"]) if script in (each.info["cmdline"] or ()))
    return [each.pid for each in running if each.info["status"] != psutil.STATUS_ZOMBIE]


def test_the_engine_is_listed_with_its_package(environment: Environment) -> None:
    """The command line finds it through the entry point, with its parameters and where it comes from."""
    described = json.loads(environment.cli("engines", environment.engine, "--json").stdout)
    assert (described["available"], described["package"]) == (True, f"cryomamba-{environment.engine} 1.0")
    assert (
        f"From the package cryomamba-{environment.engine} 1.0" in environment.cli("engines", environment.engine).stdout
    )


def test_the_mask_keeps_the_header_and_has_the_same_bytes_with_two_processes(
    environment: Environment, tomogram: Path, local_mask: Path, centres: list[tuple[int, int, int]]
) -> None:
    """Every spot is found, and not much else is label 1; grid, start and origin are those of the tomogram."""
    two = environment.folder / "two.mrc"
    run = environment.cli("segment", tomogram, "-e", environment.engine, "-o", two, CRYOMAMBA_PROCESSES="2")
    assert run.returncode == 0, run.stderr
    assert two.read_bytes() == local_mask.read_bytes()
    with mrcfile.open(local_mask) as file:
        assert file.voxel_size.tolist() == pytest.approx(VOXEL_SIZE_A[::-1])
        assert (file.header.origin.tolist(), file.nstart.tolist()) == ((11.0, 22.0, 33.0), (1, 2, 3))
        assert all(file.data[at] == 1 for at in centres)
        # K-means has a class for the dark end of the noise, too.
        assert (file.data == 1).mean() < (0.2 if environment.engine == "kmeans" else 0.02)


def assert_progresses(reports: list[Progress]) -> None:
    """Require progress that never goes back, through stages in their order."""
    assert reports
    for each in ("fraction", "done_tiles"):
        values = [getattr(report, each) for report in reports]
        assert values == sorted(values)
    # Several reports may have become one, so any stage may be missing, but none is unknown or out of order.
    order = [STAGES.index(report.stage.partition(":")[0]) for report in reports]
    assert order == sorted(order)


def test_a_job_shows_previews_and_gives_the_same_mask(
    environment: Environment, stack: Stack, tomogram: Path, local_mask: Path, tmp_path: Path
) -> None:
    """Progress and frames arrive while it runs, over HTTP; the mask is that of the local run."""
    with cryomamba.connect(stack.http_url) as client:
        preview = PreviewOptions(interval_s=0.05, max_voxels=64**3)
        job = client.submit(tomogram, engine=environment.engine, preview=preview)
        events = list(job.watch())
        frames = [event.frame for event in events if isinstance(event, PreviewEvent)]
        assert any(not frame.final and frame.mask.any() for frame in frames)
        reports = [event.progress for event in events if isinstance(event, ProgressEvent)]
        assert_progresses(reports)
        record = job.wait()
        assert record.state is JobState.COMPLETED
        assert (record.progress.fraction, record.progress.eta_s) == (1.0, 0.0)
        assert record.progress.done_tiles == record.progress.total_tiles > 0
        assert client.download(job.job_id, "mask.mrc", tmp_path).read_bytes() == local_mask.read_bytes()


def test_a_job_is_cancelled_while_it_runs(environment: Environment, stack: Stack, tomogram: Path) -> None:
    """It ends at once, and no process of a program is left."""
    with cryomamba.connect(stack.http_url) as client:
        job = client.submit(tomogram, engine=environment.engine)
        if environment.engine == "kmeans":
            wait_until(lambda: programs(environment), what="the program to run")
        else:
            wait_until(lambda: client.record(job.job_id).state is JobState.RUNNING, what="the job to run")
        job.cancel()
        wait_until(lambda: client.record(job.job_id).state is JobState.CANCELLED, what="the job to be cancelled")
    wait_until(lambda: not programs(environment), what="the program to end")


@pytest.mark.parametrize("environment", ["kmeans"], indirect=True, scope="module")
def test_the_message_of_a_program_is_that_of_its_job(environment: Environment, stack: Stack, inputs: Path) -> None:
    """What it wrote to standard error is what people read, on the command line and of a job."""
    flat = inputs / "flat.mrc"
    write_volume(flat, np.full((16, 32, 32), 7, np.float32), 10.0)
    sentence = "The program 'mrc-kmeans' failed: the density is constant."
    run = environment.cli("segment", flat, "-e", "kmeans", "-o", environment.folder / "flat.mrc")
    assert run.returncode != 0
    assert sentence in run.stderr
    with cryomamba.connect(stack.http_url) as client:
        job = client.submit(flat, engine="kmeans")
        with pytest.raises(JobFailedError) as failed:
            job.wait()
        assert failed.value.message == sentence
