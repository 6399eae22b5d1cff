"""Previews in JSON: raw labels, downsampled if the message would be too long."""

from __future__ import annotations

import base64
import json

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryomamba.client.bus_subscriber import BusMessage
from cryomamba.models.frames import PreviewFrame
from cryomamba.wire.envelope import EnvelopeFactory
from cryomamba.wire.messages import PREVIEW
from cryomamba.wire.preview import encode_frame
from cryomamba_gateway.live.json_preview import shrunk
from cryomamba_gateway.live.messages import json_preview

JOB = "00000000-0000-0000-0000-000000000001"


def published(mask: npt.NDArray[np.uint8], scale: tuple[int, int, int]) -> BusMessage:
    z, y, x = (size * factor for size, factor in zip(mask.shape, scale, strict=True))
    frame = PreviewFrame(JOB, mask, scale, (z, y, x), (10.0, 10.0, 10.0), 0.5, "demo")
    body, spec, part = encode_frame(frame, codec="raw")
    return BusMessage(
        EnvelopeFactory("test").envelope(PREVIEW, body, ts=1.0, job=JOB, attempt=1, buffers=[spec]), b"", part
    )


@pytest.mark.parametrize("shape", [(128, 128, 128), (1, 1024, 1024), (200, 101, 99)])
def test_a_message_stays_below_one_mebibyte(shape: tuple[int, int, int]) -> None:
    """WebSocket clients accept it by default; thin structures are kept, and scale says where they are."""
    mask = np.zeros(shape, np.uint8)
    mask[-1, 7, :] = 1
    text = json_preview(published(mask, (4, 4, 4)))
    assert len(text) <= 1024 * 1024
    data = json.loads(text)["data"]
    shown = np.frombuffer(base64.b64decode(data["payload"]), data["dtype"]).reshape(data["shape"])
    factors = [scale // 4 for scale in data["scale"]]
    assert factors == [min(2, size) for size in shape]
    expected = np.zeros(data["shape"], np.uint8)
    expected[-1, 7 // factors[1], :] = 1
    np.testing.assert_array_equal(shown, expected)


def test_a_small_mask_is_sent_as_it_is() -> None:
    """Nothing is lost if it fits."""
    mask = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    assert json.loads(json_preview(published(mask, (2, 2, 2))))["data"]["scale"] == [2, 2, 2]
    np.testing.assert_array_equal(shrunk(mask, 60)[0], mask)


@given(shape=st.tuples(*[st.integers(1, 9)] * 3), most=st.integers(1, 400), seed=st.integers(0, 2**32 - 1))
def test_each_voxel_shows_the_highest_label_that_it_covers(shape: tuple[int, int, int], most: int, seed: int) -> None:
    """Compared with a loop over voxels."""
    mask = np.random.default_rng(seed).integers(0, 4, shape).astype(np.uint8)
    small, (fz, fy, fx) = shrunk(mask, most)
    assert small.nbytes <= most
    for z, y, x in np.ndindex(*small.shape):
        covered = mask[z * fz : (z + 1) * fz, y * fy : (y + 1) * fy, x * fx : (x + 1) * fx]
        assert small[z, y, x] == covered.max()
