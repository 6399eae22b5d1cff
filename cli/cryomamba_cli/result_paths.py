"""Names of results: ``<tomogram>__<feature>.mrc``."""

from __future__ import annotations

from pathlib import Path

from cryomamba.file_names import stem
from cryomamba.output_paths import MRC, output_in


def result_path(tomogram: Path, feature: str) -> Path:
    """Return the path of a result in the folder of its tomogram: ``<tomogram>__<feature>.mrc``."""
    return tomogram.with_name(f"{stem(tomogram)}__{feature}.mrc")


def mask_path(tomogram: Path, out: str | None, engine: str) -> Path:
    """Return the path of a mask: `out`, or the usual name in the folder `out`, by default the current one.

    Raises
    ------
    InvalidRequestError
        `out` is neither a folder nor the name of an MRC file.
    """
    return output_in(out, result_path(tomogram, engine).name, MRC)
