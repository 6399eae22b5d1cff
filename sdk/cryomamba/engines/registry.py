"""The registry of installed engines, and their descriptions for clients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Final

import numpy as np
from pydantic import ValidationError

from cryomamba.engines.api import Engine
from cryomamba.engines.info import EngineInfo
from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.field_problems import field_problem
from cryomamba.suggestions import did_you_mean

GROUP = "cryomamba.engines"
DEFAULT_ENGINES = ("membrane", "threshold")
NO_SUCH_PARAMETER: Final = "there is no such parameter"


@dataclass(frozen=True, slots=True)
class Registry:
    """The installed engines by name; `broken` has those that cannot be imported, with the reason."""

    engines: Mapping[str, type[Engine[Any]]]
    broken: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def discover(cls) -> Registry:
        """Import the engines of all installed packages; one that cannot be imported is recorded, not raised."""
        engines: dict[str, type[Engine[Any]]] = {}
        broken: dict[str, str] = {}
        for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
            try:
                engines[point.name] = point.load()
            except Exception as error:  # noqa: BLE001 (a third party's import may raise anything)
                broken[point.name] = f"{type(error).__name__}: {error}"
        return cls(engines, broken)

    @property
    def default(self) -> str | None:
        """Name of the engine to use if none is given."""
        ready = [name for name, engine in self.engines.items() if engine.availability().ok]
        return next((name for name in (*DEFAULT_ENGINES, *ready) if name in ready), None)

    def get(self, name: str | None) -> type[Engine[Any]]:
        """Return an engine that can run here; the default one for None.

        Raises
        ------
        InvalidRequestError
            There is no such engine, or it cannot run here; the hint lists the engines or says what to install.
        """
        chosen = name or self.default
        if chosen is not None and chosen in self.broken:
            raise InvalidRequestError(
                f"The engine '{chosen}' cannot be loaded: {self.broken[chosen]}.",
                code=ErrorCode.ENGINE_UNAVAILABLE,
                hint="Reinstall the package that provides it.",
            )
        if chosen is None or chosen not in self.engines:
            raise unknown_engine(name or "", sorted(self.engines))
        engine = self.engines[chosen]
        availability = engine.availability()
        if not availability.ok:
            raise InvalidRequestError(
                f"The engine '{chosen}' cannot run here: {availability.reason}",
                code=ErrorCode.ENGINE_UNAVAILABLE,
                hint=availability.hint,
            )
        return engine

    def create(self, name: str | None, params: Mapping[str, Any]) -> Engine[Any]:
        """Return an engine with validated parameters.

        Raises
        ------
        InvalidRequestError
            The engine is unknown or unavailable, or a parameter is invalid; the message names it.
        """
        engine = self.get(name)
        try:
            parameters = engine.Parameters.model_validate(dict(params))
        except ValidationError as error:
            raise invalid_parameters(engine.name, error, list(engine.Parameters.model_fields)) from None
        return engine(parameters)

    def infos(self) -> tuple[EngineInfo, ...]:
        """Describe all engines, including broken ones, sorted by name."""
        found = [describe(engine, default=name == self.default) for name, engine in self.engines.items()]
        found += [
            EngineInfo(
                name=name,
                summary="",
                parameters={},
                available=False,
                reason=f"It cannot be loaded: {why}.",
                hint="Reinstall the package that provides it.",
            )
            for name, why in self.broken.items()
        ]
        return tuple(sorted(found, key=lambda info: info.name))


def disk_per_voxel(engine: type[Engine[Any]]) -> int:
    """Return the peak disk use of a job in bytes per voxel of its volume.

    The mask; one byte for temporary scores and later for compressed copies of the mask; two for scores that are kept;
    and what the engine declares, except its :attr:`~cryomamba.engines.api.Engine.scratch_grid`.
    """
    mask = 1 if max(engine.labels) <= np.iinfo(np.int8).max else 2
    return mask + 1 + 2 * engine.keeps_scores + engine.scratch_per_voxel


def describe(engine: type[Engine[Any]], *, default: bool = False) -> EngineInfo:
    """Return the description of an engine for clients."""
    availability = engine.availability()
    return EngineInfo(
        name=engine.name,
        summary=engine.summary,
        parameters=engine.Parameters.model_json_schema(),
        needs_volume=engine.needs_volume,
        disk_per_voxel=disk_per_voxel(engine),
        scratch=engine.scratch_grid,
        picks=engine.picks,
        default=default,
        available=availability.ok,
        reason=availability.reason,
        hint=availability.hint,
    )


def unknown_engine(name: str, known: Sequence[str]) -> InvalidRequestError:
    """Return the error for an unknown engine."""
    listed = ", ".join(known) or "none"
    return InvalidRequestError(
        f"There is no engine '{name[:64]}'.",
        code=ErrorCode.UNKNOWN_ENGINE,
        hint=f"{did_you_mean(name, known)}Available engines: {listed}. 'cryomamba engines' describes them.",
        details={"engines": list(known)},
    )


def invalid_parameters(engine: str, error: ValidationError, known: Sequence[str] = ()) -> InvalidRequestError:
    """Return the error for parameters that a model refused; `known` are the engine's parameters."""
    problems = [
        {
            "field": ".".join(str(part) for part in item["loc"]),
            "problem": NO_SUCH_PARAMETER if item["type"] == "extra_forbidden" else field_problem(item),
        }
        for item in error.errors(include_url=False, include_input=False, include_context=False)[:20]
    ]
    return parameter_problems(engine, problems, known)


def parameter_problems(engine: str, problems: Sequence[Mapping[str, str]], known: Iterable[str]) -> InvalidRequestError:
    """Return the error for parameters of an engine; its message names the first problem, its details have all.

    Parameters
    ----------
    engine : str
    problems : sequence of mappings
        Each with the ``field`` and the ``problem``, which is `NO_SUCH_PARAMETER` for an unknown one.
    known : iterable of str
        Names of the engine's parameters, to suggest the one that was meant.
    """
    field, problem = problems[0]["field"], problems[0]["problem"]
    unknown = problem == NO_SUCH_PARAMETER
    guess = did_you_mean(field, known) if unknown else ""
    return InvalidRequestError(
        f"'{engine}' has no parameter '{field}'."
        if unknown
        else f"The parameter '{field}' of '{engine}' is invalid: {problem}.",
        code=ErrorCode.INVALID_PARAMETERS,
        hint=f"{guess}'cryomamba engines {engine}' lists its parameters with units and bounds.",
        details={"fields": list(problems)},
    )
