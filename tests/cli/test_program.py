"""The installed program in a process of its own."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cryomamba import __version__
from cryomamba.volumes import write_volume

PROGRAM = Path(sys.executable).with_name("cryomamba")
ROOT = Path(__file__).parents[2]
UNIX_ONLY = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
HEAVY = ("numpy", "pydantic", "rich", "zmq", "httpx", "scipy", "onnxruntime", "mrcfile", "asyncio")


def test_the_console_script_is_installed() -> None:
    """``cryomamba`` and ``python -m cryomamba_cli`` are the same program."""
    for command in ([str(PROGRAM)], [sys.executable, "-m", "cryomamba_cli"]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
        assert done.stdout == f"cryomamba {__version__}\n"


def test_starting_imports_nothing_heavy() -> None:
    """At the start, only typer and the standard library are imported."""
    code = f"import sys, cryomamba_cli.app; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported where a module or function runs, but for what is kept from Windows."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "win32" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]
        yield from imports(node)


@pytest.mark.parametrize("folder", ["sdk", "services/common", "cli", "desktop"])
def test_no_module_of_unix_alone_is_imported(folder: str) -> None:
    """Client, command line and desktop can be imported on Windows too."""
    modules = sorted((ROOT / folder).rglob("*.py"))
    assert modules
    found = {path.name: UNIX_ONLY & set(imports(ast.parse(path.read_text("utf-8")))) for path in modules}
    assert {name for name, wrong in found.items() if wrong} == set()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGPIPE")
def test_a_closed_pipe_is_no_error() -> None:
    """If the reader closes the pipe, the program ends without a message."""
    with subprocess.Popen(
        [str(PROGRAM), "engines", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == ""
    assert running.returncode == 141


@pytest.mark.skipif(sys.platform == "win32", reason="there are no process groups")
def test_ctrl_c_at_a_terminal_stops_the_whole_process_group(tmp_path: Path) -> None:
    """Worker processes get the signal too, even while they start, and no traceback is printed."""
    plane = np.random.default_rng(1).normal(size=(1, 512, 512)).astype(np.float32)
    write_volume(tmp_path / "t.mrc", (plane for _ in range(100)), 10.0, shape=(100, 512, 512))
    command = [str(PROGRAM), "segment", "t.mrc", "-e", "threshold"]
    environment = {**os.environ, "CRYOMAMBA_PROCESSES": "2"}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        assert running.stderr is not None
        next(line for line in running.stderr if "segmenting" in line)
        os.killpg(running.pid, signal.SIGINT)
        printed = running.stderr.read()
    assert running.returncode == 130
    assert "Traceback" not in printed
    assert printed.endswith("Interrupted. The job is cancelled; nothing was written.\n")
    assert [path.name for path in tmp_path.iterdir()] == ["t.mrc"]
