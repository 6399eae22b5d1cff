"""Write a downloaded artifact to disk and verify its checksum."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from cryomamba.atomic import AtomicFile
from cryomamba.errors import ConflictError, ErrorCode
from cryomamba.models.jobs import Artifact


async def save(
    chunks: AsyncIterator[bytes], target: Path, artifact: Artifact, progress: Callable[[int, int], None] | None
) -> None:
    """Write a stream of chunks to a file that appears under its name once its SHA-256 matches the artifact's.

    Raises
    ------
    ConflictError
        ``checksum_mismatch``; no file is written.
    UnavailableError
        ``insufficient_storage``: the disk is full.
    """
    digest, done = hashlib.sha256(), 0
    with AtomicFile(target, durable=False) as file:
        with file.stream() as stream:
            async for chunk in chunks:
                stream.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                if progress is not None:
                    progress(done, artifact.size_bytes)
        if artifact.sha256 and digest.hexdigest() != artifact.sha256:
            raise ConflictError(
                f"'{artifact.name}' was damaged on its way.",
                code=ErrorCode.CHECKSUM_MISMATCH,
                hint="Download it again.",
            )
