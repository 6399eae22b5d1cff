"""The program's command line, the plugin's manifest, and what importing them loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from npe2 import PluginManifest

from napari_cryomamba.__main__ import parse


def test_the_command_line_takes_files_and_a_server() -> None:
    """Both are optional."""
    arguments = parse(["a.mrc", "b.rec", "--server", "http://h:1"])
    assert (arguments.files, arguments.server) == ([Path("a.mrc"), Path("b.rec")], "http://h:1")
    assert parse([]).files == []


def test_the_manifest_is_valid_and_its_commands_exist() -> None:
    """npe2 accepts the manifest, and every command names something that can be imported."""
    manifest = PluginManifest.from_distribution("cryomamba")
    manifest.validate_imports()
    assert {command.id for command in manifest.contributions.commands or []} >= {"cryomamba.open", "cryomamba.widget"}


def test_importing_needs_no_server_framework() -> None:
    """The whole panel is imported without FastAPI, uvicorn or torch; the program's help without napari."""
    code = (
        "import sys, warnings; warnings.simplefilter('ignore'); import napari_cryomamba.__main__;"
        "assert 'napari' not in sys.modules; import napari_cryomamba.window;"
        "print([name for name in ('fastapi', 'uvicorn', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
