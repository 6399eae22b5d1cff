"""Settings that are kept between sessions."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cryomamba.atomic import write_atomically
from cryomamba.errors import UnavailableError
from cryomamba.settings import load_settings

RECENT_MAX = 12
JOBS_MAX = 500

logger = logging.getLogger(__name__)


class DesktopSettings(BaseModel):
    """The settings.

    Attributes
    ----------
    server : str
        Address of the last server; empty for the default one.
    servers, recent_files : list of str
        Newest first.
    preview_interval_s : float
        Least seconds between two previews.
    opacity : float
        Of a new overlay.
    contour : int
        Width of the outlines in pixels; 0 for filled labels.
    y_up : bool
        Whether the y axis points up, as in 3dmod.
    tutorial_offered : bool
        Whether the tutorial was offered, which is done once.
    show_all_jobs : bool
        Whether the table shows other people's jobs.
    my_jobs, hidden_jobs : list of str
        Jobs that were submitted here, and those removed from the table, newest first.
    tomograms : dict
        By job, the path on this machine of a tomogram that was uploaded.
    label_names : dict
        By job, the names that the user gave to labels.
    engine : str
        The engine that was chosen last.
    parameters : dict
        By engine, the values that are not its defaults.
    tokens : dict
        By server, if the user chose to save them. Only the owner can read the file.
    """

    model_config = ConfigDict(extra="ignore", validate_assignment=True)

    server: str = ""
    servers: list[str] = []
    recent_files: list[str] = []
    preview_interval_s: float = Field(1.0, ge=0.05, le=60)
    opacity: float = Field(0.6, ge=0, le=1)
    contour: int = Field(0, ge=0, le=20)
    y_up: bool = False
    tutorial_offered: bool = False
    show_all_jobs: bool = False
    my_jobs: list[str] = []
    hidden_jobs: list[str] = []
    tomograms: dict[str, str] = {}
    label_names: dict[str, dict[int, str]] = {}
    engine: str = ""
    parameters: dict[str, dict[str, Any]] = {}
    tokens: dict[str, str] = {}

    def remember_file(self, file: Path | str) -> None:
        """Add a path or an address to the recent ones."""
        name = str(file)
        self.recent_files = [name, *(other for other in self.recent_files if other != name)][:RECENT_MAX]

    def remember_server(self, url: str) -> None:
        """Add a server to the known ones."""
        self.server = url
        self.servers = [url, *(other for other in self.servers if other != url)][:RECENT_MAX]

    def remember_token(self, url: str, token: str | None) -> None:
        """Save the token of a server, or delete it if it is None."""
        kept = {server: known for server, known in self.tokens.items() if server != url}
        self.tokens = kept if token is None else {**kept, url: token}

    def remember_job(self, job_id: str, tomogram: str | None) -> None:
        """Add a job that was submitted here, and the path of its tomogram."""
        self.my_jobs = [job_id, *(other for other in self.my_jobs if other != job_id)][:JOBS_MAX]
        self.hidden_jobs = [other for other in self.hidden_jobs if other != job_id]
        known = {**self.tomograms, **({job_id: tomogram} if tomogram else {})}
        self.tomograms = {job: path for job, path in known.items() if job in self.my_jobs}

    def remember_names(self, job_id: str, names: Mapping[int, str]) -> None:
        """Keep the names of a job's labels; those of the oldest jobs are dropped."""
        others = [(job, known) for job, known in self.label_names.items() if job != job_id]
        self.label_names = dict([*others, (job_id, dict(names))][-JOBS_MAX:])

    def forget_job(self, job_id: str) -> None:
        """Remove a job from the table for good."""
        self.my_jobs = [other for other in self.my_jobs if other != job_id]
        self.hidden_jobs = [job_id, *(other for other in self.hidden_jobs if other != job_id)][:JOBS_MAX]
        self.tomograms = {job: path for job, path in self.tomograms.items() if job != job_id}


class SettingsFile:
    """The file with the settings, ``desktop.json`` in the data directory unless a path is given.

    If it cannot be read, the defaults apply; if it cannot be written, that is logged.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or load_settings().home / "desktop.json"

    def load(self) -> DesktopSettings:
        """Read the settings."""
        try:
            return DesktopSettings.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return DesktopSettings()
        except (OSError, ValidationError) as error:
            logger.warning("The settings in %s cannot be read, so the defaults apply: %s", self.path.name, error)
            return DesktopSettings()

    def save(self, settings: DesktopSettings) -> None:
        """Write the settings atomically."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, settings.model_dump_json(indent=2), durable=False, private=True)
        except (OSError, UnavailableError) as error:
            logger.warning("The settings could not be written: %s", error)


class Preferences:
    """The current settings, and their file: that of the data directory if none is given."""

    def __init__(self, file: SettingsFile | None = None) -> None:
        self.file = file or SettingsFile()
        self.values = self.file.load()

    def save(self) -> None:
        """Write the settings."""
        self.file.save(self.values)

    @property
    def folder(self) -> Path:
        """Directory for files of jobs."""
        return self.file.path.parent / "desktop"
