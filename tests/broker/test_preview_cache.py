"""The cache of the last preview frame of each job."""

from __future__ import annotations

from cryomamba.wire.envelope import EnvelopeFactory
from cryomamba.wire.messages import PREVIEW
from cryomamba_broker.preview_cache import CachedFrame, PreviewCache


def test_the_cache_keeps_the_newest_frames_within_its_bytes() -> None:
    """One frame per job; the size never exceeds the limit, and the most recently used frames stay."""
    envelope = EnvelopeFactory("c").envelope(PREVIEW, {}, ts=0.0)

    def frame(nbytes: int) -> CachedFrame:
        return CachedFrame(envelope, b"", memoryview(bytes(nbytes)))

    cache = PreviewCache(max_bytes=5 * frame(1000).nbytes)
    for number in range(100):
        cache.put(f"job-{number % 7}", frame(1000))
        assert cache.nbytes <= cache.max_bytes
    assert len(cache) == 5
    oldest = next(f"job-{n}" for n in range(7) if cache.get(f"job-{n}") is not None)
    cache.get(oldest)
    cache.put("new", frame(1000))
    assert cache.get(oldest) is not None
    cache.put("huge", frame(cache.max_bytes))
    assert cache.get("huge") is None
    assert cache.nbytes == 0
