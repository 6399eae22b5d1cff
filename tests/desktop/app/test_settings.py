"""Settings that are kept between sessions."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_cryomamba.app.settings import RECENT_MAX, DesktopSettings, SettingsFile


def test_settings_come_back(tmp_path: Path) -> None:
    """Saving and loading returns the same settings."""
    file = SettingsFile(tmp_path / "deep" / "desktop.json")
    settings = DesktopSettings(opacity=0.4, my_jobs=["a"])
    settings.remember_server("tcp://127.0.0.1:5560")
    file.save(settings)
    assert file.load() == settings
    assert [path.name for path in file.path.parent.iterdir()] == ["desktop.json"]


@pytest.mark.parametrize("text", ["", "{", '{"opacity": 7}', "[]"])
def test_a_damaged_file_means_the_defaults(tmp_path: Path, text: str) -> None:
    """Whatever the file contains, the desktop starts."""
    file = SettingsFile(tmp_path / "desktop.json")
    file.path.write_text(text)
    assert file.load() == DesktopSettings()


def test_recent_files_are_few_and_the_newest_first() -> None:
    """The list is bounded, and each file is in it once."""
    settings = DesktopSettings()
    for number in range(RECENT_MAX + 5):
        settings.remember_file(Path(f"/data/{number}.mrc"))
    settings.remember_file(Path("/data/10.mrc"))
    assert settings.recent_files[:2] == ["/data/10.mrc", f"/data/{RECENT_MAX + 4}.mrc"]
    assert len(settings.recent_files) == RECENT_MAX


def test_jobs_and_the_tomograms_they_were_sent_with_are_remembered() -> None:
    """The newest come first; a removed job is hidden, and its tomogram is forgotten."""
    settings = DesktopSettings()
    settings.remember_job("a", "/data/a.mrc")
    settings.remember_job("b", None)
    assert (settings.my_jobs, settings.tomograms) == (["b", "a"], {"a": "/data/a.mrc"})
    settings.forget_job("a")
    assert (settings.my_jobs, settings.hidden_jobs, settings.tomograms) == (["b"], ["a"], {})


def test_a_saved_token_is_private(tmp_path: Path) -> None:
    """Only the owner can read the file, and a token can be removed from it."""
    file = SettingsFile(tmp_path / "desktop.json")
    settings = DesktopSettings()
    settings.remember_token("http://a", "secret")
    file.save(settings)
    assert file.path.stat().st_mode & 0o077 == 0
    settings.remember_token("http://a", None)
    assert settings.tokens == {}
