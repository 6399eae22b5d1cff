"""Settings come from the environment and are checked when they are read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cryomamba.errors import InvalidRequestError
from cryomamba.settings import load_settings


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CRYOMAMBA_")]:
        monkeypatch.delenv(name)


def test_lists_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders as in PATH; hosts and origins by commas, in lower case and without a slash at the end."""
    monkeypatch.setenv("CRYOMAMBA_ROOTS", os.pathsep.join(["/a", "~/b", ""]))
    monkeypatch.setenv("CRYOMAMBA_GATEWAY_HOSTS", "EM.example.org, other.example.org,")
    monkeypatch.setenv("CRYOMAMBA_GATEWAY_ORIGINS", "https://Lab.example.org/")
    settings = load_settings()
    assert settings.roots == (Path("/a"), Path("~/b").expanduser())
    assert settings.gateway_hosts == ("em.example.org", "other.example.org")
    assert settings.gateway_origins == ("https://lab.example.org",)


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """And everything lies below the data directory, whose path is absolute."""
    monkeypatch.setenv("CRYOMAMBA_GATEWAY_PORT", "")
    monkeypatch.setenv("CRYOMAMBA_HOME", "relative")
    settings = load_settings()
    assert settings.gateway_port == 8000
    assert settings.home.is_absolute()
    assert all(folder.parent == settings.home for folder in settings.own_folders)


def test_an_invalid_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its variable."""
    monkeypatch.setenv("CRYOMAMBA_MAX_UNAUTHENTICATED", "0")
    with pytest.raises(InvalidRequestError, match="CRYOMAMBA_MAX_UNAUTHENTICATED"):
        load_settings()
