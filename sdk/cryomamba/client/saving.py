"""A finished file on its way to this machine's disk."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from cryomamba.errors import ConflictError, ErrorCode
from cryomamba.models.jobs import Artifact


async def save(
    pieces: AsyncIterator[bytes], target: Path, artifact: Artifact, progress: Callable[[int, int], None] | None
) -> None:
    """Write what comes aside, hold it against the SHA-256 of the record, and rename it.

    Raises
    ------
    ConflictError
        ``checksum_mismatch``; nothing is left of it.
    """
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    digest, done = hashlib.sha256(), 0
    try:
        with aside.open("wb") as file:
            async for piece in pieces:
                file.write(piece)
                digest.update(piece)
                done += len(piece)
                if progress is not None:
                    progress(done, artifact.size_bytes)
        if artifact.sha256 and digest.hexdigest() != artifact.sha256:
            raise ConflictError(
                f"'{artifact.name}' was damaged on its way.",
                code=ErrorCode.CHECKSUM_MISMATCH,
                hint="Download it again.",
            )
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
