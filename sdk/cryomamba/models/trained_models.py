"""Trained models, as servers list them."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from cryomamba.geometry import Spacing
from cryomamba.models.base import Record
from cryomamba.models.files import Sha256

MODEL_NAME_PATTERN: Final = r"^[0-9A-Za-z][0-9A-Za-z_.-]*$"
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=MODEL_NAME_PATTERN)]
"""By which a job asks for a model: letters, digits, ``_``, ``.`` and ``-``, and no path."""
Kind = Literal["onnx", "torchscript", "nnunet", "membrain", "pixels"]
"""What a model is, which is also the name of the engine that runs it."""
Title = Annotated[str, StringConstraints(max_length=200)]
Labels = Annotated[
    dict[Annotated[int, Field(ge=1, le=255)], Annotated[str, StringConstraints(min_length=1, max_length=64)]],
    Field(min_length=1, max_length=255),
]


class ModelInfo(Record):
    """A trained model that a server can run.

    Attributes
    ----------
    name : str
        Given to the parameter `model` of the engine `kind`.
    title, summary : str
        What people call it, and what it does.
    labels : dict of int to str
        What each label means, without 0, the background.
    voxel_size_A : tuple of float or None
        Ångström (z, y, x) that it was trained for; None for any.
    contrast : {'dark', 'bright', 'any'}
        Contrast that it expects.
    size_bytes : int
        Of its files.
    sha256 : str
        Of their content, see :func:`~cryomamba.trained_models.model.Model.sha256`.
    licence : str
        An SPDX identifier or a sentence; empty if the model does not say.
    needs : str
        The extra that its engine needs, such as ``torch`` in ``pip install 'cryomamba[torch]'``; empty for none.
    """

    name: ModelName
    kind: Kind
    title: Title = ""
    summary: str = ""
    labels: Labels
    voxel_size_A: Spacing | None = None
    contrast: Literal["dark", "bright", "any"] = "any"
    size_bytes: int = Field(ge=0)
    sha256: Sha256
    licence: str = ""
    authors: tuple[str, ...] = ()
    citation: str = ""
    needs: str = ""
