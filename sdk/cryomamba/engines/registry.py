"""How engines are found, and what is told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any

import numpy as np
from pydantic import ValidationError

from cryomamba.engines.api import Engine
from cryomamba.engines.info import EngineInfo
from cryomamba.errors import ErrorCode, InvalidRequestError

GROUP = "cryomamba.engines"
DEFAULT_ENGINES = ("membrane", "threshold")


@dataclass(frozen=True, slots=True)
class Registry:
    """The engines of this environment, by name; those that cannot be imported are kept with the reason."""

    engines: Mapping[str, type[Engine[Any]]]
    broken: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def discover(cls) -> Registry:
        """Import every engine that an installed package offers; a broken one is set aside, not raised."""
        engines: dict[str, type[Engine[Any]]] = {}
        broken: dict[str, str] = {}
        for point in sorted(entry_points(group=GROUP), key=lambda found: found.name):
            try:
                engines[point.name] = point.load()
            except Exception as error:  # noqa: BLE001 (a third party's import may raise anything)
                broken[point.name] = f"{type(error).__name__}: {error}"
        return cls(engines, broken)

    @property
    def default(self) -> str | None:
        """Name of the engine to use when a person names none."""
        ready = [name for name, engine in self.engines.items() if engine.availability().ok]
        return next((name for name in (*DEFAULT_ENGINES, *ready) if name in ready), None)

    def get(self, name: str | None) -> type[Engine[Any]]:
        """Return an engine that can run here; the default one for None.

        Raises
        ------
        InvalidRequestError
            There is no such engine, or it cannot run here; the hint says which there are or what to install.
        """
        chosen = name or self.default
        if chosen is not None and chosen in self.broken:
            raise InvalidRequestError(
                f"The engine '{chosen}' cannot be loaded: {self.broken[chosen]}.",
                code=ErrorCode.ENGINE_UNAVAILABLE,
                hint="Reinstall the package that offers it.",
            )
        if chosen is None or chosen not in self.engines:
            raise unknown_engine(name or "", sorted(self.engines))
        engine = self.engines[chosen]
        can = engine.availability()
        if not can.ok:
            raise InvalidRequestError(
                f"The engine '{chosen}' cannot run here: {can.reason}",
                code=ErrorCode.ENGINE_UNAVAILABLE,
                hint=can.hint,
            )
        return engine

    def create(self, name: str | None, params: Mapping[str, Any]) -> Engine[Any]:
        """Make an engine with checked parameters.

        Raises
        ------
        InvalidRequestError
            The engine is unknown or unavailable, or a parameter does not fit; the message names it.
        """
        engine = self.get(name)
        try:
            parameters = engine.Parameters.model_validate(dict(params))
        except ValidationError as error:
            raise invalid_parameters(engine.name, error) from None
        return engine(parameters)

    def infos(self) -> tuple[EngineInfo, ...]:
        """Describe all engines, the broken ones too, sorted by name."""
        found = [describe(engine, default=name == self.default) for name, engine in self.engines.items()]
        found += [
            EngineInfo(
                name=name,
                summary="",
                parameters={},
                available=False,
                reason=f"It cannot be loaded: {why}.",
                hint="Reinstall the package that offers it.",
            )
            for name, why in self.broken.items()
        ]
        return tuple(sorted(found, key=lambda info: info.name))


def disk_per_voxel(engine: type[Engine[Any]]) -> int:
    """Return how many bytes per voxel of its volume a job takes on the disk, at its fullest.

    The mask; a byte for scores on their way to labels, and later for its packed copies; two for scores that are kept;
    and what the engine writes besides, but for its :attr:`~cryomamba.engines.api.Engine.scratch_grid`.
    """
    mask = 1 if max(engine.labels) <= np.iinfo(np.int8).max else 2
    return mask + 1 + 2 * engine.keeps_scores + engine.scratch_per_voxel


def describe(engine: type[Engine[Any]], *, default: bool = False) -> EngineInfo:
    """Return what clients are told of an engine."""
    can = engine.availability()
    return EngineInfo(
        name=engine.name,
        summary=engine.summary,
        parameters=engine.Parameters.model_json_schema(),
        needs_volume=engine.needs_volume,
        disk_per_voxel=disk_per_voxel(engine),
        scratch=engine.scratch_grid,
        picks=engine.picks,
        default=default,
        available=can.ok,
        reason=can.reason,
        hint=can.hint,
    )


def unknown_engine(name: str, known: Sequence[str]) -> InvalidRequestError:
    """Return the error for an engine that nobody offers."""
    listed = ", ".join(known) or "none"
    return InvalidRequestError(
        f"There is no engine '{name[:64]}'.",
        code=ErrorCode.UNKNOWN_ENGINE,
        hint=f"Engines here: {listed}. 'cryomamba engines' describes them.",
        details={"engines": list(known)},
    )


def invalid_parameters(engine: str, error: ValidationError) -> InvalidRequestError:
    """Return the error for parameters that do not fit an engine's model, naming each."""
    problems = [
        {"field": ".".join(str(part) for part in item["loc"]), "problem": item["msg"]}
        for item in error.errors(include_url=False, include_input=False, include_context=False)[:20]
    ]
    first = problems[0]
    return InvalidRequestError(
        f"The parameter '{first['field']}' of '{engine}' does not fit: {first['problem']}.",
        code=ErrorCode.INVALID_PARAMETERS,
        hint=f"'cryomamba engines {engine}' lists its parameters with units and bounds.",
        details={"fields": problems},
    )
