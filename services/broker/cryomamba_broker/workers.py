"""The connected workers and the catalogue of engines: pure state, the clock is passed in."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from cryomamba.engines.info import EngineInfo
from cryomamba.errors import AccessError, ErrorCode, InvalidRequestError, NotFoundError, no_such_worker
from cryomamba.models.model_listing import ListedModel, OfferedModel
from cryomamba.models.server import WorkerInfo
from cryomamba.wire.requests import WorkerHello
from cryomamba_broker.placement import Candidate, Placement
from cryomamba_broker.store.rows import wire_nbytes
from cryomamba_broker.store.worker_states import WorkerState
from cryomamba_broker.worker_states import WorkerStates

CATALOGUE_MAX_BYTES: Final = 40 * 1024
WORKERS_MAX: Final = 512
WORKERS_PER_KEY_MAX: Final = 128
"""So that whoever has one key cannot keep the workers of all others out. A host has a worker for each slot."""
MODELS_MAX: Final = 1000
_WORKERS_SHOWN: Final = 32


@dataclass(frozen=True, slots=True)
class _Seen:
    hello: WorkerHello
    at: datetime
    steady: float
    job_id: str | None = None
    key: str = ""
    models: tuple[OfferedModel, ...] = ()


class Workers:
    """The connected workers, and the catalogue of engines.

    Parameters
    ----------
    known : iterable of EngineInfo
        Engines that were offered before this broker started.
    silent_s : float
        Seconds without a message after which a worker counts as disconnected.
    states : mapping
        Workers that were drained or removed before this broker started.

    Attributes
    ----------
    states : WorkerStates
    """

    def __init__(
        self, known: Iterable[EngineInfo], *, silent_s: float, states: Mapping[str, WorkerState] | None = None
    ) -> None:
        self.states = WorkerStates(states or {})
        self._known = {engine.name: engine for engine in known}
        self._silent_s = silent_s
        self._seen: dict[str, _Seen] = {}
        self._silent: OrderedDict[str, _Seen] = OrderedDict()
        self._listed: tuple[ListedModel, ...] | None = None

    def require_own_name(self, worker: str, key: str) -> None:
        """Refuse a request in the name of a worker that has connected with another key, or that was removed.

        Raises
        ------
        AccessError
            The name is another worker's, or that of one that was removed. On an open bus `key` is empty, and no name is
            another's.
        """
        self.states.require_not_removed(worker)
        known = self._seen.get(worker) or self._silent.get(worker)
        if key and known is not None and known.key and known.key != key:
            raise AccessError(
                "This name is that of a worker with another key.", hint="Restart this worker; it chooses a new name."
            )

    def hello(self, hello: WorkerHello, *, at: datetime, steady: float, key: str = "") -> tuple[EngineInfo, ...]:
        """Register a worker and its engines, and return the updated catalogue.

        Raises
        ------
        AccessError
            As :meth:`require_own_name` does.
        InvalidRequestError
            The catalogue does not fit into a message, or there are too many workers, in all or with this key.
        """
        self.require_own_name(hello.worker, key)
        checked = hello.model_copy(update={"engines": tuple(_with_checked_schema(info) for info in hello.engines)})
        known = dict(self._known)
        for info in checked.engines:
            if info.available or not self._offered_by_another(info.name, hello.worker):
                known[info.name] = info
        if wire_nbytes([info.model_dump(mode="json") for info in known.values()]) > CATALOGUE_MAX_BYTES:
            raise InvalidRequestError(
                "The descriptions of all engines together do not fit into a message.",
                code=ErrorCode.TOO_LARGE,
                hint="Shorten the descriptions of the engine's parameters, or offer fewer engines.",
            )
        self._require_room(hello.worker, key)
        self._known = known
        self._silent.pop(hello.worker, None)
        models = self._seen[hello.worker].models if hello.worker in self._seen else ()
        self._seen[hello.worker] = _Seen(checked, at, steady, key=key, models=models)
        self._listed = None
        return self.engines()

    def _has_too_many(self, key: str) -> bool:
        return bool(key) and sum(seen.key == key for seen in self._seen.values()) >= WORKERS_PER_KEY_MAX

    def _require_room(self, worker: str, key: str) -> None:
        if worker in self._seen:
            return
        if len(self._seen) >= WORKERS_MAX:
            raise InvalidRequestError(
                f"{WORKERS_MAX} workers are already connected, the maximum.", code=ErrorCode.TOO_LARGE
            )
        if self._has_too_many(key):
            raise InvalidRequestError(
                f"{WORKERS_PER_KEY_MAX} workers with this key are already connected, the maximum.",
                code=ErrorCode.TOO_LARGE,
                hint="Give each host its own key: cryomamba keys add NAME --role worker.",
            )

    def announce(self, worker: str, models: Sequence[OfferedModel], *, first: bool) -> None:
        """Note the trained models of a worker; with `first`, they replace those that it announced before.

        Raises
        ------
        NotFoundError
            The worker is not registered.
        InvalidRequestError
            It announces too many models.
        """
        known = self._seen.get(worker)
        if known is None:
            raise NotFoundError("This worker is not registered.", hint="It registers by itself in a moment.")
        announced = (*(() if first else known.models), *models)
        if len(announced) > MODELS_MAX:
            raise InvalidRequestError(f"A worker may have {MODELS_MAX:,} models.", code=ErrorCode.TOO_LARGE)
        self._seen[worker] = replace(known, models=announced)
        self._listed = None

    def models(self) -> tuple[ListedModel, ...]:
        """Return the trained models of the connected workers, by name; once for each content under one name."""
        if self._listed is None:
            self._listed = self._merged_models()
        return self._listed

    def _merged_models(self) -> tuple[ListedModel, ...]:
        found: dict[tuple[str, str], ListedModel] = {}
        for worker, seen in sorted(self._seen.items()):
            ready = {info.name for info in seen.hello.engines if info.available}
            for model in seen.models:
                known = found.get((model.name, model.sha256)) or ListedModel(**dict(model))
                able = (worker,) if model.kind in ready else ()
                update = {
                    "workers": (*known.workers, *able)[:_WORKERS_SHOWN],
                    # A job may come to any of them.
                    "licence_accepted": known.licence_accepted and model.licence_accepted,
                }
                found[model.name, model.sha256] = known.model_copy(update=update)
        return tuple(model for _, model in sorted(found.items()))

    def models_of(self, worker: str) -> tuple[str, ...]:
        """Return the names of the models that a worker may use."""
        known = self._seen.get(worker)
        return tuple(model.name for model in known.models if model.licence_accepted) if known is not None else ()

    def placement(self) -> Placement:
        """Return which jobs the connected workers can run."""
        return Placement(
            tuple(
                Candidate(
                    _available(seen.hello),
                    tuple(sorted(self.models_of(name))),
                    drained=self.states.is_drained(name),
                    declined=self.states.declined(name),
                    memory_bytes=seen.hello.memory_bytes,
                )
                for name, seen in self._seen.items()
            )
        )

    def others(self, worker: str) -> Placement:
        """Return which jobs the connected workers besides one can run."""
        names = [name for name in self._seen if name != worker]
        placement = dict(zip(self._seen, self.placement().workers, strict=True))
        return Placement(tuple(placement[name] for name in names))

    def memory_of(self, worker: str) -> int:
        """Return the memory that a job may use on a worker in bytes, 0 if that is not known."""
        known = self._seen.get(worker)
        return known.hello.memory_bytes if known is not None else 0

    def key_of(self, worker: str) -> str:
        """Return the public key of a connected worker if no other worker uses it; empty if one does, or without keys.

        Raises
        ------
        NotFoundError
            No such worker is connected.
        """
        known = self._require_connected(worker)
        shared = any(
            one.key == known.key for seen in (self._seen, self._silent) for name, one in seen.items() if name != worker
        )
        return "" if shared else known.key

    def drop(self, worker: str) -> None:
        """Forget a worker that was removed."""
        self._seen.pop(worker, None)
        self._silent.pop(worker, None)
        self._listed = None

    def info(self, worker: str) -> WorkerInfo:
        """Return a connected worker; raises as :meth:`key_of` does."""
        self._require_connected(worker)
        return next(info for info in self.infos() if info.worker == worker)

    def _require_connected(self, worker: str) -> _Seen:
        known = self._seen.get(worker)
        if known is None:
            raise no_such_worker(worker)
        return known

    def _offered_by_another(self, engine: str, worker: str) -> bool:
        return any(
            info.name == engine and info.available
            for name, seen in self._seen.items()
            if name != worker
            for info in seen.hello.engines
        )

    def seen(self, worker: str, *, at: datetime, steady: float, job_id: str | None) -> None:
        """Note that a worker sent a message; one that was dropped is listed again, one that never registered is not."""
        known = self._seen.get(worker)
        if known is None and worker in self._silent and not self._has_too_many(self._silent[worker].key):
            known, self._listed = self._silent.pop(worker), None
        if known is not None:
            self._seen[worker] = replace(known, at=at, steady=steady, job_id=job_id)

    def is_connected(self, worker: str) -> bool:
        """Whether a worker is registered and not silent."""
        return worker in self._seen

    def prune(self, steady: float) -> list[str]:
        """Drop the workers that have been silent for too long, and return their names."""
        silent = [name for name, seen in self._seen.items() if seen.steady < steady - self._silent_s]
        for name in silent:
            self._silent[name], self._listed = self._seen.pop(name), None
            self._forget_oldest_of_key(self._silent[name].key)
        self.states.forget(steady, silent=silent)
        while len(self._silent) > WORKERS_MAX:
            self._silent.popitem(last=False)
        return silent

    def _forget_oldest_of_key(self, key: str) -> None:
        """Forget a silent worker if its key has too many, so that no key makes those of others be forgotten."""
        same = [name for name, seen in self._silent.items() if key and seen.key == key]
        if len(same) > WORKERS_PER_KEY_MAX:
            del self._silent[same[0]]

    def engines(self) -> tuple[EngineInfo, ...]:
        """Return the catalogue, sorted by name; exactly one engine is the default if any can run."""
        default = self.default()
        infos = (info.model_copy(update={"default": name == default}) for name, info in sorted(self._known.items()))
        return tuple(infos)

    def default(self) -> str | None:
        """Return the name of the engine for jobs that name none, None if no engine can run."""
        ready = [info for _, info in sorted(self._known.items()) if info.available]
        chosen = [info.name for info in ready if info.default] or [info.name for info in ready]
        return chosen[0] if chosen else None

    def infos(self) -> tuple[WorkerInfo, ...]:
        """Return the connected workers."""
        return tuple(
            WorkerInfo(
                worker=name,
                host=seen.hello.host,
                pid=seen.hello.pid,
                version=seen.hello.version,
                engines=_available(seen.hello),
                job_id=seen.job_id,
                seen_at=seen.at,
                drained=self.states.is_drained(name),
                memory_bytes=seen.hello.memory_bytes,
                gpus=seen.hello.gpus,
                folders=seen.hello.folders,
            )
            for name, seen in sorted(self._seen.items())
        )

    def __len__(self) -> int:
        return len(self._seen)


def _available(hello: WorkerHello) -> tuple[str, ...]:
    return tuple(sorted(info.name for info in hello.engines if info.available))


def _with_checked_schema(info: EngineInfo) -> EngineInfo:
    try:
        Draft202012Validator.check_schema(info.parameters)
    except SchemaError as error:
        return info.model_copy(
            update={
                "parameters": {},
                "available": False,
                "reason": f"The JSON schema of its parameters is not valid: {error.message[:200]}.",
                "hint": "Report this to the authors of the engine.",
            }
        )
    return info
