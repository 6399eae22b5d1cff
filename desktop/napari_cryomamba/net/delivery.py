"""How a tomogram reaches the server; the one place that an upload will have to be added to."""

from __future__ import annotations

from typing import Any

from cryomamba.client import AsyncClient
from cryomamba.records import JobRecord, PreviewOptions
from napari_cryomamba.tomogram import Source


async def submit(
    client: AsyncClient,
    source: Source,
    *,
    engine: str | None,
    params: dict[str, Any],
    name: str,
    interval_s: float,
) -> JobRecord:
    """Hand in a job for a file that the server reads by its path.

    Parameters
    ----------
    client : AsyncClient
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

    Raises
    ------
    VolumeError, InvalidRequestError
        The server does not see the file, or may not read it.
    """
    return await client.submit(
        source.path,
        voxel_size_A=source.meta.voxel_size_A if source.corrected else None,
        engine=engine,
        params=params,
        name=name or source.path.name,
        preview=PreviewOptions(interval_s=interval_s),
    )
