"""A file for a bug report: the checks, versions and settings, without secrets and without the name of the user."""

from __future__ import annotations

import getpass
import importlib.metadata
import os
import re
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from cryomamba.errors import CryoMambaError
from cryomamba_server.check_result import CheckResult

_REDACTED: Final = "[redacted]"
_SECRET_VARIABLES: Final = re.compile(r"TOKEN|SECRET|PASSWORD|KEY", re.IGNORECASE)
_PATTERNS: Final = (
    # A JSON Web Token; what stands before @ in an address; a value after a name that sounds like a secret; hexadecimal
    # digests; keys of CURVE (40 characters of Z85).
    re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]+"),
    re.compile(r"(?<=://)[^/\s@]+(?=@)"),
    re.compile(r"(?i)(?<=token=)[^\s&]+|(?<=bearer )\S+|(?<=secret=)[^\s&]+"),
    re.compile(r"\b[0-9a-fA-F]{40,}\b"),
    re.compile(r"(?<!\S)[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}(?!\S)"),
)
_LOG_LINES: Final = 50
_SHORT: Final = 3
"""A name of so few letters is part of ordinary words, and is replaced as a word only."""


def bug_report(results: Iterable[CheckResult], files: Iterable[Path] = ()) -> str:
    """Return a report in Markdown.

    Parameters
    ----------
    results : iterable of CheckResult
    files : iterable of Path
        Configuration files whose contents are included.
    """
    parts = ["# CryoMamba: report of `cryomamba doctor`", *_checks(results), *_settings(), *_files(files), *_packages()]
    return redact("\n".join(parts) + "\n")


def _checks(results: Iterable[CheckResult]) -> Iterator[str]:
    yield "\n## Checks\n"
    for one in results:
        yield f"- {one.level}: {one.what}: {one.message}"
        if one.hint and one.level != "ok":
            yield f"  - {one.hint}"


def _settings() -> Iterator[str]:
    yield "\n## Environment\n"
    for name, value in sorted(os.environ.items()):
        if name.startswith("CRYOMAMBA_"):
            yield f"- {name}={_REDACTED if _SECRET_VARIABLES.search(name) else value}"
    # What changes how threads, displays and connections behave; only whether proxies are set.
    for name in ("OMP_NUM_THREADS", "NUMBA_CACHE_DIR", "QT_API", "QT_QPA_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY"):
        if name in os.environ:
            yield f"- {name}={os.environ[name]}"
    yield from (f"- {name} is set" for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY") if name in os.environ)


def _files(files: Iterable[Path]) -> Iterator[str]:
    for path in files:
        yield f"\n## {path}\n"
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            yield str(error)
            continue
        yield "```toml"
        for line in lines[:_LOG_LINES]:
            name = line.partition("=")[0]
            yield f"{name}= {_REDACTED}" if "=" in line and _SECRET_VARIABLES.search(name) else line
        yield "```"


def _packages() -> Iterator[str]:
    yield "\n## Packages\n"
    found = {one.metadata["Name"]: one.version for one in importlib.metadata.distributions() if one.metadata["Name"]}
    yield from (f"- {name} {version}" for name, version in sorted(found.items(), key=lambda item: item[0].lower()))


def redact(text: str) -> str:
    """Return a text without secrets, the home folder's path, and the names of the user and of this machine."""
    for secret in _secrets():
        text = text.replace(secret, _REDACTED)
    for pattern in _PATTERNS:
        text = pattern.sub(_REDACTED, text)
    with suppress(RuntimeError):
        text = text.replace(str(Path.home()), "~")
    for name, shown in ((_user(), "[user]"), (socket.gethostname(), "[host]"), (Path.home().name, "[user]")):
        if len(name) > _SHORT:
            text = re.sub(re.escape(name), shown, text, flags=re.IGNORECASE)
        elif name:
            text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", shown, text)
    return text


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def _is_path(value: str) -> bool:
    try:
        return Path(value).exists()
    except (OSError, ValueError):
        return False


def _secrets() -> Iterator[str]:
    """Yield what is secret here: the values of variables, and what is in the files of keys."""
    for name, value in os.environ.items():
        if value and name.startswith("CRYOMAMBA_") and _SECRET_VARIABLES.search(name) and not _is_path(value):
            yield value
    with suppress(CryoMambaError, OSError):
        from cryomamba.settings import load_settings

        for path in load_settings().keys.rglob("*"):
            if path.is_file():
                yield from (word for word in re.findall(r"[^\s\"',:]{16,}", path.read_text("utf-8", "replace")))
