"""Which licences of trained models were accepted in a data directory: one small file for each content of a model."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from cryomamba.atomic import write_atomically
from cryomamba.models.base import Record
from cryomamba.system_errors import system_errors_translated


class AcceptedLicence(Record):
    """The record that somebody has accepted the licence of a model.

    Attributes
    ----------
    model, sha256, licence : str
        Name and content of the model, and the licence that it states.
    owner : str
        Who accepted it; empty on a server without tokens, and on the command line.
    """

    model: str
    sha256: str
    licence: str
    owner: str = ""
    accepted_at: datetime


class Licences:
    """The accepted licences of a data directory.

    Parameters
    ----------
    folder : Path
        ``licences`` in the data directory.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def is_accepted(self, sha256: str, licence: str) -> bool:
        """Return whether a model of this content may be used; one that states no licence always may."""
        return not licence.strip() or self._file(sha256).is_file()

    def accept(self, model: str, sha256: str, licence: str, owner: str = "") -> None:
        """Note that somebody has accepted the licence of a model; accepting it again changes nothing.

        Raises
        ------
        UnavailableError
            The disk is full.
        """
        if self.is_accepted(sha256, licence):
            return
        record = AcceptedLicence(
            model=model, sha256=sha256, licence=licence, owner=owner, accepted_at=datetime.now(UTC)
        )
        with system_errors_translated():
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._file(sha256), record.model_dump_json())

    def _file(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.json"
