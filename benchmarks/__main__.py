"""Run benchmarks and write their tables to ``docs/benchmarks.md``.

Each module beside this one is a program that prints what it measures; its first docstring line is the title.
``python -m benchmarks`` runs all of them but the long ones, ``python -m benchmarks NAME …`` some; the others keep their
last result.
`accuracy` writes to a page of its own.
"""

from __future__ import annotations

import argparse
import ast
import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from cryomamba import __version__

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
INTRODUCTION = """# Benchmarks

Speed and memory, and the quality of picks. Every table compares with a peer or a target *in the same run*, because
absolute times depend on the machine. `make bench` runs all of them again; `make bench ARGS=NAME` runs one. How well
membranes are found is on the page [Accuracy](accuracy.md).
"""
OWN_PAGE = {"accuracy": ["--page"]}
"""Benchmarks that write a page of their own, with the options that make them do so."""

LONG = {"dask_workers", "endurance", "idle_peers"}
"""Benchmarks that take long or all descriptors of the machine, and run only if they are named."""


def names() -> list[str]:
    """Return the benchmarks there are."""
    return sorted(path.stem for path in HERE.glob("[a-z]*.py"))


def title_of(name: str) -> str:
    docstring = ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text(encoding="utf-8"))) or name
    return docstring.splitlines()[0].rstrip(".")


def run(name: str) -> str | None:
    """Run one and return its section of the page, or None if it failed."""
    print(f"== {name}: {title_of(name)}", flush=True)
    # What else the machine does: with more than a process per core, times are longer than on one that is quiet.
    load = f", load {os.getloadavg()[1]:.1f} before" if hasattr(os, "getloadavg") else ""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *OWN_PAGE.get(name, ())],
        cwd=HERE.parent,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    print(done.stdout, flush=True)
    if done.returncode:
        print(f"{name} ended with status {done.returncode}", file=sys.stderr)
        return None
    cores = f"{os.cpu_count()} cores{load}"
    machine = f"{cores}, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return (
        f"## {title_of(name)}\n\n`make bench ARGS={name}` · {datetime.now(UTC):%Y-%m-%d} · version {__version__} · "
        f"{machine}\n\n```text\n{done.stdout.rstrip()}\n```\n"
    )


def sections() -> dict[str, str]:
    """Return the page's present sections by benchmark."""
    if not PAGE.exists():
        return {}
    parts = re.split(r"(?m)^(?=## )", PAGE.read_text(encoding="utf-8"))[1:]
    found = {match[1]: part for part in parts if (match := re.search(r"`make bench ARGS=(\w+)`", part))}
    return {name: part.rstrip() + "\n" for name, part in found.items() if name in names()}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "name", nargs="*", choices=[[], *names()], help="benchmarks to run; all but the long ones if none is named"
    )
    chosen = parser.parse_args().name or [name for name in names() if name not in LONG]
    page, failed = sections(), False
    for name in chosen:
        section = run(name)
        failed |= section is None
        if section is not None and name not in OWN_PAGE:
            page[name] = section
            PAGE.write_text("\n".join([INTRODUCTION, *(page[key] for key in sorted(page))]), encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
