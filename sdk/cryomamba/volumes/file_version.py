"""Whether a file is still the one that it was: its size, date, inode and header, without reading its voxels."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import platform
from dataclasses import dataclass
from typing import Final

from cryomamba.errors import ErrorCode, VolumeError
from cryomamba.volumes.header_fields import HEADER_NBYTES

_SEPARATOR: Final = ":"
# Between machines, which may keep the date of a file with less precision (FAT: 2 s).
_PRECISION_NS: Final = 2_000_000_000


@dataclass(frozen=True, slots=True)
class FileVersion:
    """One state of a file.

    A file that is written in place has another date, and often another size or header; one that is replaced has another
    inode. A date that was only set (``touch``) counts as a change: the voxels would have to be read to know better.

    Attributes
    ----------
    size_bytes : int
    header : str
        Checksum of the first 1024 bytes.
    mtime_ns : int or None
        Date of the last change; None if it does not count.
    inode : int or None
        None if it does not count.
    host : str
        Stands for the machine that looked at the file. Another machine may number the files of a network disk
        differently, so inodes are compared on one machine only.
    """

    size_bytes: int
    header: str
    mtime_ns: int | None = None
    inode: int | None = None
    host: str = ""

    @classmethod
    def of(cls, descriptor: int) -> FileVersion:
        """Return the present state of an open file."""
        head = hashlib.sha256(_head(descriptor)).hexdigest()[:16]
        status = os.fstat(descriptor)
        host = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
        return cls(status.st_size, head, status.st_mtime_ns, status.st_ino, host)

    def content(self) -> FileVersion:
        """Return the same without date and inode: for files that nobody changes, but that may be moved."""
        return dataclasses.replace(self, mtime_ns=None, inode=None, host="")

    def to_text(self) -> str:
        """Return the version as a text for a job's record."""
        fields = (self.size_bytes, self.header, self.mtime_ns, self.inode, self.host)
        return _SEPARATOR.join("" if field is None else str(field) for field in fields)

    @classmethod
    def from_text(cls, text: str) -> FileVersion | None:
        """Parse :meth:`to_text`; None for a text of another form, which a newer version may have written."""
        try:
            size, header, mtime, inode, host = text.split(_SEPARATOR)
            return cls(int(size), header, int(mtime) if mtime else None, int(inode) if inode else None, host)
        except ValueError:
            return None

    def require_same(self, now: FileVersion, name: str, since: str) -> None:
        """Refuse a file that has changed.

        Parameters
        ----------
        now : FileVersion
            Its present state.
        name : str
            Of the file, for the message.
        since : str
            When this version was current, such as ``after the job was submitted``.

        Raises
        ------
        VolumeError
            ``volume_changed``; the message says what is different.
        """
        what = self._difference(now)
        if what:
            raise changed(name, since, what)

    def _difference(self, now: FileVersion) -> str:
        if now.size_bytes != self.size_bytes:
            return f"it has {now.size_bytes:,} bytes instead of {self.size_bytes:,}"
        if now.header != self.header:
            return "its header differs"
        here = self.host == now.host
        if here and None not in (self.inode, now.inode) and self.inode != now.inode:
            return "it was replaced by another file"
        if self.mtime_ns is None or now.mtime_ns is None:
            return ""
        if abs(self.mtime_ns - now.mtime_ns) > (0 if here else _PRECISION_NS):
            return "its date of modification differs"
        return ""


def changed(name: str, since: str, what: str) -> VolumeError:
    """Return the error for a file that has changed."""
    return VolumeError(
        f"{name} was changed {since}: {what}.",
        code=ErrorCode.VOLUME_CHANGED,
        hint="Once the file is complete and no longer changes, submit a new job for it.",
    )


def _head(descriptor: int) -> bytes:
    if hasattr(os, "pread"):
        head: bytes = os.pread(descriptor, HEADER_NBYTES, 0)
        return head
    # Windows: the position of the file is restored for whoever reads it.
    position = os.lseek(descriptor, 0, os.SEEK_CUR)
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        return os.read(descriptor, HEADER_NBYTES)
    finally:
        os.lseek(descriptor, position, os.SEEK_SET)
