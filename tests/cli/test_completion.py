"""Completion in shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("cryomamba")
SCRIPTS = {"bash": "complete -o default -F", "zsh": "compdef _cryomamba_completion", "fish": "complete --command"}


def script(shell: str) -> str:
    env = {**os.environ, "_CRYOMAMBA_COMPLETE": f"source_{shell}"}
    return subprocess.run([PROGRAM], env=env, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("shell", SCRIPTS)
def test_each_shell_gets_its_script(shell: str) -> None:
    """And where the shell is installed, it takes the script without an error."""
    text = script(shell)
    assert SCRIPTS[shell] in text
    if shutil.which(shell) and shell != "zsh":
        subprocess.run([shell, "-c", text], check=True)


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("segm",), {"segment"}),
        (("models", "re"), {"remove"}),
        (("segment", "--out"), {"--out", "--out-dir"}),
        (("segment", "-e", "mem"), {"membrane", "membrain"}),
        (("jobs", "--state", "ru"), {"running"}),
    ],
    ids=lambda value: " ".join(sorted(value)) if isinstance(value, set) else "",
)
def test_bash_completes(words: tuple[str, ...], found: set[str]) -> None:
    """Commands, options, and the values of some, by the function that the sourced script has registered."""
    line = ("cryomamba", *words)
    quoted = " ".join(f"'{word}'" for word in line)
    steps = f"COMP_WORDS=({quoted}); COMP_CWORD={len(line) - 1}; _cryomamba_completion cryomamba '{words[-1]}'"
    code = f'{script("bash")}\n{steps}\nprintf "%s\\n" "${{COMPREPLY[@]}}"'
    env = {**os.environ, "PATH": f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", code], env=env, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == found
