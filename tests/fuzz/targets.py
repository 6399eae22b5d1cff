"""The targets of the fuzzers: each parser of untrusted bytes, with checks of its result.

A target returns if the bytes were parsed, or refused with the documented error of the parser. It raises on any other
exception and on a result that contradicts itself.
"""

from __future__ import annotations

import dataclasses
import json
import struct
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

import msgpack
import numpy as np

from cryomamba.errors import CryoMambaError, ErrorCode, InvalidRequestError, ProtocolError, VolumeError
from cryomamba.models.frames import PreviewFrame
from cryomamba.volumes.header_fields import HEADER_NBYTES, MAX_SIDE
from cryomamba.volumes.header_parser import parse_header
from cryomamba.wire.buffers import BufferSpec, decode_bytes, encode_labels
from cryomamba.wire.constants import PAYLOAD_MAX_BYTES
from cryomamba.wire.envelope import Envelope, EnvelopeFactory, decode, encode
from cryomamba.wire.messages import PREVIEW
from cryomamba.wire.preview import decode_frame, encode_frame
from cryomamba.wire.requests import REQUESTS, parse_request
from cryomamba.wire.topics import parse_topic, preview_topic, sync_topic
from cryomamba.wire.webframe import decode_web_frame, encode_web_frame
from cryomamba_gateway.live.messages import parse_inbound

Target = Callable[[bytes], None]
_SIZE: Final = struct.Struct("<q")
_LENGTH: Final = struct.Struct("<H")


def envelope(data: bytes) -> None:
    """A decoded envelope is encoded and decoded again as the same."""
    try:
        found = decode(data)
    except ProtocolError:
        return
    try:
        again = encode(found)
    except ProtocolError as error:
        # Missing fields are written with their defaults, so an envelope of the maximum size may grow beyond it.
        assert error.code is ErrorCode.TOO_LARGE
        return
    assert encode(decode(again)) == again


def request(data: bytes) -> None:
    """The body of any request is accepted, or refused with a message that can be sent."""
    try:
        found = decode(data)
    except ProtocolError:
        return
    for type_ in (found.type, *REQUESTS):
        try:
            parse_request(type_, found.body)
        except InvalidRequestError as error:
            assert error.message
            encode(dataclasses.replace(found, body=error.payload(), buffers=()))


def frame(data: bytes) -> None:
    """A preview message is a mask of the stated shape. The checksum is corrected, so that the payload is parsed too."""
    if len(data) < _LENGTH.size:
        return
    (length,) = _LENGTH.unpack_from(data)
    header, payload = data[_LENGTH.size :][:length], data[_LENGTH.size + length :]
    try:
        found = decode(header)
        specs = tuple(dataclasses.replace(spec, checksum=zlib.crc32(payload)) for spec in found.buffers)
        found = dataclasses.replace(found, buffers=specs)
        _check_frame(decode_frame(found, payload))
    except ProtocolError:
        return
    web = encode_web_frame(found, payload)
    assert np.array_equal(decode_web_frame(web).mask, decode_frame(found, payload).mask)


def web_frame(data: bytes) -> None:
    """A frame for browsers is a mask of the stated shape."""
    with suppress(ProtocolError):
        _check_frame(decode_web_frame(data))


def _check_frame(found: PreviewFrame) -> None:
    expected = tuple(-(-n // factor) for n, factor in zip(found.volume_shape, found.scale, strict=True))
    assert found.mask.shape == expected
    assert found.mask.nbytes <= 8 * PAYLOAD_MAX_BYTES
    assert 0 <= found.progress <= 1


def buffer(data: bytes) -> None:
    """A payload decodes to the size in its description, or not at all."""
    if len(data) < _LENGTH.size:
        return
    (length,) = _LENGTH.unpack_from(data)
    text, part = data[_LENGTH.size :][:length], data[_LENGTH.size + length :]
    try:
        fields = msgpack.unpackb(text)
    except (ValueError, msgpack.UnpackException, RecursionError, TypeError):
        return
    with suppress(ProtocolError):
        spec = dataclasses.replace(BufferSpec.from_wire(fields), checksum=zlib.crc32(part))
        assert len(decode_bytes(spec, part)) == spec.nbytes


def topic(data: bytes) -> None:
    """A topic has this version, or is refused."""
    with suppress(ProtocolError):
        assert parse_topic(data).kind in {"preview", "event"}


def inbound(data: bytes) -> None:
    """A WebSocket message has a known type, or is refused."""
    with suppress(InvalidRequestError):
        parse_inbound(data.decode("utf-8", "replace"))


def mrc_header(data: bytes) -> None:
    """A header's fields are consistent with each other and with the file, whose size is in the first 8 bytes."""
    if len(data) < _SIZE.size:
        return
    (size,) = _SIZE.unpack_from(data)
    file_size = size if size >= 0 else None
    try:
        header = parse_header(data[_SIZE.size :], file_size)
    except VolumeError as error:
        assert error.message
        assert error.hint
        return
    assert all(0 < n <= 2 * MAX_SIDE for n in header.shape)
    assert all(np.isfinite(n) and n > 0 for n in header.voxel_size_A)
    assert all(np.isfinite(n) for n in header.placement_A)
    assert sorted(header.axes) == [1, 2, 3]
    if file_size is not None:
        assert HEADER_NBYTES <= header.data_offset <= header.data_offset + header.data_nbytes <= file_size
    json.loads(header.describe("x.mrc", file_size or 0, None).model_dump_json())


TARGETS: Final[Mapping[str, Target]] = {
    "envelope": envelope,
    "request": request,
    "frame": frame,
    "web_frame": web_frame,
    "buffer": buffer,
    "topic": topic,
    "inbound": inbound,
    "mrc_header": mrc_header,
}


def seeds(name: str) -> list[bytes]:
    """Return valid inputs, from which a fuzzer starts."""
    factory = EnvelopeFactory("fuzz")
    job = "00000000-0000-4000-8000-000000000000"
    frames: list[tuple[Envelope, bytes]] = []
    for codec in ("raw", "deflate", "zstd"):
        for highest in (1, 3, 15, 255, 300):
            mask = (np.arange(4 * 3 * 5).reshape(4, 3, 5) % (highest + 1)).astype(np.uint16)
            preview = PreviewFrame(job, mask, (2, 2, 1), (8, 5, 5), (10.0,) * 3, 0.5, "demo", {1: "ball"})
            body, spec, part = encode_frame(preview, codec=codec)
            frames.append((factory.envelope(PREVIEW, body, ts=1.0, job=job, attempt=1, buffers=[spec]), part))
    bodies: dict[str, dict[str, object]] = {
        "ping": {},
        "job.submit": {"volume": {"shape": [8, 8, 8]}, "params": {"a": 1}, "client_key": "k", "owner": "ada"},
        "job.get": {"job": job},
        "events.since": {"n": 3, "limit": 5},
        "artifact.read": {"job": job, "name": "mask.mrc", "offset": 0, "length": 9},
        "job.renew": {"job": job, "worker": "w", "attempt": 1, "wait_s": 1, "cancelling": False, "focus": [1, 2, 3]},
        "job.progress": {"job": job, "worker": "w", "attempt": 1, "progress": {"fraction": 0.5}},
    }
    envelopes = [encode(factory.envelope(type_, body, ts=1.0)) for type_, body in bodies.items()]
    match name:
        case "envelope":
            return envelopes + [encode(header) for header, _ in frames]
        case "request":
            return envelopes
        case "frame":
            parts = ((encode(header), payload) for header, payload in frames)
            return [_LENGTH.pack(len(header)) + header + payload for header, payload in parts]
        case "web_frame":
            return [encode_web_frame(header, payload) for header, payload in frames]
        case "buffer":
            specs = [(msgpack.packb(h.buffers[0].to_wire()), payload) for h, payload in frames]
            return [_LENGTH.pack(len(spec)) + spec + payload for spec, payload in specs]
        case "topic":
            return [preview_topic(job), sync_topic(b"v1/event/", "n"), b"v1/owned/ada/", b"v1/owned/ada/x/"]
        case "inbound":
            messages = [{"type": "ping"}, {"type": "ack", "seq": 1}, {"type": "auth", "token": "x"}]
            messages += [{"type": "subscribe", "job_id": "*", "since": 3}, {"type": "unsubscribe", "job_id": job}]
            return [json.dumps(message).encode() for message in messages]
        case _:
            from tests.fuzz.mutants import originals

            return [_SIZE.pack(len(raw)) + raw[:HEADER_NBYTES] for raw in originals()]


__all__ = ["TARGETS", "CryoMambaError", "encode_labels", "seeds"]
