"""A trained classifier of voxels, and how it is kept: ``model.toml`` and ``forest.npz``."""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cryomamba.engines.api import TileResult
from cryomamba.engines.artifacts import FOREST, MODEL
from cryomamba.errors import CryoMambaError, ErrorCode, InvalidRequestError
from cryomamba.geometry import Shape, Spacing
from cryomamba.trained_models.folders import load_model
from cryomamba_inference.network.model import checksum
from cryomamba_inference.pixels.features import FeatureBox, feature_box
from cryomamba_inference.pixels.filters import FEATURES, FEATURES_WITHOUT_TENSOR
from cryomamba_inference.pixels.forest import Forest
from cryomamba_inference.pixels.network_maps import MAPS, MapFile
from cryomamba_inference.pixels.scales import Read, Scale, scales_of
from cryomamba_inference.pixels.smoothing import MARGIN, entropies, winners

_VERSION: Final = 2
_WITHOUT_NETWORK: Final = 1
"""Version of the files that came before the features of the network."""
_FILE_MAX: Final = 64 * 1024**2
"""Bytes of the arrays of a forest when they are unpacked."""
_TREES_MAX, _DEPTH_MAX, _SCALES_MAX = 1024, 14, 6


@dataclass(frozen=True, slots=True)
class PixelClassifier:
    """A forest, the features that it takes and the labels that it gives.

    Attributes
    ----------
    names : dict of int to str
        Names of all labels without 0, the background.
    classes : tuple of int
        The label of each class of the forest; a label that was not painted has none.
    finest_A : float
        Standard deviation of the finest scale, in ångström.
    scales : int
        How many scales there are.
    network : str
        Checksum of the network whose maps are further features; empty for none.
    """

    names: dict[int, str]
    classes: tuple[int, ...]
    finest_A: float
    scales: int
    forest: Forest
    network: str = ""

    def classify(
        self,
        read: Read,
        volume: Shape,
        voxel_size_A: Spacing,
        start: Shape,
        shape: Shape,
        *,
        maps: MapFile | None,
        uncertainty: bool,
    ) -> TileResult:
        """Return the labels of a box, shape (z, y, x), uint8, and on request their uncertainty.

        Parameters
        ----------
        read : callable
            Normalized densities, as for :func:`~cryomamba_inference.pixels.features.feature_box`.
        volume : tuple of int
            Shape of the volume.
        maps : MapFile or None
            The network's, if it has features of them.
        """
        scales = scales_of(voxel_size_A, self.finest_A, self.scales)
        first, size = with_margin(start, shape, volume)
        box = feature_box(read, volume, scales, first, size)
        if maps is not None:
            box = replace(box, maps=maps.box(first, size))
        return self.result_of(box, start, shape, uncertainty=uncertainty)

    def result_of(self, box: FeatureBox, start: Shape, shape: Shape, *, uncertainty: bool = False) -> TileResult:
        """Return the labels of a box from the features of it and its margin, and on request their uncertainty."""
        z, y, x = (at - first for at, first in zip(start, box.start, strict=True))
        votes = self.forest.count_votes(box)
        classes = winners(votes, (z, y, x), shape, background=self.classes[0] == 0)
        labels = np.asarray(self.classes, np.uint8)[classes]
        return TileResult(labels, uncertainty=entropies(votes, (z, y, x), shape) if uncertainty else None)

    def save(self, folder: Path) -> tuple[str, ...]:
        """Write the model's files into a folder, and return their names; the same model has the same bytes."""
        np.savez(
            folder / FOREST.name,
            version=np.int64(_VERSION),
            classes=np.asarray(self.classes, np.uint8),
            finest_A=np.float64(self.finest_A),
            scales=np.int64(self.scales),
            network=np.array(self.network),
            features=self.forest.features,
            thresholds=self.forest.thresholds,
            votes=self.forest.votes,
        )
        lines = [
            "# A classifier of voxels, trained on painted strokes; a server gets it by: cryomamba models add FOLDER",
            'kind = "pixels"',
            f'weights = "{FOREST.name}"',
            # Of no meaning to it, but each model states how much it sees at once.
            "window = [1, 1, 1]",
            "",
            "[labels]",
            *(f"{number} = {_quoted(name)}" for number, name in self.names.items()),
        ]
        (folder / MODEL.name).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
        return MODEL.name, FOREST.name


def with_margin(start: Shape, shape: Shape, volume: Shape) -> tuple[Shape, Shape]:
    """Return start and shape of a box with the margin whose votes count, as far as the volume goes."""
    first = [max(at - margin, 0) for at, margin in zip(start, MARGIN, strict=True)]
    last = [min(at + n + margin, size) for at, n, margin, size in zip(start, shape, MARGIN, volume, strict=True)]
    size = [b - a for a, b in zip(first, last, strict=True)]
    return (first[0], first[1], first[2]), (size[0], size[1], size[2])


def scale_features(scales: tuple[Scale, ...]) -> int:
    """Return how many features a voxel has."""
    return sum(scale.features for scale in scales)


def load_classifier(name_or_path: str) -> PixelClassifier:
    """Read a classifier by its name or path.

    Raises
    ------
    InvalidRequestError
        There is no such model, it is of another kind, or its weights are damaged.
    """
    model = load_model(name_or_path)
    if model.description.kind != "pixels":
        raise InvalidRequestError(
            f"The model '{model.name}' is for the engine '{model.description.kind}'.",
            code=ErrorCode.INVALID_PARAMETERS,
            hint=f"Use --engine {model.description.kind}.",
        )
    if problems := model.checksum_problems():
        raise _damaged(model.name, problems[0])
    try:
        return _checked(_arrays(model.weights[0]), model.description.labels)
    except CryoMambaError:
        raise
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        zipfile.BadZipFile,
        OverflowError,
        NotImplementedError,
    ) as error:
        raise _damaged(model.name, f"its weights cannot be read ({type(error).__name__})") from None


def _arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a file; nothing of it is executed, and none is larger than it says."""
    with zipfile.ZipFile(path) as file:
        if sum(entry.file_size for entry in file.infolist()) > _FILE_MAX or len(file.infolist()) > 16:
            raise ValueError("too large")
    # It is an archive of arrays by what was just read; a bare array would be returned as it is.
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _checked(arrays: dict[str, npt.NDArray[Any]], names: dict[int, str]) -> PixelClassifier:
    if int(arrays["version"]) not in (_WITHOUT_NETWORK, _VERSION):
        raise _damaged("", f"it was made by another version of CryoMamba (format {int(arrays['version'])})")
    network = str(arrays["network"]) if int(arrays["version"]) == _VERSION else ""
    if network not in ("", checksum()):
        raise _damaged("", "it was trained with another version of the network in CryoMamba")
    features, thresholds, votes = arrays["features"], arrays["thresholds"], arrays["votes"]
    classes, finest_A, scales = arrays["classes"], float(arrays["finest_A"]), int(arrays["scales"])
    trees, nodes = features.shape
    depth = round(math.log2(nodes + 1))
    fits = (
        features.dtype == np.int16
        and thresholds.dtype == np.float32
        and votes.dtype == np.uint8
        and classes.dtype == np.uint8
        and 1 <= trees <= _TREES_MAX
        and 1 <= depth <= _DEPTH_MAX
        and nodes == 2**depth - 1
        and thresholds.shape == features.shape
        and votes.shape == (trees, nodes + 1, len(classes))
        and 2 <= len(classes) == len(set(classes.tolist()))
        and set(classes.tolist()) <= {0, *names}
        and 1 <= scales <= _SCALES_MAX
        and 1 <= finest_A <= 1000
        and not np.isnan(thresholds).any()
        and int(votes.sum(axis=2, dtype=np.int64).max()) <= 256
        and trees * 256 < 2**16
    )
    count = (scales - 1) * FEATURES + (FEATURES if scales == 1 else FEATURES_WITHOUT_TENSOR)
    count += MAPS if network else 0
    if not fits or features.min() < 0 or features.max() >= count:
        raise ValueError("arrays do not fit")
    forest = Forest(*(np.ascontiguousarray(each) for each in (features, thresholds, votes)))
    return PixelClassifier(dict(names), tuple(classes.tolist()), finest_A, scales, forest, network)


def _damaged(name: str, why: str) -> InvalidRequestError:
    which = f"The model '{name}'" if name else "The model"
    return InvalidRequestError(
        f"{which} cannot be used: {why}.",
        code=ErrorCode.INVALID_PARAMETERS,
        hint="Train it again, or get the file anew.",
    )


def _quoted(text: str) -> str:
    """Return a text as a basic string of TOML."""
    escaped = "".join(
        f"\\u{ord(sign):04x}" if sign in '"\\' or (not sign.isprintable() and ord(sign) < 0x10000) else sign
        for sign in text
    )
    return f'"{escaped}"'
