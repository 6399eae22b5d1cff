"""Settings come from the environment and are checked when they are read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cryomamba.errors import InvalidRequestError
from cryomamba.settings import IPC_PATH_MAX, OTHER_VARIABLES, Settings, load_settings, parse_log_setting


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


@pytest.mark.parametrize(
    ("setting", "expected"),
    [("info", ("info", "text")), ("debug,json", ("debug", "json")), ("WARNING, Text", ("warning", "text"))],
)
def test_level_and_format_of_the_log_are_one_setting(setting: str, expected: tuple[str, str]) -> None:
    """The setting is a level, optionally followed by a format."""
    assert parse_log_setting(setting) == expected


@pytest.mark.parametrize("setting", ["loud", "info,xml", "json", "info,json,text"])
def test_an_unknown_level_or_format_is_refused(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    """The error names the variable and what there is."""
    monkeypatch.setenv("CRYOMAMBA_LOG", setting)
    with pytest.raises(InvalidRequestError, match=f"CRYOMAMBA_LOG is invalid: '{setting}' is not a level .*warning"):
        load_settings()


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


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [("4GB", 4 * 10**9), ("500 MB", 500 * 10**6), ("2GiB", 2 * 2**30), ("1.5 kb", 1500), ("123", 123), ("0", 0)],
)
def test_a_size_may_have_a_unit(monkeypatch: pytest.MonkeyPatch, text: str, nbytes: int) -> None:
    """Decimal and binary units, in any case, with or without a space; a number alone is in bytes."""
    monkeypatch.setenv("CRYOMAMBA_DISK_RESERVE", text)
    monkeypatch.setenv("CRYOMAMBA_JOB_MEMORY", text)
    assert (load_settings().disk_reserve, load_settings().job_memory) == (nbytes, nbytes)


def test_a_size_in_gigabytes_may_have_another_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number alone is in gigabytes, as it always was."""
    for text, gigabytes in (("64", 64.0), ("500 MB", 0.5), ("2TB", 2000.0)):
        monkeypatch.setenv("CRYOMAMBA_UPLOAD_MAX_GB", text)
        assert load_settings().upload_max_gb == gigabytes


@pytest.mark.parametrize("text", ["-5", "-5GB", "4 parsecs", "much"])
def test_other_sizes_are_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """The message names the variable and gives examples."""
    for name in ("CRYOMAMBA_DISK_RESERVE", "CRYOMAMBA_UPLOAD_QUOTA_GB"):
        monkeypatch.setenv(name, text)
        with pytest.raises(InvalidRequestError, match=name):
            load_settings()
        monkeypatch.delenv(name)


@pytest.mark.parametrize("text", ["inf", "nan", "1e300", "9" * 400, "99999999999999999999"])
def test_every_number_has_a_bound(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A number that no date, wait or process can take is refused when it is read, whichever setting it is."""
    numbers = [name for name, field in Settings.model_fields.items() if field.annotation in {int, float}]
    assert len(numbers) > 15
    for name in numbers:
        monkeypatch.setenv(f"CRYOMAMBA_{name.upper()}", text)
        with pytest.raises(InvalidRequestError, match=f"CRYOMAMBA_{name.upper()} is invalid"):
            load_settings()
        monkeypatch.delenv(f"CRYOMAMBA_{name.upper()}")


def test_an_unknown_variable_is_refused_with_a_suggestion(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt setting would have no effect; the variables of clients and of the examples are known."""
    for name in OTHER_VARIABLES:
        monkeypatch.setenv(name, "x")
    load_settings()
    monkeypatch.setenv("CRYOMAMBA_PROCESES", "2")
    with pytest.raises(InvalidRequestError, match="CRYOMAMBA_PROCESES") as caught:
        load_settings()
    assert "'CRYOMAMBA_PROCESSES'" in caught.value.hint


def test_the_path_of_a_socket_is_not_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest that the system takes is accepted, one byte more is refused, counted in bytes."""
    longest = "/" + "x" * (IPC_PATH_MAX - 1)
    monkeypatch.setenv("CRYOMAMBA_BUS_EVENTS", f"ipc://{longest}")
    assert load_settings().bus_events.endswith(longest)
    for path in (longest + "x", "/" + "é" * (IPC_PATH_MAX // 2 + 1)):
        monkeypatch.setenv("CRYOMAMBA_BUS_EVENTS", f"ipc://{path}")
        with pytest.raises(InvalidRequestError, match="CRYOMAMBA_BUS_EVENTS is invalid: the path has"):
            load_settings()
