"""Problems of fields in words."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from cryomamba.field_problems import field_problem


class Fields(BaseModel):
    model_config = ConfigDict(extra="forbid")

    count: int = 1

    @field_validator("count")
    @classmethod
    def _few(cls, count: int) -> int:
        if count > 9:
            raise ValueError("give at most 9")
        return count


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"cuont": 3}, "there is no such field"),
        ({"count": 10}, "give at most 9"),
        ({"count": "x"}, "Input should be a valid integer, unable to parse string as an integer"),
    ],
)
def test_problems_are_told_in_words(fields: dict[str, Any], problem: str) -> None:
    """An unknown field is called that; what a check of ours says stands alone."""
    with pytest.raises(ValidationError) as refused:
        Fields.model_validate(fields)
    assert field_problem(refused.value.errors()[0]) == problem
