"""What is remembered, and how the program starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from npe2 import PluginManifest

from napari_cryomamba.__main__ import parse
from napari_cryomamba.app.settings import RECENT_MAX, DesktopSettings, SettingsFile


def test_settings_come_back(tmp_path: Path) -> None:
    """What was saved is what is loaded."""
    file = SettingsFile(tmp_path / "deep" / "desktop.json")
    settings = DesktopSettings(opacity=0.4, my_jobs=["a"])
    settings.remember_server("tcp://127.0.0.1:5560")
    file.save(settings)
    assert file.load() == settings
    assert [path.name for path in file.path.parent.iterdir()] == ["desktop.json"]


@pytest.mark.parametrize("text", ["", "{", '{"opacity": 7}', "[]"])
def test_a_damaged_file_counts_as_none(tmp_path: Path, text: str) -> None:
    """Whatever stands in the file, the desktop starts with its defaults."""
    file = SettingsFile(tmp_path / "desktop.json")
    file.path.write_text(text)
    assert file.load() == DesktopSettings()


def test_recent_files_are_few_and_the_newest_first() -> None:
    """The list is bounded, and a file stands in it once."""
    settings = DesktopSettings()
    for number in range(RECENT_MAX + 5):
        settings.remember_file(Path(f"/data/{number}.mrc"))
    settings.remember_file(Path("/data/10.mrc"))
    assert settings.recent_files[:2] == ["/data/10.mrc", f"/data/{RECENT_MAX + 4}.mrc"]
    assert len(settings.recent_files) == RECENT_MAX


def test_jobs_and_the_tomograms_they_were_sent_with_are_remembered() -> None:
    """The newest first; a removed job is not ours any more, and its tomogram is forgotten."""
    settings = DesktopSettings()
    settings.remember_job("a", "/data/a.mrc")
    settings.remember_job("b", None)
    assert (settings.my_jobs, settings.tomograms) == (["b", "a"], {"a": "/data/a.mrc"})
    settings.forget_job("a")
    assert (settings.my_jobs, settings.hidden_jobs, settings.tomograms) == (["b"], ["a"], {})


def test_a_kept_token_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Nobody else on the machine can read the file, and a token is only kept if that is wanted."""
    file = SettingsFile(tmp_path / "desktop.json")
    settings = DesktopSettings()
    settings.remember_token("http://a", "secret")
    file.save(settings)
    assert file.path.stat().st_mode & 0o077 == 0
    settings.remember_token("http://a", None)
    assert settings.tokens == {}


def test_the_command_line_takes_files_and_a_server() -> None:
    """Files and an address come as given; both may be left out."""
    wanted = parse(["a.mrc", "b.rec", "--server", "http://h:1"])
    assert (wanted.files, wanted.server) == ([Path("a.mrc"), Path("b.rec")], "http://h:1")
    assert parse([]).files == []


def test_the_manifest_is_valid_and_its_commands_exist() -> None:
    """npe2 accepts the manifest, and every command names something that can be imported."""
    manifest = PluginManifest.from_distribution("cryomamba")
    manifest.validate_imports()
    assert {command.id for command in manifest.contributions.commands or []} >= {"cryomamba.open", "cryomamba.widget"}


def test_importing_pulls_in_no_server_and_no_network_of_weights() -> None:
    """The whole panel is imported without FastAPI, uvicorn or torch; the program's help without napari."""
    code = (
        "import sys, warnings; warnings.simplefilter('ignore'); import napari_cryomamba.__main__;"
        "assert 'napari' not in sys.modules; import napari_cryomamba.window;"
        "print([name for name in ('fastapi', 'uvicorn', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
