"""The registry finds engines, names those that cannot be used, and validates parameters."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from pydantic import Field

from cryomamba.engines.api import Availability, Engine, EngineParameters, Labels, Tile
from cryomamba.engines.discovery import BrokenEngine
from cryomamba.engines.registry import Registry, disk_per_voxel
from cryomamba.errors import ErrorCode, InvalidRequestError


class Parameters(EngineParameters):
    level: int = Field(1, ge=0, le=9)


class Plain(Engine[Parameters]):
    name = "plain"
    summary = "An engine for tests."
    Parameters = Parameters
    labels: Mapping[int, str] = {1: "thing"}

    def predict(self, tile: Tile) -> Labels:
        return np.zeros(tile.shape, np.uint8)


class Unavailable(Plain):
    name = "unavailable"
    labels: Mapping[int, str] = {300: "thing"}
    keeps_scores = True

    @classmethod
    def availability(cls) -> Availability:
        return Availability(ok=False, reason="It needs a GPU.", hint="Run it on another computer.")


BROKEN = BrokenEngine("broken-package 1.0 cannot be imported: ImportError.", "Reinstall it.", "broken-package 1.0")
REGISTRY = Registry({"plain": Plain, "unavailable": Unavailable}, {"broken": BROKEN})


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("none", ErrorCode.UNKNOWN_ENGINE, "no engine 'none'.*plain, unavailable"),
        ("broken", ErrorCode.ENGINE_UNAVAILABLE, "cannot be imported: ImportError.*Reinstall"),
        ("unavailable", ErrorCode.ENGINE_UNAVAILABLE, "needs a GPU.*another computer"),
    ],
)
def test_an_engine_that_cannot_run_is_refused_with_the_reason(name: str, code: ErrorCode, words: str) -> None:
    """Unknown, broken and unavailable engines have errors of their own that say what to do."""
    with pytest.raises(InvalidRequestError, match=words) as caught:
        REGISTRY.get(name)
    assert caught.value.code == code


def test_the_default_is_an_engine_that_can_run() -> None:
    """Without a name, the first available engine is used."""
    assert REGISTRY.default == "plain"
    assert REGISTRY.get(None) is Plain
    with pytest.raises(InvalidRequestError, match="none"):
        Registry({}).get(None)


def test_invalid_parameters_are_named() -> None:
    """Valid parameters reach the engine; the message names an invalid one and the details all of them."""
    assert REGISTRY.create("plain", {"level": 3}).parameters.level == 3
    with pytest.raises(InvalidRequestError, match="'level' of 'plain' is invalid") as caught:
        REGISTRY.create("plain", {"level": 10, "other": 1})
    assert [problem["field"] for problem in caught.value.details["fields"]] == ["level", "other"]


def test_descriptions_include_broken_engines() -> None:
    """All engines are described, sorted by name, with the reason if one cannot be used."""
    infos = REGISTRY.infos()
    assert [(info.name, info.available, info.default) for info in infos] == [
        ("broken", False, False),
        ("plain", True, True),
        ("unavailable", False, False),
    ]
    assert "ImportError" in infos[0].reason
    assert infos[0].package == "broken-package 1.0"


def test_peak_disk_use_depends_on_labels_and_scores() -> None:
    """Labels above 127 take two bytes per voxel, kept scores two more."""
    assert (disk_per_voxel(Plain), disk_per_voxel(Unavailable)) == (2, 5)
