"""The OpenAPI document is complete."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cryomamba.errors import ErrorCode
from cryomamba.settings import Settings
from cryomamba_gateway.app import create_app
from cryomamba_gateway.errors import STATUS


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The OpenAPI document as served."""
    return create_app(Settings(home=tmp_path_factory.mktemp("home"))).openapi()


def operations(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def test_every_operation_is_described(schema: dict[str, Any]) -> None:
    """It has a unique id, a tag, a description and a successful response."""
    ids = [operation["operationId"] for _, operation in operations(schema)]
    assert len(ids) == len(set(ids)) >= 11
    for name, operation in operations(schema):
        assert operation["tags"], name
        assert operation["description"], name
        assert any(status.startswith("2") for status in operation["responses"]), name


def test_every_error_is_the_envelope_with_an_example(schema: dict[str, Any]) -> None:
    """No response of 400 or above has another form, and 500 is always possible."""
    for name, operation in operations(schema):
        assert "500" in operation["responses"], name
        for status, response in operation["responses"].items():
            if int(status) < 400:
                continue
            content = response["content"]["application/json"]
            assert content["schema"] == {"$ref": "#/components/schemas/ErrorBody"}, (name, status)
            assert content["examples"], (name, status)
            for code, example in content["examples"].items():
                assert example["value"]["code"] == code
                assert example["value"]["hint"]


def test_every_success_has_a_schema_and_every_response_its_headers(schema: dict[str, Any]) -> None:
    """No empty schema, and the request id everywhere."""
    for name, operation in operations(schema):
        for status, response in operation["responses"].items():
            assert "X-Request-ID" in response["headers"], (name, status)
            for content in response.get("content", {}).values():
                assert content["schema"], (name, status)
        assert "Retry-After" in operation["responses"].get("503", {"headers": {"Retry-After": 1}})["headers"]


def test_every_body_is_typed_and_has_examples(schema: dict[str, Any]) -> None:
    """Requests have their own models, never a bare object."""
    bodies = [(name, op["requestBody"]) for name, op in operations(schema) if "requestBody" in op]
    assert len(bodies) == 8
    raw = [name for name, body in bodies if "application/octet-stream" in body["content"]]
    assert raw == ["put /v1/uploads/{upload_id}/part/{index}", "put /v1/files", "put /v1/files/{file_id}"]
    for name, body in bodies:
        if name in raw:
            continue
        content = body["content"]["application/json"]
        assert content["examples"], name
        assert "$ref" in str(content["schema"]), name


def test_examples_of_requests_are_valid(schema: dict[str, Any]) -> None:
    """Each is accepted by its model."""
    from cryomamba_gateway.examples import FOCUS, SUBMIT
    from cryomamba_gateway.models import FocusBody, JobRequest

    for example in SUBMIT.values():
        JobRequest.model_validate(example["value"])
    for example in FOCUS.values():
        FocusBody.model_validate(example["value"])


def test_nothing_of_this_machine_is_in_it(schema: dict[str, Any]) -> None:
    """The document is the same on every machine."""
    text = str(schema)
    assert str(Path.home()) not in text or str(Path.home()) == "/"
    assert schema["servers"] == [{"url": "/"}]
    assert "HTTPValidationError" not in text


def test_every_code_has_a_status() -> None:
    """Every error code is mapped to an error status."""
    assert set(STATUS) == set(ErrorCode)
    assert all(400 <= status < 600 for status in STATUS.values())
