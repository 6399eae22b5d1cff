"""The engines that the store remembers."""

from __future__ import annotations

from tests.broker.store.store_helpers import OpenStore

from cryomamba.engines.info import EngineInfo


def test_engines_are_known_after_a_restart(open_store: OpenStore) -> None:
    """A submit need not wait until a worker has reconnected."""
    info = EngineInfo(name="demo", summary="s", parameters={"type": "object"}, needs_volume=False)
    open_store().engines.save([info])
    assert open_store().engines.load() == (info,)
