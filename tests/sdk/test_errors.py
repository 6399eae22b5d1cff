"""Errors cross every border whole and keep their type."""

from __future__ import annotations

import pickle

import pytest

from cryomamba.errors import CryoMambaError, ErrorCode, InternalError, VolumeError, error_from_payload


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_code_has_a_type_and_comes_back(code: ErrorCode) -> None:
    """The five fields give back the same error, for every code."""
    sent = error_from_payload({"code": code, "message": "m", "hint": "h", "retryable": True, "details": {"a": 1}})
    back = error_from_payload(sent.payload())
    assert type(back) is type(sent)
    assert back.payload() == sent.payload()
    assert issubclass(type(back), CryoMambaError)


def test_an_unknown_code_keeps_its_message() -> None:
    """An error with an unknown code keeps its message."""
    error = error_from_payload({"code": "from_the_future", "message": "The moon is in the way."})
    assert isinstance(error, InternalError)
    assert error.message == "The moon is in the way."


def test_pickling_keeps_all_fields() -> None:
    """Errors pickle, so they cross processes."""
    sent = VolumeError("m", code=ErrorCode.VOLUME_NOT_FINITE, hint="h", details={"count": 3})
    back = pickle.loads(pickle.dumps(sent))
    assert isinstance(back, VolumeError)
    assert back.payload() == sent.payload()


def test_text_is_message_and_hint() -> None:
    """The text of an error is its message and hint."""
    assert str(VolumeError("It is torn.", hint="Mend it.")) == "It is torn. Mend it."
