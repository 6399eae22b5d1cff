"""The OpenAPI document is complete."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from cryomamba.errors import ErrorCode
from cryomamba.models.webhooks import SIGNED_HEADERS
from cryomamba.settings import Settings
from cryomamba_gateway.app import create_app
from cryomamba_gateway.errors import STATUS

# Models of requests beside those that are named in a test.
REQUESTS: Final[frozenset[str]] = frozenset()


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
            if int(status) < 400 or name.startswith("head "):
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


def test_head_is_wherever_get_is_and_has_no_content(schema: dict[str, Any]) -> None:
    """A generated client must not look for a body in its responses."""
    for path, methods in schema["paths"].items():
        if "get" not in methods:
            continue
        assert set(methods["head"]["responses"]) == set(methods["get"]["responses"]), path
        assert not any("content" in response for response in methods["head"]["responses"].values()), path


def test_a_choice_is_of_named_closed_models(schema: dict[str, Any]) -> None:
    """Each alternative has the one field that it is about, required, and none of the others."""
    models = schema["components"]["schemas"]
    for name, fields in {
        "VolumeSource": ["path", "file_id", "job_id", "shape"],
        "MaskSource": ["path", "file_id", "job_id"],
        "RevisionBody": ["file_id", "path"],
    }.items():
        alternatives = [models[one["$ref"].rpartition("/")[2]] for one in models[name]["oneOf"]]
        assert [one["required"] for one in alternatives] == [[field] for field in fields]
        for one in alternatives:
            assert one["additionalProperties"] is False
            assert set(one["properties"]) & set(fields) == set(one["required"])
            assert "anyOf" not in one["properties"][one["required"][0]]


def test_what_is_always_sent_is_required_and_nothing_has_a_default(schema: dict[str, Any]) -> None:
    """Fields of responses are all required; a default would make one of a request mandatory in some clients."""
    models = schema["components"]["schemas"]
    requests = {
        "JobRequest",
        "PreviewOptions",
        "ThresholdBody",
        "UploadRequest",
        "WebhookBody",
        "ModelUpload",
        *REQUESTS,
    }
    for name, model in models.items():
        properties = model.get("properties", {})
        assert not any("default" in value for value in properties.values()), name
        if name not in requests and not name.startswith(("Volume", "Mask", "Revision", "Stroke")):
            assert set(model.get("required", ())) == set(properties), name
    assert "The default is 1.0." in models["PreviewOptions"]["properties"]["interval_s"]["description"]
    assert models["PreviewOptionsOut"]["required"] == ["interval_s", "max_voxels"]
    assert not any(name.endswith(("-Input", "-Output")) for name in models)


def test_an_operation_has_one_media_type(schema: dict[str, Any]) -> None:
    """But those that read what is of any type."""
    several = {
        operation["operationId"]
        for _, operation in operations(schema)
        for response in operation["responses"].values()
        if len(response.get("content", {})) > 1
    }
    assert several == {"getPreview", "getArtifact", "getSigned", "getZarr", "getSharedZarr"}


def test_names_of_the_first_documentation_are_marked(schema: dict[str, Any]) -> None:
    """As deprecated, each with what to use instead."""
    models = schema["components"]["schemas"]
    fields = [models["JobRequest"]["properties"][name] for name in ("file_id", "model", "volume_shape")]
    fields.append(models["CancelledJob"]["properties"]["status"])
    listing = schema["paths"]["/v1/jobs"]["get"]["parameters"]
    fields.append(next(one for one in listing if one["name"] == "status"))
    for field in fields:
        assert field["deprecated"] is True
        assert "Use `" in field["description"]


def test_every_body_is_typed_and_has_examples(schema: dict[str, Any]) -> None:
    """Requests have their own models, never a bare object."""
    bodies = [(name, op["requestBody"]) for name, op in operations(schema) if "requestBody" in op]
    assert len(bodies) == 12
    raw = [name for name, body in bodies if "application/octet-stream" in body["content"]]
    assert raw == ["put /v1/uploads/{upload_id}/part/{index}", "put /v1/files", "put /v1/files/{file_id}"]
    for name, body in bodies:
        if name in raw:
            continue
        content = body["content"]["application/json"]
        assert content["examples"], name
        assert "$ref" in str(content["schema"]), name


def test_messages_to_webhooks_are_described(schema: dict[str, Any]) -> None:
    """Each with its body, the three signed headers, and what the receiver's answers mean."""
    assert set(schema["webhooks"]) == {"jobEnded", "webhookTest"}
    for name, methods in schema["webhooks"].items():
        operation = methods["post"]
        assert operation["operationId"] == name
        assert {one["name"] for one in operation["parameters"]} == set(SIGNED_HEADERS)
        model = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        assert set(schema["components"]["schemas"][model]["required"]) == {"type", "timestamp", "data"}
        assert set(operation["responses"]) == {"204", "2XX", "410", "default"}


def test_examples_of_requests_are_valid(schema: dict[str, Any]) -> None:
    """Each is accepted by its model."""
    from cryomamba_gateway.examples import FOCUS, SUBMIT, WEBHOOK
    from cryomamba_gateway.models import FocusBody, JobRequest, WebhookBody

    for example in SUBMIT.values():
        JobRequest.model_validate(example["value"])
    for example in FOCUS.values():
        FocusBody.model_validate(example["value"])
    for example in WEBHOOK.values():
        WebhookBody.model_validate(example["value"])


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
