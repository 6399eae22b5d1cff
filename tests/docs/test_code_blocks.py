"""Every code block of README and documentation runs, or has a reason why it does not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tifffile
from tests.docs.code_blocks import NOT_RUN, ROOT, blocks, commands, pages

import cryomamba
from cryomamba.testing import DEADLINE_S, Stack
from cryomamba.volumes import open_volume

pytestmark = [pytest.mark.system, pytest.mark.slow]

PROGRAM = Path(sys.executable).with_name("cryomamba")
RUN = [page for page in pages() if page not in NOT_RUN]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the pages speak of, which each page gets a copy of."""
    found = tmp_path_factory.mktemp("files")
    options = ["--shape", "32,64,64", "--voxel-size", "14", "--seed", "3", "--truth", "mask.mrc", "--quiet"]
    subprocess.run([PROGRAM, "synth", "t1.mrc", *options], cwd=found, check=True)
    for name in ("tomogram.mrc", "tomograms/a.mrc", "tomograms/b.mrc", "data/a.rec"):
        (found / name).parent.mkdir(exist_ok=True)
        shutil.copy(found / "t1.mrc", found / name)
    for name in ("cell_membranes.mrc", "t1_lamella.mrc", "t1__membrane.mrc"):
        shutil.copy(found / "mask.mrc", found / name)
    with open_volume(found / "t1.mrc") as volume:
        tifffile.imwrite(found / "t1.tif", volume.read_native(slice(None), slice(None), slice(None)))
    # Commands are repeated on a page, and would refuse to overwrite what they wrote before.
    names = ("segment", "clean", "convert", "export", "surface", "synth", "threshold")
    (found / "cryomamba.toml").write_text("".join(f"[{name}]\nforce = true\n" for name in names))
    return found


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Services for the blocks that need a server; they may read everything below the temporary folder."""
    with Stack(tmp_path_factory.mktemp("stack") / "home", roots=[tmp_path_factory.getbasetemp()]) as stack:
        yield stack.start().wait_ready()


@pytest.fixture(scope="module")
def job_id(stack: Stack, folder: Path) -> str:
    """A finished job with a score map, for the id that the pages give."""
    with cryomamba.connect(stack.http_url) as client:
        return client.submit(folder / "t1.mrc", engine="membrane").wait().job_id


def test_every_reason_belongs_to_a_page() -> None:
    """No page that is gone or has no block is in the list."""
    assert {name.partition("#")[0] for name in NOT_RUN} <= {*pages()}


@pytest.mark.parametrize("page", RUN)
def test_the_blocks_of_a_page_run(page: str, folder: Path, stack: Stack, job_id: str, tmp_path: Path) -> None:
    """One after another in one folder; the Python blocks of a page are one program."""
    place = tmp_path / "work"
    shutil.copytree(folder, place)
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CRYOMAMBA_")},
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
        "CRYOMAMBA_HOME": str(tmp_path / "home"),
        "CRYOMAMBA_SERVER": stack.http_url,
        "CRYOMAMBA_PROCESSES": "1",
        "CRYOMAMBA_CONFIG": str(folder / "cryomamba.toml"),
    }

    def run(command: list[str | Path], shown: str) -> None:
        done = subprocess.run(
            command, cwd=place, env=env, capture_output=True, text=True, timeout=3 * DEADLINE_S, check=False
        )
        assert done.returncode == 0, f"{page}: {shown}\n{done.stdout}{done.stderr}"

    def local(text: str) -> str:
        for address in ("http://127.0.0.1:8000", "http://lab:8000"):
            text = text.replace(address, stack.http_url)
        return text.replace("3f2a9c1e", job_id).replace(".venv/bin/", "")

    program = ""
    for block in blocks(ROOT / page):
        if block.reason:
            continue
        if block.language == "python":
            program += block.code
            run([sys.executable, "-c", local(program)], block.code)
        elif block.language == "bash":
            run(["bash", "-euo", "pipefail", "-c", local(block.code)], block.code)
        else:
            for command in commands(block):
                if f"{page}#make" in NOT_RUN and command.startswith("make "):
                    continue
                run(["bash", "-euo", "pipefail", "-c", local(command)], command)
