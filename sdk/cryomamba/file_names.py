"""What a tomogram is called: its file's name without what says that it is one."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_PACKED: Final = (".gz", ".bz2")
_VOLUMES: Final = (".mrc", ".rec", ".map", ".st", ".ali", ".mrcs")


def stem(path: Path) -> str:
    """Return a tomogram's name without what says that it is one: ``t1.rec.gz`` is ``t1``."""
    name = path.name
    for endings in (_PACKED, _VOLUMES):
        name = next((name[: -len(end)] for end in endings if name.lower().endswith(end)), name)
    return name or path.name


def is_volume(path: Path) -> bool:
    """Tell by its ending whether a file may be a tomogram."""
    name = path.name.lower()
    return any(name.endswith(end + packed) for end in _VOLUMES for packed in ("", *_PACKED))
