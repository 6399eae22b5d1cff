"""The configuration of a copick project, and the folders of its runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from cryomamba.atomic import write_atomically
from cryomamba.copick.entries import RUNS, Entry, entries_of
from cryomamba.errors import InvalidRequestError, NotFoundError

_NAMES: Final = ("copick_config.json", "config.json")
_LOCAL: Final = ("local://", "file://")
_COLORS: Final = (
    (86, 180, 233, 255),
    (230, 159, 0, 255),
    (0, 158, 115, 255),
    (204, 121, 167, 255),
    (240, 228, 66, 255),
    (0, 114, 178, 255),
    (213, 94, 0, 255),
)
_VERSION: Final = "1.0.0"


def config_path(location: Path) -> Path:
    """Return the configuration of a project, given that file or the folder it is in; it need not exist."""
    if location.suffix.lower() == ".json":
        return location
    return next((location / name for name in _NAMES if (location / name).is_file()), location / _NAMES[0])


def is_copick_config(path: Path) -> bool:
    """Return whether a file is the configuration of a copick project."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and isinstance(found.get("pickable_objects"), list)


@dataclass(slots=True)
class Project:
    """A copick project in local folders.

    Attributes
    ----------
    path : Path
        Of the configuration.
    config : dict
        Its content; what is not known here is kept as it is.
    """

    path: Path
    config: dict[str, Any]

    @classmethod
    def open(cls, location: Path) -> Self:
        """Open a project, given its configuration or the folder that holds it.

        Raises
        ------
        NotFoundError
            There is no such file.
        InvalidRequestError
            It is no configuration of copick, or the project is not in local folders.
        """
        path = config_path(location)
        if not path.is_file():
            raise NotFoundError(
                f"There is no copick project '{path}'.",
                hint="Give its configuration file, or the folder that holds it.",
            )
        if not is_copick_config(path):
            raise InvalidRequestError(
                f"'{path.name}' is not the configuration of a copick project: it has no pickable_objects.",
                hint="Give the JSON file that 'copick config' wrote.",
            )
        project = cls(path, json.loads(path.read_text("utf-8")))
        _ = project.roots
        return project

    @classmethod
    def open_or_create(cls, location: Path) -> Self:
        """Open a project, or create one whose data lie beside the configuration.

        Raises
        ------
        InvalidRequestError
            As for :meth:`open`; or the folder does not exist.
        """
        path = config_path(location)
        if path.exists():
            return cls.open(path)
        folder = path.parent
        if location.suffix.lower() == ".json" and not folder.is_dir():
            raise InvalidRequestError(
                f"'{path}' is in a folder that does not exist.", hint="Create the folder first, or choose another one."
            )
        folder.mkdir(parents=True, exist_ok=True)
        project = cls(
            path,
            {
                "name": folder.resolve().name,
                "description": "Made by CryoMamba",
                "version": _VERSION,
                "config_type": "filesystem",
                "pickable_objects": [],
                "overlay_root": f"local://{folder.resolve().as_posix()}",
                "overlay_fs_args": {"auto_mkdir": True},
            },
        )
        project.save()
        return project

    def save(self) -> None:
        """Write the configuration, atomically."""
        write_atomically(self.path, json.dumps(self.config, indent=4) + "\n")

    @property
    def roots(self) -> tuple[Path, ...]:
        """The folders with data: the one that is written, and that of a static project if there is one.

        Raises
        ------
        InvalidRequestError
            The project, or a part of it, is not in a local folder.
        """
        kind = self.config.get("config_type", "filesystem")
        if kind != "filesystem":
            raise InvalidRequestError(
                f"The copick project '{self.path.name}' is of the type '{kind}', which is not in local folders.",
                hint="Copy it with 'copick sync' to a project of the type 'filesystem'.",
            )
        roots = [self.config.get("overlay_root"), self.config.get("static_root")]
        return tuple(_local(str(root), self.path) for root in roots if root)

    @property
    def runs(self) -> tuple[str, ...]:
        """Names of the runs, sorted."""
        folders = (folder for root in self.roots for folder in (root / RUNS).glob("[!.]*") if folder.is_dir())
        return tuple(sorted({folder.name for folder in folders}))

    def run_folder(self, run: str) -> Path:
        """Return the folder of a run in which new data are written; it need not exist."""
        return self.roots[0] / RUNS / run

    def entries(self, run: str | None = None) -> Iterator[Entry]:
        """Yield tomograms, segmentations and picks, of one run or of all."""
        for name in self.runs if run is None else (run,):
            yield from entries_of(name, [root / RUNS / name for root in self.roots])

    def objects(self) -> dict[str, dict[str, Any]]:
        """Return the objects of the configuration by name."""
        return {str(one.get("name")): one for one in self.config["pickable_objects"] if isinstance(one, dict)}

    def add_object(self, name: str, *, is_particle: bool, is_filament: bool = False) -> None:
        """Add an object to the configuration, unless it is there.

        Raises
        ------
        InvalidRequestError
            It is there as an object without positions, and `is_particle` is set.
        """
        known = self.objects()
        if name in known:
            if is_particle and not known[name].get("is_particle"):
                raise InvalidRequestError(
                    f"In '{self.path.name}' the object '{name}' has masks but no picks (is_particle is false).",
                    hint="Choose another name with --object, or set is_particle in the configuration.",
                )
            return
        labels = {one.get("label") for one in known.values()}
        label = next(number for number in range(1, len(labels) + 2) if number not in labels)
        new: dict[str, Any] = {
            "name": name,
            "is_particle": is_particle,
            "label": label,
            "color": list(_COLORS[(label - 1) % len(_COLORS)]),
        }
        if is_filament:
            new["metadata"] = {"copick": {"filament": {}}}
        self.config["pickable_objects"].append(new)
        self.save()


def _local(root: str, config: Path) -> Path:
    scheme, separator, _ = root.partition("://")
    if separator and not root.startswith(_LOCAL):
        raise InvalidRequestError(
            f"The data of '{config.name}' are at '{scheme}://…', not in a local folder.",
            hint="Copy the project with 'copick sync', or mount the folder.",
        )
    for prefix in _LOCAL:
        root = root.removeprefix(prefix)
    # Relative folders are relative to the current one, as for copick.
    return Path(root)
