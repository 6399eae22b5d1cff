"""The code blocks of README and documentation, and how they are run: each page in order, in one folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

NOT_RUN = {
    "README.md#make": "the targets of the Makefile are what continuous integration runs",
    "docs/accuracy.md": "each takes hours; tests/benchmarks run small versions",
    "docs/install.md": "installs the program; .ci/try-dist does so with every extra",
    "docs/getting-started.md#make": "the targets of the Makefile are what continuous integration runs",
    "docs/explanations/scaling.md": "measures services for minutes; tests/benchmarks run the simulation",
    "docs/guide/adding-an-engine.md": "tests/sdk and tests/inference run the examples as packages",
    "docs/guide/converting-models.md": "needs other frameworks; tests/models run them",
    "docs/guide/dask.md": "needs a Dask cluster; tests/inference/executor start one",
    "docs/guide/desktop.md": "opens a window; tests/desktop do so",
    "docs/guide/models.md": "needs networks of other frameworks; tests/models and tests/cli/test_models.py run them",
    "docs/guide/other-programs.md": "needs projects of other programs; tests/formats make some",
    "docs/guide/pixels.md": "needs painted strokes; tests/cli/test_segment.py has some",
    "docs/guide/services.md": "starts services on fixed ports; tests/system start them",
    "docs/guide/slurm.md": "needs a cluster; tests/cli/slurm have one",
    "docs/guide/uncertainty.md": "needs a network of nnU-Net; tests/models run it",
    "docs/guide/watch-folder.md": "runs until it is stopped; tests/cli/batch stop it",
    "docs/guide/webhooks.md": "needs a receiver on the internet; tests/broker have one",
    "docs/guide/zarr.md": "tests/gateway run these examples with a job",
    "docs/notebooks/batch.md": "a notebook, which tests/docs/test_notebooks.py runs",
    "docs/notebooks/segment.md": "a notebook, which tests/docs/test_notebooks.py runs",
    "docs/notebooks/server.md": "a notebook, which tests/docs/test_notebooks.py runs",
    "docs/operations/access.md": "changes who may use a server; tests/deploy and tests/cli/test_keys.py do so",
    "docs/operations/backup.md": "needs a server under systemd; tests/cli/test_backup.py run the commands",
    "docs/operations/capacity.md": "measures a server for minutes",
    "docs/operations/chaos-and-load.md": "takes hours",
    "docs/operations/install.md": "changes the system; tests/deploy check its files",
    "docs/operations/monitoring.md": "needs a server under systemd",
    "docs/operations/watch-folder.md": "changes the system; tests/deploy check its files",
    "docs/reference/cli.md": "generated; tests/docs/test_pages.py parses every line",
    "docs/reference/http.md": "needs ids of real files and jobs; tests/gateway send the requests",
}
"""Pages that are not run, each with the reason; '#make' after a page leaves out its lines with make alone."""

_BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^>]+) -->\n+)?"
    r"^ *```(?P<language>console|bash|python)\b[^\n]*\n(?P<code>.*?)^ *```",
    re.DOTALL | re.MULTILINE,
)
_MARKER = re.compile(r"<!-- not run: ")


@dataclass(frozen=True, slots=True)
class Block:
    """A code block.

    Attributes
    ----------
    language : str
        ``console`` (lines that begin with ``$``), ``bash`` or ``python``.
    code : str
    reason : str
        Why it is not run; empty if it is.
    """

    language: str
    code: str
    reason: str


def pages() -> list[str]:
    """Return the pages that have code blocks, by their paths in the repository."""
    files = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [path.relative_to(ROOT).as_posix() for path in files if blocks(path)]


def blocks(path: Path) -> list[Block]:
    """Return the blocks of a page."""
    text = path.read_text(encoding="utf-8")
    found = [Block(one["language"], one["code"], (one["reason"] or "").strip()) for one in _BLOCK.finditer(text)]
    assert len(_MARKER.findall(text)) == sum(bool(block.reason) for block in found), f"a marker of {path} has no block"
    return found


def commands(block: Block) -> Iterator[str]:
    """Yield the commands of a console block; lines of output are left out."""
    command = ""
    for line in block.code.splitlines():
        text = line.strip()
        if command:
            command += "\n" + text.removeprefix("> ")
        elif text.startswith("$ "):
            command = text.removeprefix("$ ")
        if command and not command.endswith("\\"):
            yield command
            command = ""
    if command:
        yield command
