"""A preview frame lies exactly over its tomogram, on both sides of the wire."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryomamba.errors import CryoMambaError, ErrorCode, ProtocolError
from cryomamba.models.frames import PreviewFrame
from cryomamba.wire.buffers import CODECS, Codec
from cryomamba.wire.envelope import Envelope, EnvelopeFactory, decode, encode
from cryomamba.wire.messages import PREVIEW
from cryomamba.wire.preview import decode_frame, encode_frame

TOMOGRAM = (9, 20, 33)


def frame_of(scale: tuple[int, int, int], labels: int = 3) -> PreviewFrame:
    shape = tuple(-(-size // factor) for size, factor in zip(TOMOGRAM, scale, strict=True))
    mask = (np.arange(np.prod(shape)) % (labels + 1)).astype(np.uint8).reshape(shape)
    return PreviewFrame("job-1", mask, scale, TOMOGRAM, (10.0, 11.5, 12.0), 0.25, "demo", {1: "membrane"}, attempt=2)


def on_the_wire(frame: PreviewFrame, codec: Codec) -> tuple[Envelope, bytes]:
    body, spec, part = encode_frame(frame, codec=codec)
    envelope = EnvelopeFactory("w").envelope(
        PREVIEW, body, ts=5.0, job=frame.job_id, attempt=frame.attempt, buffers=[spec]
    )
    return decode(encode(envelope)), part


@given(st.tuples(*[st.integers(1, 40)] * 3), st.sampled_from(CODECS))
def test_round_trip(scale: tuple[int, int, int], codec: Codec) -> None:
    """Mask, factor, spacing and names come back equal for any factor."""
    frame = frame_of(scale)
    back = decode_frame(*on_the_wire(frame, codec))
    np.testing.assert_array_equal(back.mask, frame.mask)
    assert (back.scale, back.volume_shape, back.voxel_size_A) == (scale, TOMOGRAM, (10.0, 11.5, 12.0))
    assert (back.labels, back.attempt, back.progress, back.ts) == ({1: "membrane"}, 2, 0.25, 5.0)


def test_placement_is_half_a_block() -> None:
    """Preview voxel i covers tomogram voxels i·f … i·f+f−1, so its centre is (f−1)/2 voxels in."""
    frame = frame_of((4, 1, 2))
    assert frame.scale_A == (40.0, 11.5, 24.0)
    assert frame.translate_A == (15.0, 0.0, 6.0)


@pytest.mark.parametrize(
    "change",
    [
        {"axes": "xyz"},
        {"shape": [9, 20]},
        {"shape": [0, 20, 33]},
        {"shape": [90, 20, 33]},
        {"scale": [True, 1, 1]},
        {"scale": [2, 2, 2]},
        {"voxel_size_A": [0, 1, 1]},
        {"voxel_size_A": [float("nan"), 1, 1]},
        {"progress": 2},
        {"progress": None},
        {"labels": {"x": "y"}},
        {"labels": [1]},
    ],
)
def test_a_frame_that_does_not_fit_is_refused(change: dict[str, object]) -> None:
    """Header and payload must agree in every field."""
    frame = frame_of((1, 1, 1))
    body, spec, part = encode_frame(frame, codec="raw")
    envelope = EnvelopeFactory("w").envelope(PREVIEW, {**body, **change}, ts=0.0, job="job-1", buffers=[spec])
    with pytest.raises(ProtocolError):
        decode_frame(envelope, part)


@given(st.data())
def test_damaged_frames_never_crash(data: st.DataObject) -> None:
    """A changed byte in header or payload gives a frame or a CryoMambaError."""
    envelope, part = on_the_wire(frame_of((2, 2, 2)), "deflate")
    raw = bytearray(encode(envelope))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode_frame(decode(bytes(raw)), part)
    except CryoMambaError as error:
        assert error.message


def test_a_frame_over_a_mebibyte_is_not_sent() -> None:
    """The factor must grow rather than the frame."""
    mask = np.random.default_rng(0).integers(0, 255, (128, 128, 128), np.uint8)
    frame = PreviewFrame("j", mask, (1, 1, 1), mask.shape, (1.0, 1.0, 1.0), 0.0, "demo")
    with pytest.raises(ProtocolError) as caught:
        encode_frame(frame, codec="raw")
    assert caught.value.code is ErrorCode.TOO_LARGE
