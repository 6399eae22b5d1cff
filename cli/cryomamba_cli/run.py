"""``run``: the three services in the foreground."""

from __future__ import annotations

import os


def run() -> None:
    """Start broker, inference and gateway; Ctrl-C ends them. Settings come from the environment and from .env."""
    from cryomamba.settings import load_settings
    from cryomamba_cli.services import environment, honcho, procfile

    home = load_settings().home
    home.mkdir(parents=True, exist_ok=True)
    command = honcho("-f", str(procfile(home)), "start")
    os.execve(command[0], command, environment({}))  # noqa: S606 (our own command)  # nosec B606
