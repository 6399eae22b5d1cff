"""Every parser of untrusted text or bytes returns a result or raises its documented error."""

from __future__ import annotations

import importlib
import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryomamba.access.keys import KeyFile
from cryomamba.endpoints import ConnectionFile, check_bus_url, is_local_endpoint, is_loopback_host
from cryomamba.errors import CryoMambaError, error_from_payload
from cryomamba.models.files import UploadRequest, is_file_id, label_of
from cryomamba.models.jobs import VolumeSource
from cryomamba.settings import load_settings, parse_log_setting
from cryomamba.volumes import inspect
from cryomamba.volumes.compressed import compression_of
from cryomamba.wire.requests import REQUESTS, parse_request
from cryomamba_broker.dispatch import readable_id
from cryomamba_broker.store.rows import parse_cursor
from cryomamba_gateway.live.messages import parse_inbound
from cryomamba_gateway.origins import origin_allowed
from cryomamba_gateway.routers.artifacts import _RANGE
from cryomamba_gateway.webhooks.sender import retry_after_s
from cryomamba_server.bus_keys import BusKeys
from cryomamba_server.logs import redact_secrets
from cryomamba_server.tokens import TokenStore
from cryomamba_server.uploaded_files import uploaded_volume
from cryomamba_server.webhook_addresses import WebhookPolicy

ROOT: Final = Path(__file__).parents[2]
JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
KNOWN: Final = st.sampled_from(
    sorted({field for model in REQUESTS.values() for field in (*model.model_fields, *VolumeSource.model_fields)})
)
BODIES: Final = st.dictionaries(KNOWN | st.text(max_size=8), JSON, max_size=6)
ADDRESS: Final = st.one_of(
    st.text(max_size=60),
    st.builds(
        "{}://{}:{}{}".format,
        st.sampled_from(["tcp", "ipc", "inproc", "http", "https", ""]),
        st.text("abc0123456789.:[]%@/", max_size=20),
        st.text("0123456789-*", max_size=6),
        st.sampled_from(["", "/", "?x", "#"]),
    ),
)

# Parsers that have a property test among their own tests.
ELSEWHERE: Final = {
    "cryomamba.wire.envelope:decode": "tests/sdk/wire/test_envelope.py",
    "cryomamba.wire.buffers:decode_bytes": "tests/sdk/wire/test_buffers.py",
    "cryomamba.wire.preview:decode_frame": "tests/sdk/wire/test_preview.py",
    "cryomamba.wire.webframe:decode_web_frame": "tests/sdk/wire/test_webframe.py",
    "cryomamba.wire.topics:parse_topic": "tests/sdk/wire/test_topics.py",
    "cryomamba.volumes:parse_header": "tests/sdk/volumes/test_header_parser.py",
    "cryomamba.volumes.allowed_paths:resolve_below": "tests/sdk/volumes/test_allowed_paths.py",
    "cryomamba_server.tokens:TokenStore": "tests/common/test_tokens.py",
    "cryomamba_server.signing:UrlSigner": "tests/common/test_signing.py",
    "cryomamba_cli.parameters:parse": "tests/cli/test_parameters.py",
    "cryomamba_gateway.access.hosts:host_allowed": "tests/gateway/access/test_hosts.py",
    "cryomamba_gateway.access.auth:presented_token": "tests/gateway/access/test_presented_token.py",
    "cryomamba_gateway.uploads.store:UploadStore": "tests/gateway/uploads/test_store.py",
}


@pytest.mark.parametrize(("parser", "where"), ELSEWHERE.items())
def test_other_parsers_have_property_tests(parser: str, where: str) -> None:
    """The parser exists, and so does a Hypothesis test that names it."""
    module, _, name = parser.partition(":")
    assert hasattr(importlib.import_module(module), name)
    source = (ROOT / where).read_text(encoding="utf-8")
    assert "@given" in source
    assert name in source


def refused(parse: Callable[..., Any], *arguments: Any) -> bool:
    """Return whether a parser raised a CryoMamba error; others propagate."""
    try:
        parse(*arguments)
    except CryoMambaError as error:
        assert error.message
        json.dumps(error.payload(), default=str)
        return True
    return False


@given(st.sampled_from(sorted(REQUESTS)) | st.text(max_size=20), BODIES)
def test_bodies_of_requests(type_: str, body: dict[str, Any]) -> None:
    """A body that is accepted is accepted again after it was serialized."""
    if not refused(parse_request, type_, body):
        found = parse_request(type_, body)
        assert parse_request(type_, found.model_dump(mode="json")) == found or "nan" in repr(found)


@given(BODIES)
def test_errors_of_a_peer(body: dict[str, Any]) -> None:
    """Any error body of a peer becomes an error with a message."""
    assert isinstance(error_from_payload(body), CryoMambaError)


@given(st.binary(max_size=200))
def test_ids_in_invalid_headers(raw: bytes) -> None:
    """The id is None or has a valid length."""
    found = readable_id(raw)
    assert found is None or 0 < len(found) <= 128


@given(st.text(max_size=60) | st.integers().map(str))
def test_cursors(text: str) -> None:
    """A cursor is a number that SQLite can store, or is refused."""
    if not refused(parse_cursor, text):
        assert 0 <= parse_cursor(text) < 2**63


@given(ADDRESS)
def test_urls_of_webhooks(text: str) -> None:
    """One that is accepted has a host, https and an allowed port, and no name or password."""
    if not refused(WebhookPolicy().check_url, text):
        found = WebhookPolicy().check_url(text)
        assert found.plain
        assert found.host
        assert "@" not in text.split("/")[2]


@given(
    st.text(max_size=30)
    | st.builds(
        "Fri, {} Dec {} {}:{}:{} {}".format,
        *[st.integers(0, 10**20)] * 5,
        st.sampled_from(["GMT", "-2359", f"+{10**20}"]),
    )
)
def test_when_a_receiver_wants_to_be_asked_again(text: str) -> None:
    """Whatever a server puts into Retry-After is a number of seconds from 0 on."""
    assert 0 <= retry_after_s(text) < float("inf")


@given(ADDRESS)
def test_endpoints(text: str) -> None:
    """An address is valid or refused, and only loopback addresses are local."""
    refused(check_bus_url, text)
    if is_local_endpoint(text) and text.startswith("tcp://"):
        assert is_loopback_host(text.removeprefix("tcp://").rpartition(":")[0])


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value, default=str).encode("utf-8", "replace")))
def test_connection_and_key_files(raw: bytes) -> None:
    """An invalid file is refused with a message that does not contain its folder."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x")
        path.touch(0o600)
        path.write_bytes(raw)
        for read in (ConnectionFile.read, KeyFile.read):
            with pytest.raises(CryoMambaError) as caught:
                read(path)
            assert folder not in str(caught.value)


@given(st.text(max_size=100), st.text(max_size=100))
def test_invalid_keys_and_tokens(name: str, key: str) -> None:
    """Neither is accepted, and nothing is written outside the folder."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "keys")
        BusKeys(home).find(key)
        assert refused(TokenStore(home).verify, key)
        if not refused(BusKeys(home).authorize, name, "client", key):
            assert len(key) == 40
        assert {path.name for path in Path(folder).iterdir()} <= {"keys"}


@given(st.text(max_size=40))
def test_log_settings(text: str) -> None:
    """A setting gives a level and a format, or is refused."""
    with suppress(ValueError):
        assert parse_log_setting(text)[1] in {"text", "json"}


@given(st.text(max_size=40), st.text("eyJabcXYZ019-_", min_size=12, max_size=40), st.text(max_size=40))
def test_secrets_in_logs(before: str, secret: str, after: str) -> None:
    """Tokens, signatures and keys are redacted in any line."""
    for line in (f"Bearer {secret}", f"token={secret}", f"signature={secret}", f"secret: {secret}"):
        assert secret not in redact_secrets(f"{before} {line} {after}").replace(before, "").replace(after, "")


@given(st.text(max_size=300))
def test_names_of_files(text: str) -> None:
    """A label is not a path, and only a UUID becomes part of one."""
    label = label_of(text)
    assert label
    assert len(label) <= 200
    assert not set(label) & {"/", "\\", "\0", "\n"}
    if not is_file_id(text):
        assert refused(uploaded_volume, Path("/nowhere"), text)


@given(BODIES)
def test_upload_requests(body: dict[str, Any]) -> None:
    """The only error is that of Pydantic."""
    try:
        found = UploadRequest.model_validate(body)
    except ValueError:
        return
    assert found.total_size_bytes > 0


@given(st.text(max_size=200) | JSON.map(lambda value: json.dumps(value, default=str)))
def test_messages_of_a_websocket(text: str) -> None:
    """A message has a known type, or is refused."""
    refused(parse_inbound, text)


@given(st.text("bytes=0123456789-, \t", max_size=60))
def test_ranges(text: str) -> None:
    """An accepted range has numbers of at most 19 digits; the pattern has no catastrophic backtracking."""
    found = _RANGE.fullmatch(text)
    if found:
        assert all(len(number) <= 19 for number in text.replace("bytes=", "").replace(",", "-").split("-") if number)


@given(st.dictionaries(st.sampled_from(["origin", "host"]), ADDRESS), st.lists(ADDRESS, max_size=2))
def test_origins(headers: dict[str, str], allowed: list[str]) -> None:
    """A page of another host passes only if its origin is allowed."""
    if origin_allowed(headers, allowed) and "origin" in headers:
        named = headers["origin"].lower() in allowed
        assert named or headers["origin"].lower().endswith(headers["host"].lower())


@settings(max_examples=30)
@given(st.binary(max_size=1100))
def test_packed_files(raw: bytes) -> None:
    """Invalid and truncated streams are refused."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.mrc.gz")
        for head in (b"\x1f\x8b\x08", b"BZh9", b""):
            path.write_bytes(head + raw)
            assert compression_of(head + raw) in {None, "gzip", "bzip2"}
            assert refused(inspect, path)


@pytest.mark.parametrize("name", ["HOME", "GATEWAY_PORT", "ROOTS", "LEASE_S", "KEY", "GATEWAY_ORIGINS", "BUS_JOBS"])
def test_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any value of a variable is used, or refused with the name of the variable."""

    @given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=40))
    def check(value: str) -> None:
        monkeypatch.setenv(f"CRYOMAMBA_{name}", value)
        try:
            load_settings()
        except CryoMambaError as error:
            assert f"CRYOMAMBA_{name}" in error.message

    check()
