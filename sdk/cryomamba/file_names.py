"""File names of tomograms."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_COMPRESSED: Final = (".gz", ".bz2")
_VOLUMES: Final = (".mrc", ".rec", ".map", ".st", ".ali", ".mrcs")


def stem(path: Path) -> str:
    """Return the file name without the extensions of volumes: ``t1`` for ``t1.rec.gz``."""
    name = path.name
    for endings in (_COMPRESSED, _VOLUMES):
        name = next((name[: -len(end)] for end in endings if name.lower().endswith(end)), name)
    return name or path.name


def split_result_name(path: Path) -> tuple[str, str]:
    """Return the tomogram's name and the feature of a result: ``t__1`` and ``membrane`` for ``t__1__membrane.mrc``.

    A name without two underscores is that of the tomogram, and the feature is empty.
    """
    name = stem(path)
    tomogram, separator, feature = name.rpartition("__")
    return (tomogram, feature) if separator and tomogram else (name, "")


def is_volume(path: Path) -> bool:
    """Return whether the extension is that of a volume."""
    name = path.name.lower()
    return any(name.endswith(end + compressed) for end in _VOLUMES for compressed in ("", *_COMPRESSED))
