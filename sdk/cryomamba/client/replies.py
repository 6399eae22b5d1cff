"""What a server has answered, as a typed record."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from cryomamba.errors import ProtocolError
from cryomamba.models.base import Record

R = TypeVar("R", bound=Record)


def parse_reply(model: type[R], reply: object) -> R:
    """Return a reply as a record.

    Parameters
    ----------
    model : type
    reply : bytes or object
        JSON text from a gateway, or the fields that a broker sent.

    Raises
    ------
    ProtocolError
        It does not have the fields of such a record.
    """
    try:
        return model.model_validate_json(reply) if isinstance(reply, bytes) else model.model_validate(reply)
    except ValidationError:
        raise ProtocolError(
            "The server's reply is not what this client expects.",
            hint="Check that the address is a CryoMamba server's, and install the same release on both sides.",
        ) from None
