"""How a session segments its tomograms, and how it behaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryomamba.errors import CryoMambaError
from cryomamba_cli.segmentation_task import Task


@dataclass(frozen=True, slots=True)
class Plan:
    """How a tomogram is segmented.

    Attributes
    ----------
    task : Task
    recipe : mapping
        See :func:`~cryomamba_cli.batch.record.recipe_of`.
    conflict : CryoMambaError or None
        Why it cannot be: its results would replace those of another tomogram.
    """

    task: Task
    recipe: Mapping[str, Any]
    conflict: CryoMambaError | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """How a session behaves.

    Attributes
    ----------
    poll_s : float
        Seconds between two looks at the folder.
    once : bool
        Whether to return when every tomogram has ended.
    watched : bool
        Whether results of earlier runs belong to the session, errors that may pass are waited out, and masks of
        CryoMamba are left out.
    force : bool
        Repeat what was done before, and overwrite files of others.
    retry_failed : bool
        Whether tomograms that failed in an earlier run are tried again.
    pictures : bool
    server : bool
        Whether a tomogram may be one that only a server has.
    """

    poll_s: float = 2.0
    once: bool = True
    watched: bool = False
    force: bool = False
    retry_failed: bool = True
    pictures: bool = False
    server: bool = False
