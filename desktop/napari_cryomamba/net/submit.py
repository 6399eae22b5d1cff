"""How a tomogram reaches the server: by its path where the server sees the same file, and else by an upload."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cryomamba.client import AsyncClient
from cryomamba.client.submit import is_not_visible
from cryomamba.errors import CryoMambaError
from cryomamba.models.jobs import JobRecord, PreviewOptions
from napari_cryomamba.layers.tomogram import Source


class SubmitMode(StrEnum):
    """How a tomogram goes to the server."""

    AUTOMATIC = "automatic"
    PATH = "path"
    UPLOAD = "upload"


@dataclass(frozen=True, slots=True)
class JobSubmission:
    """A job that a person wants.

    Attributes
    ----------
    source : Source
        The voxel size is sent along where a person corrected it.
    engine : str or None
        The server's default if None.
    params : dict
        The engine's parameters.
    name : str
        A label for people.
    interval_s : float
        Least seconds between two previews.
    """

    source: Source
    engine: str | None
    params: dict[str, Any]
    name: str
    interval_s: float

    @property
    def fields(self) -> dict[str, Any]:
        """What is handed in beside the volume."""
        return {
            "voxel_size_A": self.source.meta.voxel_size_A if self.source.corrected else None,
            "engine": self.engine,
            "params": self.params,
            "name": self.name or self.source.path.name,
            "preview": PreviewOptions(interval_s=self.interval_s),
        }


def is_out_of_sight(error: CryoMambaError) -> bool:
    """Whether a job was refused because the server does not see the file, so that sending it would help."""
    return is_not_visible(error)


async def submit_path(client: AsyncClient, order: JobSubmission) -> JobRecord:
    """Hand in a job for a file that the server reads by its path.

    Raises
    ------
    VolumeError, InvalidRequestError
        The server does not see the file, or may not read it; see :func:`is_out_of_sight`. Another file that the
        server has under the same path counts as not seen, if its shape tells.
    """
    return (await client.submit(order.source.path, upload="never", **order.fields)).record


async def send_and_submit(
    client: AsyncClient, order: JobSubmission, progress: Callable[[int, int], None], reading: Callable[[int, int], None]
) -> JobRecord:
    """Upload a file and hand in a job for it; if this is cancelled, the server forgets what it was sent.

    Both are called with bytes done and in all: `reading` while the checksum is made, then `progress`.

    Raises
    ------
    CryoMambaError
        The file cannot be read or sent, or the job is refused.
    """
    job = await client.submit(
        order.source.path, upload="always", progress=progress, reading=reading, keep=False, **order.fields
    )
    return job.record
