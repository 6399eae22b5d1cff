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


def is_volume(path: Path) -> bool:
    """Return whether the extension is that of a volume."""
    name = path.name.lower()
    return any(name.endswith(end + compressed) for end in _VOLUMES for compressed in ("", *_COMPRESSED))
