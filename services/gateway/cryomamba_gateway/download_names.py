"""Under which names browsers save output files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import quote

from cryomamba.engines.artifacts import ARTIFACTS, MASK
from cryomamba.file_names import stem
from cryomamba.models.jobs import JobRecord

# What a name of a file cannot contain on some system.
_FORBIDDEN: Final = re.compile(r'[\x00-\x1f\x7f-\x9f\ud800-\udfff/\\:*?"<>|]+')
_LONGEST: Final = 120


def download_name(record: JobRecord, artifact: str) -> str:
    """Return the name of an output file as the command line has it: ``t1__membrane.mrc`` for the mask of ``t1.mrc``.

    It is the artifact's own name where the job has no tomogram to name it by.
    """
    volume = record.volume
    # The volume of a re-thresholded job is a score map; what it was made from is in the job's name.
    source = volume.name if volume.path or volume.file_id else record.name if volume.job_id else ""
    tomogram = _FORBIDDEN.sub("_", stem(Path(source)))[:_LONGEST] if source else ""
    return f"{tomogram}__{record.engine}{_ending(artifact)}" if tomogram else artifact


def attachment(name: str) -> str:
    """Return the header Content-Disposition with which a browser saves a file under a name."""
    quoted = quote(name)
    return f'attachment; filename="{name}"' if quoted == name else f"attachment; filename*=utf-8''{quoted}"


def _ending(artifact: str) -> str:
    known = next((kind.ending for kind in ARTIFACTS if kind.name == artifact), "")
    mask = Path(MASK.name).stem
    return known or (artifact.removeprefix(mask) if artifact.startswith(f"{mask}_r") else f"_{artifact}")
