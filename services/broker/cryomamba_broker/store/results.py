"""The result of a job as it is stored: files, warnings and estimates, so short that a record fits into a header."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from cryomamba.engines.api import Estimate
from cryomamba.errors import InvalidRequestError
from cryomamba.models.jobs import Artifact
from cryomamba.volumes.metadata import VolumeWarning
from cryomamba_broker.store.rows import to_json, truncate, wire_nbytes

ARTIFACTS_MAX_BYTES: Final = 12 * 1024
WARNINGS_MAX: Final = 8
ESTIMATES_MAX: Final = 16
_WARNING_BYTES: Final = 300
_NAME_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class StoredResult:
    """The columns of a result, as JSON."""

    artifacts: str = "[]"
    warnings: str = "[]"
    estimates: str = "{}"

    @classmethod
    def of(
        cls, artifacts: Sequence[Artifact], warnings: Iterable[VolumeWarning], estimates: Mapping[str, Estimate]
    ) -> Self:
        """Return what is stored of a result; warnings and estimates are truncated.

        Raises
        ------
        InvalidRequestError
            The list of artifacts is too long.
        """
        listed = [artifact.model_dump(mode="json") for artifact in artifacts]
        if wire_nbytes(listed) > ARTIFACTS_MAX_BYTES:
            raise InvalidRequestError("The list of artifacts is longer than a job record can hold.")
        return cls(to_json(listed), to_json(_truncate_warnings(warnings)), to_json(_truncate_estimates(estimates)))


NO_RESULT: Final = StoredResult()


def _truncate_warnings(warnings: Iterable[VolumeWarning]) -> list[dict[str, str]]:
    """Return the warnings of a result as they are stored: the first ones, truncated."""
    return [
        {
            "code": truncate(warning.code, _NAME_BYTES),
            "message": truncate(warning.message, _WARNING_BYTES),
            "hint": truncate(warning.hint, _WARNING_BYTES),
        }
        for warning in list(warnings)[:WARNINGS_MAX]
    ]


def _truncate_estimates(estimates: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """Return what an engine has estimated as it is stored: the first ones, truncated."""
    kept = list(estimates.items())[:ESTIMATES_MAX]
    return {
        truncate(name, _NAME_BYTES): truncate(value, _NAME_BYTES) if isinstance(value, str) else value
        for name, value in kept
    }
