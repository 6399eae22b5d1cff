"""From a JSON schema to a form and back."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import pytest
from pydantic import Field

from cryomamba.engines.api import EngineParameters
from cryomamba.engines.registry import Registry
from napari_cryomamba.models.form import FormModel, parse_json


class SubmitMode(StrEnum):
    FAST = "fast"
    GOOD = "good"


class Parameters(EngineParameters):
    sigma: float = Field(
        20.0, gt=0, le=500, title="Smoothing", description="Of a Gaussian.", json_schema_extra={"unit": "Å"}
    )
    count: int = Field(3, ge=1, le=9)
    dark: bool = True
    way: SubmitMode = SubmitMode.GOOD
    method: Literal["otsu", "yen"] = "otsu"
    level: float | None = Field(None, ge=0)
    note: str = ""
    sizes: tuple[int, int] = (1, 2)


@pytest.fixture
def form() -> FormModel:
    return FormModel(Parameters.model_json_schema())


def test_every_kind_of_parameter_has_its_field(form: FormModel) -> None:
    """Numbers, switches, choices, optional values and text each become what they are."""
    kinds = {field.name: (field.kind, field.optional) for field in form.fields}
    assert kinds == {
        "sigma": ("number", False),
        "count": ("integer", False),
        "dark": ("boolean", False),
        "way": ("choice", False),
        "method": ("choice", False),
        "level": ("number", True),
        "note": ("text", False),
        "sizes": ("json", False),
    }


def test_titles_units_bounds_and_choices_are_shown(form: FormModel) -> None:
    """The person sees the engine's own words, its unit and its bounds."""
    fields = {field.name: field for field in form.fields}
    assert fields["sigma"].label == "Smoothing (Å)"
    assert fields["sigma"].bounds_text == "above 0 and at most 500"
    assert fields["way"].choices == ("fast", "good")
    assert fields["way"].default == "good"


def test_what_does_not_fit_is_named_by_field(form: FormModel) -> None:
    """Every wrong value gets a sentence at its field; right ones get none."""
    values = form.defaults | {"sigma": 0.0, "count": 12, "method": "guess", "level": float("nan")}
    problems = form.problems(values)
    assert set(problems) == {"sigma", "count", "method", "level"}
    assert problems["sigma"] == "Smoothing must be above 0 and at most 500 Å."
    assert form.problems(form.defaults) == {}


def test_only_changes_are_sent(form: FormModel) -> None:
    """A job says what differs from the engine's defaults, so that defaults can improve."""
    assert form.changed(form.defaults) == {}
    assert form.changed(form.defaults | {"count": 5}) == {"count": 5}


@pytest.mark.parametrize("name", sorted(Registry.discover().engines))
def test_defaults_of_every_engine_fit_their_own_form(name: str) -> None:
    """Whatever engine is installed, its form opens valid but for the model, and its engine takes what it gives."""
    engine = Registry.discover().engines[name]
    form = FormModel(engine.Parameters.model_json_schema())
    chosen = form.defaults
    if "model" in form.problems(form.defaults):
        assert form.problems(form.defaults) == {"model": "Choose a model."}
        chosen = form.defaults | {"model": "mine"}
    assert form.problems(chosen) == {}
    engine.Parameters.model_validate(chosen)


def test_text_that_is_no_json_stands_for_itself() -> None:
    """What a person types is taken as JSON if it is JSON."""
    assert parse_json("[1, 2]") == [1, 2]
    assert parse_json("otsu") == "otsu"
