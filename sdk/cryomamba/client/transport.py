"""The interface of the two transports; the clients work with either."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from cryomamba.client.calls import Call
from cryomamba.errors import UnavailableError
from cryomamba.models.base import Record
from cryomamba.models.events import Event
from cryomamba.models.files import FileRecord
from cryomamba.models.frames import PreviewFrame

R = TypeVar("R", bound=Record)
ProgressCallback = Callable[[int, int], None]


def client_closed() -> UnavailableError:
    """Return the error for what is asked of a client that was closed."""
    return UnavailableError("The client was closed.", retryable=False)


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """An uploaded file; `new` is False if the server had it before."""

    file: FileRecord
    new: bool


class Transport(Protocol):
    """A way to a server. All methods raise :class:`~cryomamba.errors.CryoMambaError` and belong to one event loop.

    Attributes
    ----------
    url, name : str
        ``name`` is ``http`` or ``bus``.
    takes_files : bool
        Whether :meth:`upload` works.
    """

    url: str
    name: str
    takes_files: bool

    async def call(self, call: Call[R]) -> R:
        """Make a request and return the reply.

        Raises
        ------
        InvalidRequestError
            It cannot be made over this transport.
        """

    def watch(self, job_id: str, *, previews: bool) -> AsyncGenerator[Event, None]:
        """Follow a job to its end; reconnects by itself."""

    def watch_all(self) -> AsyncGenerator[Event, None]:
        """Follow the states and progress of all jobs without end; reconnects by itself."""

    async def upload(
        self,
        path: Path,
        *,
        progress: ProgressCallback | None = None,
        reading: ProgressCallback | None = None,
        parallel: int = 4,
        keep: bool = True,
    ) -> UploadedFile:
        """Send the parts of a file that the server does not have.

        Raises
        ------
        InvalidRequestError
            This transport takes no files.
        """

    async def send_file(
        self, path: Path, *, progress: ProgressCallback | None = None, reading: ProgressCallback | None = None
    ) -> str:
        """Send the parts of a file that is no volume, and return the id of the upload.

        Raises
        ------
        InvalidRequestError
            This transport takes no files.
        """

    def artifact(self, job_id: str, name: str) -> AsyncGenerator[bytes, None]:
        """Read a finished file in chunks."""

    async def preview(self, job_id: str) -> PreviewFrame:
        """Return the newest frame.

        Raises
        ------
        NotFoundError
            There is none, or none any more.
        """

    async def close(self) -> None:
        """Close every socket."""
