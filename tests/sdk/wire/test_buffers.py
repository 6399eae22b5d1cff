"""Label arrays survive packing and compression; damage is noticed and nothing unbounded is allocated."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cryomamba.errors import ProtocolError
from cryomamba.wire.buffers import (
    CODECS,
    BufferSpec,
    Codec,
    bits_for,
    decode_bytes,
    decode_labels,
    encode_bytes,
    encode_labels,
)

shapes = hnp.array_shapes(min_dims=3, max_dims=3, max_side=9)
codecs = st.sampled_from(CODECS)


@given(st.integers(0, 65535), shapes, codecs, st.randoms(use_true_random=False))
def test_round_trip(highest: int, shape: tuple[int, ...], codec: Codec, random: object) -> None:
    """Labels of any height and shape come back equal through every codec."""
    rng = np.random.default_rng(highest)
    labels = rng.integers(0, highest, shape, endpoint=True).astype(np.uint16)
    spec, part = encode_labels(labels, codec=codec)
    back = decode_labels(spec, part)
    np.testing.assert_array_equal(back, labels)
    assert back.flags.writeable
    assert spec.bits == bits_for(int(labels.max(initial=0)))
    assert BufferSpec.from_wire(spec.to_wire()) == spec


def test_packing_order_is_lowest_bits_first() -> None:
    """The first element lies in the lowest bits of the first byte, as the documentation says."""
    _, one = encode_labels(np.array([[[1, 0, 0, 0, 0, 0, 0, 1, 1]]], np.uint8), codec="raw")
    _, two = encode_labels(np.array([[[1, 2, 3, 0, 3]]], np.uint8), codec="raw")
    _, four = encode_labels(np.array([[[9, 1, 15]]], np.uint8), codec="raw")
    assert one == bytes([0b1000_0001, 1])
    assert two == bytes([0b00_11_10_01, 3])
    assert four == bytes([0x19, 0x0F])


def test_a_reused_array_leaves_the_part_untouched() -> None:
    """A part shares no memory with the array it was made of."""
    labels = np.full((4, 4, 4), 200, np.uint8)
    spec, part = encode_labels(labels, codec="raw")
    labels[:] = 0
    assert (decode_labels(spec, part) == 200).all()


@given(codecs, st.data())
def test_damage_is_noticed(codec: Codec, data: st.DataObject) -> None:
    """One flipped bit anywhere in a part is an error."""
    spec, part = encode_labels(np.arange(64, dtype=np.uint8).reshape(4, 4, 4), codec=codec)
    place = data.draw(st.integers(0, len(part) * 8 - 1))
    damaged = bytearray(part)
    damaged[place // 8] ^= 1 << place % 8
    with pytest.raises(ProtocolError, match="damaged"):
        decode_labels(spec, bytes(damaged))


@pytest.mark.parametrize("codec", ["deflate", "zstd"])
def test_a_bomb_is_refused(codec: Codec) -> None:
    """A part that would unpack to more than it says is refused after a bounded piece of it."""
    zeros = bytes(64 * 1024 * 1024)
    bomb = zlib.compress(zeros, 9) if codec == "deflate" else zstandard.ZstdCompressor().compress(zeros)
    spec = BufferSpec("uint8", (4, 4, 4), 8, codec, 64, zlib.crc32(bomb))
    with pytest.raises(ProtocolError, match="described size"):
        decode_labels(spec, bomb)


@pytest.mark.parametrize(
    "fields",
    [
        None,
        {},
        {"dtype": "float64"},
        {"dtype": "object"},
        {"codec": "pickle"},
        {"bits": 3},
        {"shape": [1, -1, 1]},
        {"shape": [1 << 40, 1 << 40, 1]},
        {"shape": [1] * 9},
        {"shape": "abc"},
        {"nbytes": 65},
        {"nbytes": True},
        {"checksum": "x"},
    ],
)
def test_descriptions_beyond_the_allow_list_are_refused(fields: dict[str, object] | None) -> None:
    """Type, codec, packing, shape and size are checked before anything is allocated."""
    good = BufferSpec("uint8", (4, 4, 4), 8, "raw", 64, 0).to_wire()
    with pytest.raises(ProtocolError):
        BufferSpec.from_wire(fields and good | fields)


@given(st.binary(max_size=2000))
def test_bytes_round_trip(data: bytes) -> None:
    """A piece of a file comes back as it was."""
    spec, part = encode_bytes(data)
    assert decode_bytes(spec, part) == data
    with pytest.raises(ProtocolError):
        decode_bytes(replace(spec, checksum=spec.checksum ^ 1), part)
