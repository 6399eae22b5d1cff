"""Key files: the key pair and role of one side of an encrypted bus, and the broker's public key."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

import zmq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cryomamba.access.private_files import read_private
from cryomamba.access.roles import UNRESTRICTED_ROLES, Role
from cryomamba.access.visibility import Visibility
from cryomamba.errors import InvalidRequestError
from cryomamba.settings import Settings

HOME_NAMES: Final[dict[Role, str]] = {Role.ADMIN: "admin", Role.WORKER: "worker"}


class KeyFile(BaseModel):
    """The content of a ``.key`` file; keys are Z85 text.

    Attributes
    ----------
    name : str
    role : Role or 'server'
    public_key, secret_key : str
        The pair of whoever owns the file.
    server_key : str
        The broker's public key.
    owner : str
        The owner whose jobs it can see; the broker's own list of keys decides.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    role: Role | Literal["server"]
    public_key: str
    secret_key: str = Field(repr=False)
    server_key: str
    owner: str = ""

    @property
    def visibility(self) -> Visibility:
        """The jobs and files that the key may see."""
        everything = self.role == "server" or self.role in UNRESTRICTED_ROLES
        return Visibility.everything() if everything else Visibility.of(self.owner or self.name)

    @classmethod
    def read(cls, path: Path) -> KeyFile:
        """Read a key file.

        Raises
        ------
        InvalidRequestError
            It is not there, is not one, or others can read it.
        """
        try:
            return cls.model_validate_json(read_private(path))
        except FileNotFoundError:
            raise InvalidRequestError(
                f"There is no key file {path.name}.",
                hint="CRYOMAMBA_KEY must be the path of a file that 'cryomamba keys add' wrote.",
            ) from None
        except (ValidationError, UnicodeDecodeError):
            raise InvalidRequestError(
                f"The file {path.name} is not a key file.", hint="'cryomamba keys add NAME' creates one."
            ) from None

    def secure(self, socket: zmq.Socket[Any]) -> None:
        """Make a socket use this key, before it connects."""
        socket.curve_publickey = self.public_key.encode()
        socket.curve_secretkey = self.secret_key.encode()
        socket.curve_serverkey = self.server_key.encode()


def key_for(settings: Settings, role: Literal[Role.ADMIN, Role.WORKER]) -> KeyFile | None:
    """Return the key of this process for the bus, None where the bus is open.

    That is the file that ``CRYOMAMBA_KEY`` names, or the home's own key for the role.

    Raises
    ------
    InvalidRequestError
        The file is missing, broken, or readable by others.
    """
    if settings.key is not None:
        return KeyFile.read(settings.key)
    own = settings.keys / "bus" / f"{HOME_NAMES[role]}.key"
    return KeyFile.read(own) if own.exists() else None
