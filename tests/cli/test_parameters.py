"""Engine parameters on the command line."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from cryomamba.errors import ErrorCode, InvalidRequestError
from cryomamba_cli.parameters import describe, parse, typed


class Options(BaseModel):
    sigma_A: float = Field(10.0, ge=0, le=1000, description="Smoothing.", json_schema_extra={"unit": "Å"})
    count: int = Field(3, gt=0, lt=9)
    invert: bool = False
    contrast: Literal["dark", "bright"] = "dark"
    value: float | None = None
    name: str = ""
    number_or_text: int | str = "none given"
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    table: dict[str, int] = Field(default_factory=dict)
    level: Literal[0, 1, 2] = 0


SCHEMA = Options.model_json_schema()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("sigma_A=2.5", 2.5),
        ("sigma_A=1e2", 100.0),
        (" sigma_A = 3 ", 3.0),
        ("count=4", 4),
        ("invert=yes", True),
        ("invert=False", False),
        ("contrast=bright", "bright"),
        ("value=none", None),
        ("value=-0.5", -0.5),
        ("name=a=b", "a=b"),
        ("name=3", "3"),
        ("number_or_text=3", 3),
        ("number_or_text=three", "three"),
        ("spacing=1,2,3.5", [1, 2, 3.5]),
        ("spacing=[1, 2, 3]", [1, 2, 3]),
        ('table={"a": 1}', {"a": 1}),
        ("level=0", 0),
    ],
)
def test_text_becomes_a_value_of_the_parameters_type(text: str, value: object) -> None:
    """Numbers, booleans, choices, lists and JSON are parsed by the schema."""
    parsed = parse([text], SCHEMA, owner="engine")
    assert list(parsed.values()) == [value]
    assert type(next(iter(parsed.values()))) is type(value)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["sigma_A"], "NAME=VALUE"),
        (["=3"], "NAME=VALUE"),
        (["sigma_A=wide"], "number in Å"),
        (["count=2.5"], "whole number"),
        (["invert=maybe"], "true or false"),
        (["contrast=grey"], "dark | bright"),
        (["sigma=3"], "Did you mean 'sigma_A'?"),
        (["nothing=3"], "Its parameters are: sigma_A"),
        (["count=1", "count=2"], "given twice"),
        (["table={"], "JSON object"),
    ],
)
def test_invalid_parameters_are_refused(pairs: list[str], message: str) -> None:
    """A malformed text, a wrong name or type is an error that says what is expected."""
    with pytest.raises(InvalidRequestError) as caught:
        parse(pairs, SCHEMA, owner="engine")
    assert caught.value.code is ErrorCode.INVALID_PARAMETERS
    assert message in str(caught.value)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "sigma_A": st.floats(0, 1000),
            "count": st.integers(1, 8),
            "invert": st.booleans(),
            "contrast": st.sampled_from(["dark", "bright"]),
            "value": st.none() | st.floats(allow_nan=False, allow_infinity=False),
            "level": st.sampled_from([0, 1, 2]),
            "spacing": st.tuples(st.floats(0, 9), st.floats(0, 9), st.floats(0, 9)),
        },
    )
)
def test_typing_and_parsing_are_inverse(values: dict[str, Any]) -> None:
    """Values written as one would type them are parsed to the same model."""
    pairs = [f"{name}={typed(value)}" for name, value in values.items()]
    assert Options.model_validate(parse(pairs, SCHEMA, owner="engine")) == Options.model_validate(values)


def test_description_names_unit_bounds_and_default() -> None:
    """A parameter is described with its unit, bounds, type and default."""
    found = {one.name: one for one in describe(SCHEMA)}
    sigma, count, value = found["sigma_A"], found["count"], found["value"]
    assert (sigma.unit, sigma.bounds, sigma.default, sigma.kind) == ("Å", "≥ 0, ≤ 1000", "10.0", "number")
    assert sigma.description == "Smoothing."
    assert (count.bounds, count.kind) == ("> 0, < 9", "whole number")
    assert (value.default, value.kind) == ("none", "number or none")
    assert found["contrast"].kind == "dark | bright"
    assert found["spacing"].kind == "list of 3"


def test_references_are_followed() -> None:
    """An enumeration by reference is parsed like one in place."""
    schema = {"$defs": {"Side": {"enum": ["left", "right"]}}, "properties": {"side": {"$ref": "#/$defs/Side"}}}
    assert parse(["side=left"], schema, owner="engine") == {"side": "left"}
    assert describe(schema)[0].kind == "left | right"
