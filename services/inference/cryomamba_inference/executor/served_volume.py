"""A volume that other machines read over HTTP, from a gateway, where they do not see its path."""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from cryomamba.errors import CryoMambaError, ErrorCode, InvalidRequestError, VolumeError
from cryomamba.volumes import Volume
from cryomamba.volumes.images.ome_zarr import open_ome_zarr

SUFFIX: Final = ".ome.zarr"
PATIENCE_S: Final = 60.0
"""For how long a worker asks a gateway again that is busy, or away."""
_CACHE_NBYTES: Final = 128 << 20
"""Of chunks that a worker keeps, as neighbouring tiles overlap."""
_COMPARED: Final = 32
"""Side of the boxes in which a served volume is compared, in voxels."""


@dataclass(frozen=True, slots=True)
class ServedVolume:
    """Where a gateway serves a volume as OME-Zarr.

    Attributes
    ----------
    url : str
        Up to ``.ome.zarr``; may contain a link that is a secret.
    token : str or None
        Sent with each request.
    """

    url: str
    token: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, address: str, job_id: str, token: str | None) -> ServedVolume:
        """Return where a volume is served, given its own address, or that of a gateway and the job.

        Raises
        ------
        InvalidRequestError
            It is no address of the web.
        """
        parts = urlsplit(address)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise InvalidRequestError(
                "The address from which Dask workers read tomograms must begin with http:// or https://.",
                hint="Give that of the gateway, or that of the tomogram up to '.ome.zarr'.",
            )
        address = address.rstrip("/")
        whole = address if address.endswith(SUFFIX) else f"{address}/v1/zarr/0.5/jobs/{job_id}{SUFFIX}"
        return cls(whole, token)

    @property
    def host(self) -> str:
        """Host and port, for messages."""
        return urlsplit(self.url).netloc.rpartition("@")[2]

    def open(self) -> RemoteVolume:
        """Connect to the gateway; raises what :func:`~cryomamba.volumes.images.ome_zarr.open_ome_zarr` raises."""
        return RemoteVolume(self)

    def require_same(self, volume: Volume) -> None:
        """Require that it has the shape of a volume that is open here, and its voxels where they are compared.

        Raises
        ------
        InvalidRequestError
            It is another volume.
        CryoMambaError
            It cannot be read.
        """
        remote = self.open()
        same = remote.shape == volume.shape
        # At the corners and in the middle.
        starts = ((0, (size - _COMPARED) // 2, size - _COMPARED) for size in volume.shape)
        for corner in itertools.product(*starts) if same else ():
            z, y, x = (slice(max(start, 0), max(start, 0) + _COMPARED) for start in corner)
            same = same and remote.read(z, y, x).tobytes() == volume.read(z, y, x).tobytes()
        if not same:
            raise InvalidRequestError(
                f"What {self.host} serves to the Dask workers is another volume than {volume.meta.name}.",
                code=ErrorCode.VOLUME_CHANGED,
                hint="Give the address of this very tomogram, with the voxels that the file has now.",
            )


class RemoteVolume:
    """The voxels that :class:`~cryomamba.volumes.Volume` reads, read from a gateway; for several threads."""

    def __init__(self, served: ServedVolume) -> None:
        headers = {} if served.token is None else {"Authorization": f"Bearer {served.token}"}
        self._image = open_ome_zarr(served.url, headers=headers, patience_s=PATIENCE_S, cache_nbytes=_CACHE_NBYTES)
        self.shape = self._image.shape

    def read(self, z: slice, y: slice, x: slice) -> npt.NDArray[np.float32]:
        """Return a block like :meth:`cryomamba.volumes.Volume.read`."""
        # A copy: the chunks are read again for the next tile, whatever an engine does with this one.
        return np.array(self._image.voxels[z, y, x], np.float32, order="C")


def pickled(value: Any, served: ServedVolume | None) -> bytes:  # noqa: ANN401 (anything that pickles)
    """Pickle; volumes within are opened by their path where that is readable, and elsewhere where they are served."""
    buffer = io.BytesIO()
    _Pickler(buffer, served).dump(value)
    return buffer.getvalue()


class _Pickler(ForkingPickler):
    def __init__(self, buffer: io.BytesIO, served: ServedVolume | None) -> None:
        super().__init__(buffer)
        self._served = served

    def reducer_override(self, value: Any) -> Any:  # noqa: ANN401 (pickle's)
        if self._served is None or not isinstance(value, Volume):
            return NotImplemented
        return _open_readable, (self._served, *value.__reduce__())


def _open_readable(
    served: ServedVolume, reopen: Callable[..., Volume], arguments: tuple[Path, Any, Any]
) -> Volume | RemoteVolume:
    return reopen(*arguments) if os.access(arguments[0], os.R_OK) else served.open()


def unreachable(path: str, served: ServedVolume) -> str:
    """Return why this process can read a volume neither by its path nor from the gateway; empty if it can."""
    if os.access(path, os.R_OK):
        return ""
    try:
        served.open()
    except CryoMambaError as error:
        return error.message.replace(served.url, served.host)
    return ""


class UnreachableVolumeError(VolumeError):
    """A Dask worker can read a volume neither by its path nor from the gateway."""

    def __init__(self, worker: str, name: str, why: str) -> None:
        super().__init__(
            f"The Dask worker {worker} does not see the path of {name}, and cannot read it over HTTP: {why}",
            code=ErrorCode.VOLUME_UNREADABLE,
            hint="Give an address of the gateway that the workers reach, and a token that may read the tomogram.",
        )
