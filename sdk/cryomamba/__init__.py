"""CryoMamba: segment cryo-electron tomograms, on this machine or on a server, and preview the result as it is computed.

>>> import cryomamba
>>> cryomamba.segment("tomogram.mrc", engine="membrane")

>>> client = cryomamba.connect("http://127.0.0.1:8000")
>>> job = client.submit("tomogram.mrc", engine="membrane")
>>> for event in job.watch():
...     print(event)
>>> job.download("mask.mrc")

Names are imported on first use, so that ``import cryomamba`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from cryomamba._version import __version__

if TYPE_CHECKING:
    from cryomamba.client import AsyncClient, AsyncJob, Client, Job, aconnect, connect
    from cryomamba.errors import CryoMambaError
    from cryomamba.models.events import ConnectionEvent, Event, PreviewEvent, ProgressEvent, StateEvent
    from cryomamba.models.frames import PreviewFrame
    from cryomamba.models.jobs import JobRecord, JobState, PreviewOptions
    from cryomamba_inference.segment import Segmentation, segment

__all__ = [
    "AsyncClient",
    "AsyncJob",
    "Client",
    "ConnectionEvent",
    "CryoMambaError",
    "Event",
    "Job",
    "JobRecord",
    "JobState",
    "PreviewEvent",
    "PreviewFrame",
    "PreviewOptions",
    "ProgressEvent",
    "Segmentation",
    "StateEvent",
    "__version__",
    "aconnect",
    "connect",
    "segment",
]

_EXPORTS = {
    "cryomamba.client": ("AsyncClient", "AsyncJob", "Client", "Job", "aconnect", "connect"),
    "cryomamba.errors": ("CryoMambaError",),
    "cryomamba.models.events": ("ConnectionEvent", "Event", "PreviewEvent", "ProgressEvent", "StateEvent"),
    "cryomamba.models.frames": ("PreviewFrame",),
    "cryomamba.models.jobs": ("JobRecord", "JobState", "PreviewOptions"),
    # By name only: the SDK does not depend on the service that computes.
    "cryomamba_inference.segment": ("Segmentation", "segment"),
}
_MODULES = {name: module for module, names in _EXPORTS.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'cryomamba' has no attribute '{name}'")
    if _MODULES[name].startswith("cryomamba_inference"):
        from cryomamba.optional_imports import requires_extra

        with requires_extra("inference"):
            return getattr(import_module(_MODULES[name]), name)
    return getattr(import_module(_MODULES[name]), name)
