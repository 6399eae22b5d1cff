"""What a run of a copick project holds, found by the names of its files. Pure but for listing folders."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

EntryKind = Literal["tomogram", "segmentation", "picks"]

RUNS: Final = "ExperimentRuns"
SPACING: Final = "VoxelSpacing"
PICKS: Final = "Picks"
SEGMENTATIONS: Final = "Segmentations"
INSTANCES: Final = "InstanceSegmentations"
_MULTILABEL: Final = "-multilabel"
_URI: Final = re.compile(r"(?P<name>[^:@?]*)(?::(?P<user>[^/@?]*)(?:/(?P<session>[^@?]*))?)?(?:@(?P<size>[^?]*))?")
_FLAGS: Final = {"instance=true": "instance", "multilabel=true": "multilabel"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A tomogram, segmentation or set of picks.

    Attributes
    ----------
    kind : {'tomogram', 'segmentation', 'picks'}
    run : str
    uri : str
        As copick's commands write it: ``TYPE@SPACING``, ``OBJECT:USER/SESSION@SPACING`` or ``OBJECT:USER/SESSION``.
    path : Path
        A folder of OME-Zarr, or a JSON file.
    """

    kind: EntryKind
    run: str
    uri: str
    path: Path

    @property
    def name(self) -> str:
        """Type of a tomogram, or object of an annotation."""
        return re.split("[:@]", self.uri, maxsplit=1)[0]

    def matches(self, pattern: str) -> bool:
        """Return whether a URI, of which parts may be missing or have ``*``, means this entry."""
        wanted, found = _parts(pattern), _parts(self.uri)
        if self.kind == "tomogram" and wanted["user"] is not None:
            return False
        if self.kind == "picks" and (wanted["size"] is not None or "?" in pattern):
            return False
        flags = [_FLAGS.get(flag.lower(), flag) for flag in pattern.partition("?")[2].split("&") if flag]
        if any(f"?{flag}=true" not in self.uri for flag in flags):
            return False
        return all(_alike(found[part], wanted[part], number=part == "size") for part in wanted)


def entries_of(run: str, folders: Sequence[Path]) -> Iterator[Entry]:
    """Yield what a run holds, given its folders; of two of the same name that in the first folder counts."""
    seen: set[tuple[str, str]] = set()
    for folder in folders:
        for entry in (*_tomograms(run, folder), *_segmentations(run, folder), *_picks(run, folder)):
            if (entry.kind, entry.uri) not in seen:
                seen.add((entry.kind, entry.uri))
                yield entry


def _tomograms(run: str, folder: Path) -> Iterator[Entry]:
    for path in sorted(folder.glob(f"{SPACING}*/*.zarr")):
        size = _number(path.parent.name.removeprefix(SPACING))
        if size is not None and "features" not in path.stem and not path.name.startswith("."):
            yield Entry("tomogram", run, f"{path.stem}@{size:.3f}", path)


def _segmentations(run: str, folder: Path) -> Iterator[Entry]:
    for kind, flag in ((SEGMENTATIONS, ""), (INSTANCES, "?instance=true")):
        for path in sorted((folder / kind).glob("[!.]*.zarr")):
            size, *rest = path.stem.split("_", 3)
            if len(rest) != 3 or _number(size) is None:
                continue
            user, session, name = rest
            several = "?multilabel=true" if not flag and name.endswith(_MULTILABEL) else ""
            name = name.removesuffix(_MULTILABEL) if several else name
            yield Entry("segmentation", run, f"{name}:{user}/{session}@{size}{flag}{several}", path)


def _picks(run: str, folder: Path) -> Iterator[Entry]:
    for path in sorted((folder / PICKS).glob("[!.]*.json")):
        parts = path.stem.split("_", 2)
        if len(parts) == 3:
            user, session, name = parts
            yield Entry("picks", run, f"{name}:{user}/{session}", path)


def _parts(uri: str) -> dict[str, str | None]:
    match = _URI.match(uri)
    return match.groupdict() if match else {"name": uri}


def _alike(found: str | None, wanted: str | None, *, number: bool) -> bool:
    if not wanted or wanted == "*":
        return True
    if found is None:
        return False
    if number and (size := _number(wanted)) is not None:
        return abs(float(found) - size) < 0.001
    return fnmatch.fnmatchcase(found, wanted)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
