"""What the desktop remembers between two starts."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cryomamba.settings import load_settings

RECENT_MAX = 12
JOBS_MAX = 500

logger = logging.getLogger(__name__)


class DesktopSettings(BaseModel):
    """The remembered settings.

    Attributes
    ----------
    server : str
        Address of the last server; empty for the default one.
    servers, recent_files : list of str
        Newest first.
    preview_interval_s : float
        Least seconds between two previews that are asked for.
    opacity : float
        Of a new overlay.
    contour : int
        Width of the outlines in pixels; 0 fills.
    show_all_jobs : bool
        Whether the table shows other people's jobs.
    my_jobs, hidden_jobs : list of str
        Jobs that were submitted here, and those taken out of the table.
    """

    model_config = ConfigDict(extra="ignore", validate_assignment=True)

    server: str = ""
    servers: list[str] = []
    recent_files: list[str] = []
    preview_interval_s: float = Field(1.0, ge=0.05, le=60)
    opacity: float = Field(0.6, ge=0, le=1)
    contour: int = Field(0, ge=0, le=20)
    show_all_jobs: bool = False
    my_jobs: list[str] = []
    hidden_jobs: list[str] = []

    def remember_file(self, path: Path) -> None:
        """Put a file on top of the recent ones."""
        name = str(path)
        self.recent_files = [name, *(other for other in self.recent_files if other != name)][:RECENT_MAX]

    def remember_server(self, url: str) -> None:
        """Put a server on top of the known ones."""
        self.server = url
        self.servers = [url, *(other for other in self.servers if other != url)][:RECENT_MAX]


class SettingsFile:
    """The file in which they stand, ``desktop.json`` in the home folder unless a path is given.

    A file that cannot be read counts as none; one that cannot be written is told to the log, and nothing else breaks.
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
            logger.warning("The settings in %s are not usable, the defaults are taken: %s", self.path.name, error)
            return DesktopSettings()

    def save(self, settings: DesktopSettings) -> None:
        """Write the settings aside and rename."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self.path.parent, prefix=".desktop-", delete=False) as file:
                file.write(settings.model_dump_json(indent=2))
            Path(file.name).replace(self.path)
        except OSError as error:
            logger.warning("The settings could not be written: %s", error)
