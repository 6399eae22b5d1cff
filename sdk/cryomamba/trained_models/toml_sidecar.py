"""Reads ``model.toml``, the short sidecar that people write by hand. Pure."""

from __future__ import annotations

import tomllib

from pydantic import ValidationError

from cryomamba.trained_models.description import ModelDescription
from cryomamba.trained_models.problems import invalid_model, validation_problems


def parse_toml(data: bytes, name: str, file: str = "model.toml") -> ModelDescription:
    """Return the description that a ``model.toml`` states; its fields are those of :class:`ModelDescription`.

    Parameters are as for :func:`~cryomamba.trained_models.rdf.parse_rdf`.

    Raises
    ------
    InvalidRequestError
        It is not TOML, or a field is unknown, missing or out of range; ``details["problems"]`` has every problem.
    """
    try:
        fields = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise invalid_model(name, [f"{file} is not valid TOML: {_first_line(error)}."]) from None
    try:
        return ModelDescription.model_validate(fields)
    except ValidationError as error:
        raise invalid_model(name, validation_problems(error, file, ModelDescription.model_fields)) from None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
