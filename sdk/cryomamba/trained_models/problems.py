"""What is wrong with a model, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from pydantic import ValidationError

from cryomamba.errors import InvalidRequestError
from cryomamba.suggestions import did_you_mean

SHOWN_MAX: Final = 20
_HINT: Final = "'cryomamba models check FOLDER' lists all that is wrong with a model; see the guide 'Trained models'."


def invalid_model(name: str, problems: Sequence[str], hint: str = "") -> InvalidRequestError:
    """Return the error for a model that cannot be used: the first problem, and all of them in ``details``."""
    more = f" ({len(problems)} problems)" if len(problems) > 1 else ""
    return InvalidRequestError(
        f"The model '{name[:128]}' cannot be used: {problems[0].rstrip('.')}{more}.",
        hint=hint or _HINT,
        details={"problems": list(problems[:SHOWN_MAX])},
    )


def validation_problems(error: ValidationError, file: str, known: Iterable[str]) -> list[str]:
    """Return one sentence for each field that does not fit; `known` are the fields of the file's top level."""
    fields = list(known)
    found = []
    for item in error.errors(include_url=False, include_input=False, include_context=False)[:SHOWN_MAX]:
        where = ".".join(str(part) for part in item["loc"])
        problem = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            guess = did_you_mean(where, fields).strip()
            found.append(f"{file} has a field '{where}', which does not exist. {guess}".rstrip())
        elif item["type"] == "missing":
            found.append(f"{file} lacks the field '{where}'.")
        elif not where:
            found.append(f"{file}: {problem}.")
        else:
            found.append(f"{file}: '{where}' is invalid: {problem}.")
    return found
