"""CryoMamba: segment cryo-electron tomograms anywhere and watch the mask grow.

>>> import cryomamba
>>> client = cryomamba.connect("http://127.0.0.1:8000")
>>> job = client.submit("tomogram.mrc", engine="membrane")
>>> for event in client.watch(job.job_id):
...     print(event)
>>> client.download(job.job_id, "mask.mrc")

Names are imported on first use, so that ``import cryomamba`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from cryomamba._version import __version__

if TYPE_CHECKING:
    from cryomamba.client import AsyncClient, Client, aconnect, connect
    from cryomamba.errors import CryoMambaError
    from cryomamba.models.events import ConnectionEvent, Event, PreviewEvent, ProgressEvent, StateEvent
    from cryomamba.models.frames import PreviewFrame
    from cryomamba.models.jobs import JobRecord, JobState, PreviewOptions

__all__ = [
    "AsyncClient",
    "Client",
    "ConnectionEvent",
    "CryoMambaError",
    "Event",
    "JobRecord",
    "JobState",
    "PreviewEvent",
    "PreviewFrame",
    "PreviewOptions",
    "ProgressEvent",
    "StateEvent",
    "__version__",
    "aconnect",
    "connect",
]

_HOME = {
    "AsyncClient": "client",
    "Client": "client",
    "aconnect": "client",
    "connect": "client",
    "CryoMambaError": "errors",
    "Event": "models.events",
    "ConnectionEvent": "models.events",
    "PreviewEvent": "models.events",
    "ProgressEvent": "models.events",
    "StateEvent": "models.events",
    "JobRecord": "models.jobs",
    "JobState": "models.jobs",
    "PreviewOptions": "models.jobs",
    "PreviewFrame": "models.frames",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        msg = f"module 'cryomamba' has no attribute '{name}'"
        raise AttributeError(msg)
    return getattr(import_module(f"cryomamba.{_HOME[name]}"), name)
