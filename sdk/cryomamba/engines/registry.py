"""The registry of installed engines, and their descriptions for clients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np
from pydantic import ValidationError

from cryomamba.engines.api import Engine
from cryomamba.engines.discovery import BrokenEngine, discover_engines
from cryomamba.engines.info import EngineInfo
from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.field_problems import field_problem
from cryomamba.suggestions import did_you_mean

DEFAULT_ENGINES = ("membrane", "threshold")
NO_SUCH_PARAMETER: Final = "there is no such parameter"


@dataclass(frozen=True, slots=True)
class Registry:
    """The installed engines by name.

    Attributes
    ----------
    engines : mapping
    broken : mapping of str to BrokenEngine
        Those that cannot be used, with the reason.
    packages : mapping of str to str
        Name and version of the package that offers an engine, if it does not come with CryoMamba.
    """

    engines: Mapping[str, type[Engine[Any]]]
    broken: Mapping[str, BrokenEngine] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def discover(cls, only: str | None = None) -> Self:
        """Import the engines of all installed packages; one that cannot be used is recorded, not raised.

        Parameters
        ----------
        only : str, optional
            Name of an engine; no other is imported.
        """
        found = discover_engines(only=only)
        usable, broken = dict(found.engines), dict(found.broken)
        for name, engine in found.engines.items():
            try:
                describe(engine)
            except Exception as error:  # noqa: BLE001 (others' code, and all other engines must stay usable)
                package = found.packages.get(name, "")
                what = f"{package} cannot be described: {type(error).__name__}: {error}".rstrip(": .")
                broken[name] = BrokenEngine(f"{what}.", "Report this to its authors.", package)
                del usable[name]
        return cls(usable, broken, found.packages)

    @classmethod
    def discover_one(cls, name: str | None) -> Self:
        """Import the engine of this name alone, the default one for None; all of them if that cannot run.

        The libraries of other engines take seconds to be imported. Messages list all engines in any case, because
        there is one only if the engine cannot run.
        """
        for wanted in DEFAULT_ENGINES if name is None else (name,):
            found = cls.discover(wanted)
            if wanted in found.engines and found.engines[wanted].availability().ok:
                return found
        return cls.discover()

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
                f"The engine '{chosen}' cannot run here: {self.broken[chosen].reason}",
                code=ErrorCode.ENGINE_UNAVAILABLE,
                hint=self.broken[chosen].hint,
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
        default = self.default
        found = [
            describe(engine, default=name == default, package=self.packages.get(name, ""))
            for name, engine in self.engines.items()
        ]
        found += [
            EngineInfo(
                name=name,
                summary="",
                parameters={},
                package=broken.package,
                available=False,
                reason=broken.reason,
                hint=broken.hint,
            )
            for name, broken in self.broken.items()
        ]
        return tuple(sorted(found, key=lambda info: info.name))


def disk_per_voxel(engine: type[Engine[Any]]) -> int:
    """Return the peak disk use of a job in bytes per voxel of its volume.

    The mask; one byte for temporary scores and later for compressed copies of the mask; two for scores that are kept;
    and what the engine declares, except its :attr:`~cryomamba.engines.api.Engine.scratch_grid`.
    """
    mask = 1 if max(engine.labels) <= np.iinfo(np.int8).max else 2
    return mask + 1 + 2 * engine.keeps_scores + engine.scratch_per_voxel


def describe(engine: type[Engine[Any]], *, default: bool = False, package: str = "") -> EngineInfo:
    """Return the description of an engine for clients; `package` offers it, if it does not come with CryoMamba."""
    availability = engine.availability()
    return EngineInfo(
        name=engine.name,
        summary=engine.summary,
        parameters=engine.Parameters.model_json_schema(),
        package=package,
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
