"""``run``: the three services in the foreground, under honcho."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Final

import cryomamba
from cryomamba.errors import ErrorCode, InvalidRequestError

# One package of each part of the extra 'server'.
SERVER_PACKAGES: Final = ("fastapi", "honcho", "onnxruntime")


def run() -> None:
    """Start broker, inference and gateway in the foreground; Ctrl-C stops them.

    Settings come from environment variables and from a file '.env' in the current folder.
    """
    from cryomamba.settings import load_settings

    require_server()
    home = load_settings().home
    home.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "honcho", "-f", str(procfile(home)), "start"]
    # The Procfile's "python" must be this one.
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    os.execve(command[0], command, {**os.environ, "PATH": path})  # noqa: S606 (our own command)  # nosec B606


def require_server() -> None:
    """Raise an error if the services cannot run.

    Raises
    ------
    InvalidRequestError
        The extra ``server`` is not installed.
    """
    missing = [name for name in SERVER_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise InvalidRequestError(
            f"The services are not installed here (missing: {', '.join(missing)}).",
            code=ErrorCode.UNAVAILABLE,
            hint="Install them with: pip install 'cryomamba[server]'.",
        )


def procfile(folder: Path) -> Path:
    """Return the Procfile of the source checkout; an installed package has none, so write the same into `folder`."""
    from cryomamba.stack import SERVICES

    checkout = Path(cryomamba.__file__).resolve().parents[2] / "Procfile"
    if checkout.is_file():
        return checkout
    own = folder / "Procfile"
    own.write_text("".join(f"{name}: python -m cryomamba_{name}\n" for name in SERVICES), encoding="utf-8")
    return own
