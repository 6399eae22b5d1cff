"""What is wrong with a model, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from pydantic import ValidationError

from cryomamba.errors import InvalidRequestError
from cryomamba.suggestions import did_you_mean

SHOWN_MAX: Final = 20
_SENTENCE_MAX: Final = 400
"""Characters of a problem: a field or a name of a hostile file can have a megabyte."""
_FIELD_MAX: Final = 64
"""Characters of a field that may be the misspelling of another."""
_HINT: Final = "'cryomamba models check FOLDER' lists all that is wrong with a model; see the guide 'Trained models'."


def invalid_model(name: str, problems: Sequence[str], hint: str = "") -> InvalidRequestError:
    """Return the error for a model that cannot be used: the first problem, and all of them in ``details``."""
    more = f" ({len(problems)} problems)" if len(problems) > 1 else ""
    shown = [_shortened(problem) for problem in problems[:SHOWN_MAX]]
    return InvalidRequestError(
        f"The model '{name[:128]}' cannot be used: {shown[0].rstrip('.')}{more}.",
        hint=_shortened(hint) or _HINT,
        details={"problems": shown},
    )


def validation_problems(error: ValidationError, file: str, known: Iterable[str]) -> list[str]:
    """Return one sentence for each field that does not fit; `known` are the fields of the file's top level."""
    fields = list(known)
    found = []
    for item in error.errors(include_url=False, include_input=False, include_context=False)[:SHOWN_MAX]:
        where = ".".join(str(part)[: _FIELD_MAX + 1] for part in item["loc"])
        problem = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            guess = did_you_mean(where, fields).strip() if len(where) <= _FIELD_MAX else ""
            found.append(f"{file} has a field '{where}', which does not exist. {guess}".rstrip())
        elif item["type"] == "missing":
            found.append(f"{file} lacks the field '{where}'.")
        elif not where:
            found.append(f"{file}: {problem}.")
        else:
            found.append(f"{file}: '{where}' is invalid: {problem}.")
    return found


def _shortened(sentence: str) -> str:
    return sentence if len(sentence) <= _SENTENCE_MAX else f"{sentence[: _SENTENCE_MAX - 1]}…"
