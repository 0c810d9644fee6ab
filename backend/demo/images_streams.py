"""Large blobs of the demo registry: true tar archives and model files that are generated when they are read.

A model image weighs gigabytes. Holding or hashing that at start is out of the question, and declaring sizes that are
not served would be a lie, so each large blob is a fixed stream: a short head, a repeated block and a short tail. Its
SHA-256 was computed once and stands in `catalogue_layers.py`; `tests/benchmarks/test_demo_streams.py`
hashes every stream again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

BLOCK_SIZE: Final = 1 << 16
CHUNK_SIZE: Final = 1 << 18
TAR_RECORD: Final = 512
EPOCH_OF_FILES: Final = 1_735_689_600
GGUF_HEAD: Final = b"GGUF" + (3).to_bytes(4, "little") + bytes(16)


def tar_header(path: str, size: int) -> bytes:
    """Build the 512-byte header of one regular file in POSIX.1-1988 ustar form.

    Args:
        path: the file's path inside the archive, at most 100 bytes of ASCII.
        size: the file's length in bytes, below 8 GiB.
    """
    fields = b"".join(
        (
            path.encode("ascii").ljust(100, b"\0"),
            b"0000644\0" + b"0000000\0" + b"0000000\0",
            b"%011o\0" % size,
            b"%011o\0" % EPOCH_OF_FILES,
            b" " * 8,
            b"0".ljust(101, b"\0"),
            b"ustar\x0000" + b"root".ljust(32, b"\0") + b"root".ljust(32, b"\0"),
            b"0000000\0" + b"0000000\0",
        )
    ).ljust(TAR_RECORD, b"\0")
    return fields[:148] + b"%06o\0 " % sum(fields) + fields[156:]


def tar_of(path: str, content: bytes) -> bytes:
    """Build a whole tar archive (POSIX ustar) that holds one small file."""
    padding = -len(content) % TAR_RECORD
    return tar_header(path, len(content)) + content + bytes(padding + 2 * TAR_RECORD)


@dataclass(frozen=True)
class Stream:
    """One generated blob.

    Attributes:
        path: the file that a tar stream holds; it also seeds the repeated block.
        body: length of the repeated part in bytes, a multiple of 512.
        digest: `sha256:` and the hash of the whole stream.
        tar: whether the stream is a tar archive; otherwise it is a bare GGUF file without tensors.
    """

    path: str
    body: int
    digest: str
    tar: bool = True

    @cached_property
    def _head(self) -> bytes:
        return tar_header(self.path, self.body) if self.tar else GGUF_HEAD

    @cached_property
    def _block(self) -> bytes:
        return hashlib.shake_128(self.path.encode("ascii")).digest(BLOCK_SIZE)

    @property
    def _tail_size(self) -> int:
        return 2 * TAR_RECORD if self.tar else 0

    @property
    def size(self) -> int:
        """Length of the whole stream in bytes."""
        return len(self._head) + self.body + self._tail_size

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes from `start` up to `stop` (exclusive) in pieces of at most 256 KiB."""
        head, body_end = len(self._head), len(self._head) + self.body
        position = start
        while position < stop:
            if position < head:
                piece = self._head[position : min(stop, head)]
            elif position < body_end:
                piece = self._body(position - head, min(stop, body_end) - head)
            else:
                piece = bytes(min(stop, self.size) - position)
            if not piece:
                return
            yield piece
            position += len(piece)

    def _body(self, start: int, stop: int) -> bytes:
        length = min(stop - start, CHUNK_SIZE)
        offset = start % BLOCK_SIZE
        repeats = (offset + length + BLOCK_SIZE - 1) // BLOCK_SIZE
        return (self._block * repeats)[offset : offset + length]
