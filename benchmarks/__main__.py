"""Run benchmarks, keep what they measured in ``benchmarks/results.json``, and write ``docs/benchmarks.md``.

Each module beside this one is a program; its first docstring line is the title. A module with ``measure(quick)`` yields
figures, which are printed, stored and drawn here; the others print a table. ``python -m benchmarks`` runs those of the
regular run, ``python -m benchmarks NAME …`` some; the others keep their last result. ``--quick`` takes small sizes,
compares the ratios with the committed ones and ends with status 1 if one is worse; ``--quick --save`` commits to them.
`accuracy` writes to a page of its own.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import importlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import benchmark_page, machine, results
from benchmarks.report.figures import Figure, row

HERE = Path(__file__).parent
OWN_PAGE = {"accuracy": ["--page"]}
"""Benchmarks that write a page of their own, with the options that make them do so."""

# fmt: off
REGULAR: dict[str, float] = {
    "preview_path": 120, "fan_out": 160, "control": 180, "volumes": 110, "startup": 90,
    "membrane_speed": 300, "first_preview": 60, "load_submits": 60, "browser_viewer": 180, "desktop_scroll": 180,
    "desktop_threshold": 60,
}
# fmt: on
"""The regular run, with the seconds that each takes on two cores; the others are long, and are run by their names."""

QUICK = ("control", "fan_out", "preview_path", "startup", "volumes")
"""Those whose small sizes are compared in five minutes."""

TIMEOUT_S = 3600.0


def names() -> list[str]:
    """Return the benchmarks there are."""
    return sorted(path.stem for path in HERE.glob("[a-z]*.py"))


def title_of(name: str) -> str:
    docstring = ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text(encoding="utf-8"))) or name
    return docstring.splitlines()[0].rstrip(".")


def figures_of(name: str, *, quick: bool, file: Path) -> None:
    """Measure in this process, print each figure when it is known, and write all of them to a file."""
    found = []
    for figure in importlib.import_module(f"benchmarks.{name}").measure(quick=quick):
        print(row(figure), flush=True)
        found.append(dataclasses.asdict(figure))
    file.write_text(json.dumps(found), encoding="utf-8")


def yields_figures(name: str) -> bool:
    tree = ast.parse((HERE / f"{name}.py").read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == "measure" and _has_quick(node) for node in tree.body)


def _has_quick(function: ast.FunctionDef) -> bool:
    return any(argument.arg == "quick" for argument in function.args.kwonlyargs)


def run(name: str, *, quick: bool) -> results.Result | None:
    """Run one in a process of its own, and return its result, or None if it failed."""
    print(f"== {name}: {title_of(name)}", flush=True)
    load, started = machine.load(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cryomamba-bench-") as folder:
        file = Path(folder) / "figures.json"
        if yields_figures(name):
            command = [sys.executable, "-m", "benchmarks", name, "--figures", str(file), *["--quick"] * quick]
            done = subprocess.run(command, cwd=HERE.parent, text=True, check=False, timeout=TIMEOUT_S)
        else:
            command = [sys.executable, "-m", f"benchmarks.{name}", *OWN_PAGE.get(name, ())]
            done = subprocess.run(command, cwd=HERE.parent, stdout=subprocess.PIPE, text=True, check=False)
            print(done.stdout, flush=True)
        if done.returncode:
            print(f"{name} ended with status {done.returncode}", file=sys.stderr)
            return None
        figures = [Figure(**one) for one in json.loads(file.read_text("utf-8"))] if file.exists() else []
    return results.Result(
        command=f"make bench ARGS={name}",
        date=machine.today(),
        versions=machine.versions(),
        machine=machine.machine(),
        load=None if load is None else round(load, 1),
        seconds=round(time.monotonic() - started, 1),
        figures=figures,
        text="" if figures else done.stdout.rstrip(),
    )


def measure_and_write(chosen: list[str]) -> int:
    """Run some, keep their results, and write the page after each."""
    stored, failed = results.read("full"), False
    for name in chosen:
        result = run(name, quick=False)
        failed |= result is None
        if result is not None and name not in OWN_PAGE:
            result.note = stored[name].note if name in stored else ""
            stored[name] = result
            results.write("full", {key: stored[key] for key in stored if key in names()})
            write_page()
    return int(failed)


def write_page() -> None:
    titles = {name: title_of(name) for name in names()}
    benchmark_page.write(results.read("full"), titles, REGULAR)


def compare(chosen: list[str], *, save: bool) -> int:
    """Run small sizes, print how the ratios compare, and return 1 if one is worse or a benchmark failed."""
    stored, worse, failed = results.read("quick"), [], False
    changes: list[results.Change] = []
    for name in chosen:
        result = run(name, quick=True)
        failed |= result is None
        if result is None:
            continue
        changes += results.compare(stored[name].figures if name in stored else [], result.figures)
        if save:
            stored[name] = result
    worse = [one for one in changes if one.verdict == "worse"]
    print(f"\n{'ratio to its yardstick':<66}{'before':>9}{'now':>9}")
    for change in changes:
        print(change)
    factor = results.TOLERANCE
    print(
        f"{len(worse)} of {len(changes)} ratios are worse than the committed ones by more than a factor of {factor:g}"
    )
    if save:
        results.write("quick", stored)
        return int(failed)
    return int(failed or bool(worse))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="*", choices=[[], *names()], help="benchmarks to run; the regular run if none")
    parser.add_argument("--quick", action="store_true", help="small sizes, compared with the committed ratios")
    parser.add_argument("--save", action="store_true", help="with --quick: keep these as the committed ratios")
    parser.add_argument("--page", action="store_true", help="only write the page from the results again")
    parser.add_argument("--figures", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.figures:
        figures_of(options.name[0], quick=options.quick, file=options.figures)
        return 0
    if options.page:
        write_page()
        return 0
    if options.quick:
        return compare(options.name or list(QUICK), save=options.save)
    return measure_and_write(options.name or list(REGULAR))


if __name__ == "__main__":
    raise SystemExit(main())
