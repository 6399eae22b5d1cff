"""CURVE keys of the message bus: the broker's, those of the services, and the list of authorized keys.

A key file holds what one peer needs: its key pair, its role, and the broker's public key. The list of authorized keys
is a folder with one file per public key, read again when it changes, so that adding or revoking needs no restart.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import zmq
from pydantic import BaseModel, ConfigDict, ValidationError

from cryomamba.access.keys import HOME_NAMES, KeyFile
from cryomamba.access.private_files import make_private_folder, read_private, write_private_once
from cryomamba.access.roles import UNRESTRICTED_ROLES, Role
from cryomamba.access.visibility import Visibility
from cryomamba.errors import ConflictError, InvalidRequestError, NotFoundError, UnavailableError
from cryomamba.models.jobs import Owner
from cryomamba.system_errors import system_errors_translated

_NAME: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")
_Z85: Final = re.compile(r"[0-9A-Za-z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_SETTLED_NS: Final = 1_000_000_000


class AllowedKey(BaseModel):
    """An entry of the list of authorized keys.

    Attributes
    ----------
    name : str
        Identifies it in lists and for revocation.
    role : Role
    public_key : str
    created_at : datetime
    owner : str
        Owner of the jobs that it submits and sees, the same name as the owner of tokens; `name` if empty.
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
        return Visibility.everything() if self.role in UNRESTRICTED_ROLES else Visibility.of(self.owner or self.name)


@dataclass(frozen=True, slots=True)
class _Cached:
    modified_ns: int
    read_at_ns: int
    by_key: dict[str, AllowedKey]


class BusKeys:
    """The keys of a data directory. Several processes may use it at the same time.

    Parameters
    ----------
    keys : Path
        Folder ``keys`` of the data directory.
    """

    def __init__(self, keys: Path) -> None:
        self._folder = keys / "bus"
        self._allowed = self._folder / "allowed"
        self._cached = _Cached(-1, 0, {})

    @property
    def enabled(self) -> bool:
        """Whether the broker uses CURVE: encrypted connections, only for authorized keys."""
        return self._server_file.exists()

    @property
    def _server_file(self) -> Path:
        return self._folder / "server.key"

    def init(self) -> KeyFile:
        """Create the keys of the broker, of the workers, and of the gateway and administrators of this machine.

        Raises
        ------
        ConflictError
            The keys exist already.
        """
        public, secret = _new_pair()
        server = KeyFile(name="server", role="server", public_key=public, secret_key=secret, server_key=public)
        make_private_folder(self._folder.parent)
        make_private_folder(self._folder)
        if self.enabled:
            raise ConflictError(
                "The data directory already has keys.",
                hint="'cryomamba keys list' lists them. To start over, stop the services and remove 'keys/bus'.",
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
            raise InvalidRequestError(
                "The data directory has no keys yet.", hint="Create them with 'cryomamba keys init'."
            )
        return KeyFile.read(self._server_file)

    def add(self, name: str, role: Role, *, file: Path, owner: str = "") -> KeyFile:
        """Create a key pair, authorize its public key, and write the key file for its owner.

        Parameters
        ----------
        name : str
        role : Role
        file : Path
            The key file to write.
        owner : str
            Owner of the jobs that it submits and sees; `name` if empty.

        Raises
        ------
        ConflictError
            A key of this name exists, or the file does.
        InvalidRequestError
            The name is not valid, or the broker has no key yet.
        """
        return self._make(name, role, self.server().public_key, file, owner)

    def authorize(self, name: str, role: Role, public_key: str, *, owner: str = "") -> AllowedKey:
        """Authorize a public key whose owner made the key pair.

        Raises
        ------
        ConflictError
            A key of this name exists.
        InvalidRequestError
            The name or the key is not valid.
        """
        if not _NAME.fullmatch(name):
            raise InvalidRequestError("The name of the key is not valid.", hint="Use 1 to 64 letters, digits, _ and -.")
        if not _Z85.fullmatch(public_key):
            raise InvalidRequestError("This is not a public key.", hint="A public key has 40 characters (Z85).")
        now = datetime.now(UTC)
        try:
            entry = AllowedKey(name=name, role=role, public_key=public_key, created_at=now, owner=owner)
        except ValidationError:
            raise InvalidRequestError(
                "The name of the owner is not valid.", hint="Use up to 64 letters, digits and _ . @ -."
            ) from None
        write_private_once(self._allowed / f"{name}.json", entry.model_dump_json(indent=2))
        return entry

    def revoke(self, name: str) -> None:
        """Remove a key from the list; the broker refuses its next message.

        Raises
        ------
        NotFoundError
            No key has this name.
        """
        if not _NAME.fullmatch(name) or not (self._allowed / f"{name}.json").exists():
            raise NotFoundError(f"There is no key '{name[:64]}'.", hint="'cryomamba keys list' lists all keys.")
        (self._allowed / f"{name}.json").unlink(missing_ok=True)

    def list(self) -> list[AllowedKey]:
        """Return the authorized keys, sorted by name."""
        return sorted(self._current().values(), key=lambda entry: entry.name)

    def find(self, public_key: str) -> AllowedKey | None:
        """Return the entry of a public key, None if it is not authorized now."""
        return self._current().get(public_key)

    def _make(self, name: str, role: Role, server_key: str, file: Path, owner: str = "") -> KeyFile:
        if file.exists():
            raise ConflictError(f"The file {file.name} already exists.", hint="Choose another name or folder.")
        public, secret = _new_pair()
        self.authorize(name, role, public, owner=owner)
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
            modified_ns = self._allowed.stat().st_mtime_ns
        except OSError:
            return {}
        # Two changes within a tick of the file system's clock look like one, so a recently changed list is read again.
        if modified_ns != self._cached.modified_ns or self._cached.read_at_ns - modified_ns < _SETTLED_NS:
            # Without a free descriptor the list cannot be read; that must not look as if all keys were revoked.
            with suppress(UnavailableError):
                self._cached = _Cached(modified_ns, time.time_ns(), self._read())
        return self._cached.by_key

    def _read(self) -> dict[str, AllowedKey]:
        found: dict[str, AllowedKey] = {}
        with system_errors_translated():
            paths = [path for path in self._allowed.iterdir() if path.suffix == ".json"]
        for path in paths:
            try:
                entry = AllowedKey.model_validate_json(read_private(path))
            except (OSError, ValidationError, InvalidRequestError, UnicodeDecodeError):
                continue
            found[entry.public_key] = entry
        return found


def _new_pair() -> tuple[str, str]:
    public, secret = zmq.curve_keypair()
    return public.decode(), secret.decode()
