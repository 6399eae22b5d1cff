"""A trained model on disk: a folder with a sidecar, or a file beside one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from cryomamba.errors import ErrorCode, InvalidRequestError, NotFoundError
from cryomamba.models.trained_models import MODEL_NAME_PATTERN, Kind, ModelInfo
from cryomamba.trained_models.description import ModelDescription
from cryomamba.trained_models.membrain_checkpoint import read_membrain_checkpoint
from cryomamba.trained_models.model_files import SIDECAR_MAX, content_sha256, file_sha256, path_problem
from cryomamba.trained_models.nnunet_folder import read_nnunet_folder
from cryomamba.trained_models.problems import invalid_model
from cryomamba.trained_models.rdf import parse_rdf
from cryomamba.trained_models.toml_sidecar import parse_toml

TOML: Final = "model.toml"
RDF: Final = ("rdf.yaml", "bioimageio.yaml")
SIDECARS: Final = (TOML, *RDF)
"""Sidecars of a folder, the first one that is there counts."""
EXTRAS: Final[dict[Kind, str]] = {"torchscript": "torch", "nnunet": "nnunet", "membrain": "membrain"}
"""The extra of the distribution that a kind of model needs."""
_NAME_MAX: Final = 64

Reader = Callable[[Path, str], "tuple[ModelDescription, tuple[str, ...]] | None"]
"""Takes a folder or file and the model's name; returns its description and the files that are its sidecars, or None
if it is not of this kind. It raises :class:`~cryomamba.errors.InvalidRequestError` if it is, and cannot be used."""


@dataclass(frozen=True)
class Model:
    """A trained model whose description has been read and whose files exist.

    Attributes
    ----------
    name : str
        The name of its folder, or of its file without extension.
    folder : Path
        Absolute; the files of the description are relative to it.
    description : ModelDescription
    sidecars : tuple of str
        Files from which the description was read, relative to the folder; empty if it was read from the weights.
    """

    name: str
    folder: Path
    description: ModelDescription
    sidecars: tuple[str, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """All files that belong to the model, relative to its folder: what has to be copied to have it elsewhere."""
        tests = [name for test in self.description.tests for name in (test.input, test.output)]
        return tuple(dict.fromkeys((*self._running_files, *tests)))

    @property
    def _running_files(self) -> tuple[str, ...]:
        return (*self.sidecars, *self.description.weights, *self.description.extra_files)

    @property
    def weights(self) -> tuple[Path, ...]:
        """Absolute paths of the weights files."""
        return tuple(self.folder / name for name in self.description.weights)

    @cached_property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum((self.folder / name).stat().st_size for name in self.files)

    @cached_property
    def sha256(self) -> str:
        """Checksum of what the model computes with: sidecar, weights and extra files, not its test tensors.

        See :func:`~cryomamba.trained_models.model_files.content_sha256`. It is read anew for each object.
        """
        return content_sha256(self.folder, self._running_files)

    def info(self, *, sha256: str | None = None) -> ModelInfo:
        """Return the record that servers send; without the `sha256` that is known from before, all files are read."""
        described = self.description
        return ModelInfo(
            name=self.name,
            kind=described.kind,
            title=described.title or self.name,
            summary=described.summary,
            labels=described.labels,
            voxel_size_A=described.voxel_size_A,
            contrast=described.contrast,
            size_bytes=self.size_bytes,
            sha256=sha256 or self.sha256,
            licence=described.licence,
            authors=described.authors,
            citation=described.citation,
            needs=EXTRAS.get(described.kind, ""),
        )

    def checksum_problems(self) -> list[str]:
        """Return one sentence for each file whose checksum is not the one that the sidecar states."""
        stated = self.description.checksums
        return [
            f"'{name}' is damaged, or another version: its SHA-256 is not the one in {self.sidecars[0]}"
            for name, sha256 in stated.items()
            if name in self.files and file_sha256(self.folder / name) != sha256
        ]


def read_model(path: Path) -> Model:
    """Read a model: a folder with ``model.toml`` or ``rdf.yaml``, or a weights file beside one.

    Beside ``NAME.onnx``, ``NAME.toml`` is looked for first. Nothing of the weights is read.

    Raises
    ------
    NotFoundError
        There is no such folder or file.
    InvalidRequestError
        It has no sidecar, the sidecar is wrong, or a file is missing or outside of the folder; ``details["problems"]``
        has every problem.
    """
    path = path.expanduser().absolute()
    if not path.exists():
        raise NotFoundError(f"There is no model '{path.name[:128]}'.", hint="Check the path or the name.")
    name = model_name(path.name if path.is_dir() else path.stem)
    for read in READERS:
        found = read(path, name)
        if found is not None:
            description, sidecars = found
            folder = path if path.is_dir() else path.parent
            model = Model(name, folder, description, sidecars)
            problems = [problem for file in model.files if (problem := path_problem(folder, file))]
            if problems:
                raise invalid_model(name, problems)
            return model
    listed = ", ".join(SIDECARS[:-1]) + f" or {SIDECARS[-1]}"
    raise invalid_model(
        name,
        [f"it has no sidecar that describes it ({listed})"],
        hint=f"Write a {TOML} beside the weights; the guide 'Trained models' shows one.",
    )


def model_name(text: str) -> str:
    """Return a text as a model's name: other characters than letters, digits, ``_``, ``.`` and ``-`` become ``-``."""
    name = re.sub(r"[^0-9A-Za-z_.-]+", "-", text).lstrip("._-")[:_NAME_MAX].rstrip("._-")
    return name or "model"


def is_model_name(text: str) -> bool:
    """Return whether a text is a model's name, and so neither a path nor too long."""
    return len(text) <= _NAME_MAX and re.fullmatch(MODEL_NAME_PATTERN, text) is not None and not text.endswith("\n")


def require_model_name(text: str) -> None:
    """Refuse a path where only the name of a model may be given: on a server.

    Raises
    ------
    InvalidRequestError
        ``invalid_parameters``.
    """
    if not is_model_name(text):
        raise InvalidRequestError(
            f"'{text[:64]}' is not the name of a model.",
            code=ErrorCode.INVALID_PARAMETERS,
            hint="A server runs the models that it has, by name; 'cryomamba models list' shows them.",
        )


def _read_sidecar(path: Path, name: str) -> tuple[ModelDescription, tuple[str, ...]] | None:
    folder = path if path.is_dir() else path.parent
    candidates = SIDECARS if path.is_dir() else (f"{path.stem}.toml", *SIDECARS)
    sidecar = next((one for one in candidates if (folder / one).is_file()), None)
    if sidecar is None:
        return None
    if problem := path_problem(folder, sidecar):
        raise invalid_model(name, [problem])
    if (folder / sidecar).stat().st_size > SIDECAR_MAX:
        raise invalid_model(name, [f"'{sidecar}' is larger than {SIDECAR_MAX // 1024} KiB"])
    data = (folder / sidecar).read_bytes()
    parse = parse_rdf if sidecar in RDF else parse_toml
    description = parse(data, name, sidecar)
    if path.is_file() and path.name not in description.weights and path.name not in SIDECARS:
        raise invalid_model(name, [f"{sidecar} describes {', '.join(description.weights)}, not '{path.name}'"])
    return description, (sidecar,)


READERS: Sequence[Reader] = (_read_sidecar, read_nnunet_folder, read_membrain_checkpoint)
"""The readers, in this order; each recognizes one way in which a model lies on disk."""
