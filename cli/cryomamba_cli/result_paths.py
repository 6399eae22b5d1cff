"""Names of results: ``<tomogram>__<feature>.mrc``."""

from __future__ import annotations

from pathlib import Path

from cryomamba.file_names import stem


def result_path(tomogram: Path, feature: str) -> Path:
    """Return the path of a result in the folder of its tomogram: ``<tomogram>__<feature>.mrc``."""
    return tomogram.with_name(f"{stem(tomogram)}__{feature}.mrc")
