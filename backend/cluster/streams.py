"""Streams of an API server in pieces of bounded size: lines of a watch, lines of a log, the head of a refusal."""

from __future__ import annotations

import codecs
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

from backend.core.errors import LimitExceededError

_MAX_LINE: Final = 16 * 1024 * 1024
_HEAD: Final = 65_536


async def event_lines(chunks: AsyncIterator[bytes], what: str) -> AsyncGenerator[bytes, None]:
    """The lines of a watch, without empty ones, and what follows the last of them.

    Raises:
        LimitExceededError: a line is longer than any object of the API may be.
    """
    rest = bytearray()
    async for chunk in chunks:
        rest += chunk
        if b"\n" in chunk:
            *whole, last = bytes(rest).split(b"\n")
            rest = bytearray(last)
            for line in whole:
                if line.strip():
                    yield line
        if len(rest) > _MAX_LINE:
            raise LimitExceededError(what, f"an event is larger than {_MAX_LINE} bytes", "look at it with kubectl")
    if rest.strip():
        yield bytes(rest)


async def text_lines(chunks: AsyncIterator[bytes], longest: int) -> AsyncGenerator[str, None]:
    """The lines of a log without their ends, an unfinished last one too; bytes that are no UTF-8 are replaced.

    Args:
        longest: characters of a line that are passed on; the rest of a longer one is dropped.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest = ""
    async for chunk in chunks:
        *whole, last = decoder.decode(chunk).split("\n")
        for piece in whole:
            yield (rest + piece)[:longest].removesuffix("\r")
            rest = ""
        rest = (rest + last)[: longest + 1]
    rest += decoder.decode(b"", final=True)
    if rest:
        yield rest[:longest]


async def head_of(chunks: AsyncIterator[bytes]) -> bytes:
    """The first bytes of an answer that is a refusal, enough for its Status."""
    body = b""
    async for chunk in chunks:
        body += chunk
        if len(body) > _HEAD:
            break
    return body
