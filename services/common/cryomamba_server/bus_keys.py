"""CURVE keys of the bus: the broker's own, those of this home's services, and the list of those that are let in.

A key file holds all that one side needs: its pair, its role, and the broker's public key. The list of allowed keys is a
folder with one file per public key, read again when it changes, so that keys come and go without a restart.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import zmq
from pydantic import BaseModel, ConfigDict, ValidationError

from cryomamba.access.keys import HOME_NAMES, KeyFile
from cryomamba.access.private_files import make_private_folder, read_private, write_private_once
from cryomamba.access.roles import SEES_ALL, Role
from cryomamba.access.visibility import Visibility
from cryomamba.errors import ConflictError, InvalidRequestError, NotFoundError
from cryomamba.models.jobs import Owner

_NAME: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")
_Z85: Final = re.compile(r"[0-9A-Za-z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_SETTLED_NS: Final = 1_000_000_000


class AllowedKey(BaseModel):
    """An entry of the list of keys that are let in.

    Attributes
    ----------
    name : str
        By which it is listed and revoked.
    role : Role
    public_key : str
    created_at : datetime
    owner : str
        Whose jobs it makes and sees, as the owner of a token; empty stands for `name`.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    role: Role
    public_key: str
    created_at: datetime
    owner: Owner = ""

    @property
    def visibility(self) -> Visibility:
        """The jobs and files that the key may see."""
        return Visibility.everything() if self.role in SEES_ALL else Visibility.of(self.owner or self.name)


@dataclass(frozen=True, slots=True)
class _Listed:
    stamp: int
    read_at: int
    by_key: dict[str, AllowedKey]


class BusKeys:
    """The keys of one home folder.

    Parameters
    ----------
    keys : Path
        ``<home>/keys``.
    """

    def __init__(self, keys: Path) -> None:
        self._folder = keys / "bus"
        self._allowed = self._folder / "allowed"
        self._listed = _Listed(-1, 0, {})

    @property
    def enabled(self) -> bool:
        """Whether the broker of this home speaks CURVE."""
        return self._server_file.exists()

    @property
    def _server_file(self) -> Path:
        return self._folder / "server.key"

    def init(self) -> KeyFile:
        """Make the broker's key, and one for the workers and one for the gateway and administrators of this home.

        Raises
        ------
        ConflictError
            There are keys already.
        """
        public, secret = _new_pair()
        server = KeyFile(name="server", role="server", public_key=public, secret_key=secret, server_key=public)
        make_private_folder(self._folder.parent)
        make_private_folder(self._folder)
        if self.enabled:
            raise ConflictError(
                "This home has keys already.",
                hint="'cryomamba keys list' shows them. To start over, stop all and remove the folder keys/bus.",
            )
        for role, name in HOME_NAMES.items():
            self._make(name, role, server.public_key, self._folder / f"{name}.key")
        write_private_once(self._server_file, server.model_dump_json(indent=2))
        return server

    def server(self) -> KeyFile:
        """Return the broker's key.

        Raises
        ------
        InvalidRequestError
            There is none.
        """
        if not self.enabled:
            raise InvalidRequestError("This home has no keys yet.", hint="Make them with 'cryomamba keys init'.")
        return KeyFile.read(self._server_file)

    def add(self, name: str, role: Role, *, file: Path, owner: str = "") -> KeyFile:
        """Make a pair, let its public key in, and write the key file that its owner needs.

        Parameters
        ----------
        name : str
        role : Role
        file : Path
            The key file to be written.
        owner : str
            Whose jobs it makes and sees; the one of `name` if empty.

        Raises
        ------
        ConflictError
            The name is taken, or the file exists.
        InvalidRequestError
            The name does not fit, or there are no keys yet.
        """
        return self._make(name, role, self.server().public_key, file, owner)

    def admit(self, name: str, role: Role, public_key: str, *, owner: str = "") -> AllowedKey:
        """Let a public key in whose owner made the pair.

        Raises
        ------
        ConflictError
            The name is taken.
        InvalidRequestError
            Name or key does not fit.
        """
        if not _NAME.fullmatch(name):
            raise InvalidRequestError("The key's name does not fit.", hint="Take up to 64 letters, digits, _ and -.")
        if not _Z85.fullmatch(public_key):
            raise InvalidRequestError("This is not a public key.", hint="A public key is 40 characters of Z85 text.")
        now = datetime.now(UTC)
        try:
            entry = AllowedKey(name=name, role=role, public_key=public_key, created_at=now, owner=owner)
        except ValidationError:
            raise InvalidRequestError(
                "The owner's name does not fit.", hint="Take up to 64 letters, digits and _ . @ -."
            ) from None
        write_private_once(self._allowed / f"{name}.json", entry.model_dump_json(indent=2))
        return entry

    def revoke(self, name: str) -> None:
        """Take a key off the list; the broker notices at the key's next message.

        Raises
        ------
        NotFoundError
            No key has this name.
        """
        if not _NAME.fullmatch(name) or not (self._allowed / f"{name}.json").exists():
            raise NotFoundError(f"There is no key '{name[:64]}'.", hint="'cryomamba keys list' shows them all.")
        (self._allowed / f"{name}.json").unlink(missing_ok=True)

    def list(self) -> list[AllowedKey]:
        """Return the keys that are let in, by name."""
        return sorted(self._current().values(), key=lambda entry: entry.name)

    def find(self, public_key: str) -> AllowedKey | None:
        """Return the entry of a public key, None if it is not let in; the list as it is now on disk."""
        return self._current().get(public_key)

    def _make(self, name: str, role: Role, server_key: str, file: Path, owner: str = "") -> KeyFile:
        if file.exists():
            raise ConflictError(f"There is a file {file.name} already.", hint="Take another name or folder.")
        public, secret = _new_pair()
        self.admit(name, role, public, owner=owner)
        made = KeyFile(
            name=name, role=role, public_key=public, secret_key=secret, server_key=server_key, owner=owner or name
        )
        try:
            write_private_once(file, made.model_dump_json(indent=2))
        except BaseException:
            self.revoke(name)
            raise
        return made

    def _current(self) -> dict[str, AllowedKey]:
        try:
            stamp = self._allowed.stat().st_mtime_ns
        except OSError:
            return {}
        # Two changes within a tick of the file system's clock look like one, so a young list is read again.
        if stamp != self._listed.stamp or self._listed.read_at - stamp < _SETTLED_NS:
            self._listed = _Listed(stamp, time.time_ns(), self._read())
        return self._listed.by_key

    def _read(self) -> dict[str, AllowedKey]:
        found: dict[str, AllowedKey] = {}
        for path in self._allowed.glob("*.json"):
            try:
                entry = AllowedKey.model_validate_json(read_private(path))
            except (OSError, ValidationError, InvalidRequestError, UnicodeDecodeError):
                continue
            found[entry.public_key] = entry
        return found


def _new_pair() -> tuple[str, str]:
    public, secret = zmq.curve_keypair()
    return public.decode(), secret.decode()
