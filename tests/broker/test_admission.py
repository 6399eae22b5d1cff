"""Checks of a submit: engine, parameters, schema."""

from __future__ import annotations

from typing import Any

import pytest

from cryomamba.engines.info import EngineInfo
from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba.models.jobs import SubmitRequest
from cryomamba_broker.admission import check_parameters, choose_engine


def engine(name: str, **fields: Any) -> EngineInfo:
    return EngineInfo.model_validate({"name": name, "summary": "s", "parameters": {"type": "object"}, **fields})


def test_a_shape_alone_goes_to_an_engine_that_needs_no_volume() -> None:
    """A request without a volume makes a demo job although the default engine needs a tomogram."""
    engines = (engine("demo", needs_volume=False), engine("membrane", default=True))
    shape = SubmitRequest.model_validate({"volume": {"shape": [4, 4, 4]}})
    file = SubmitRequest.model_validate({"volume": {"path": "a.mrc"}})
    assert choose_engine(shape, engines).name == "demo"
    assert choose_engine(file, engines).name == "membrane"


def test_an_unavailable_engine_says_why_and_what_to_install() -> None:
    """The error has the worker's reason and hint."""
    request = SubmitRequest.model_validate({"volume": {"path": "a.mrc"}, "engine": "net"})
    with pytest.raises(InvalidRequestError) as caught:
        choose_engine(request, [engine("net", available=False, reason="torch is missing.", hint="Install it.")])
    assert caught.value.code is ErrorCode.ENGINE_UNAVAILABLE
    assert "torch is missing" in caught.value.message
    assert caught.value.hint == "Install it."


def test_each_wrong_parameter_is_named() -> None:
    """The message names the first wrong parameter, the details all of them, nested ones with their path."""
    schema = {
        "type": "object",
        "properties": {"sigma": {"type": "number"}, "band": {"type": "object", "properties": {"low": {"minimum": 0}}}},
        "additionalProperties": False,
        "required": ["sigma"],
    }
    with pytest.raises(InvalidRequestError) as caught:
        check_parameters(engine("e", parameters=schema), {"sigma": "x", "band": {"low": -1}, "sgima": 1})
    fields = [problem["field"] for problem in caught.value.details["fields"]]
    assert sorted(fields) == ["band.low", "sgima", "sigma"]
    with pytest.raises(InvalidRequestError, match="'sigma' is a required property"):
        check_parameters(engine("e", parameters=schema), {})


def test_remote_references_in_a_schema_are_not_fetched() -> None:
    """A reference to another machine makes the engine unavailable, and no connection is opened."""
    pointing = engine("e", parameters={"$ref": "http://127.0.0.1:9/schema.json"})
    with pytest.raises(InvalidRequestError) as caught:
        check_parameters(pointing, {})
    assert caught.value.code is ErrorCode.ENGINE_UNAVAILABLE
