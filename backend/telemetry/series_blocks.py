"""How series are packed: a block holds all metrics of one series over some time. Pure.

A block is a format number and a zlib stream of: the number of points, the time from one to the next in milliseconds as
it was meant, the times, then the columns. Times and means are rounded to whole units, and what is stored is each one's
difference to the one before, in the narrowest integers that hold them all: values that hardly move cost next to
nothing once compressed. Integers are little-endian.
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, chain, pairwise
from typing import Final, NamedTuple

from backend.core.errors import MalformedDataError

#: Milliseconds of the unit in which times are kept.
TICK: Final = 100
_FORMAT: Final = 1
_HEAD: Final = struct.Struct("<IIH")  # points, interval, columns
_COLUMN: Final = struct.Struct("<HBBI")  # metric's code, whether it has gaps, parts, bytes that follow
_PART: Final = struct.Struct("<cq")  # typecode, first value
_WIDTHS: Final = (("b", 2**7), ("h", 2**15), ("i", 2**31), ("q", 2**63))
_LEVEL: Final = 6
#: A block that unpacks to more than this is no block of ours.
_MOST_BYTES: Final = 16 * 2**20
_MOST_POINTS: Final = 200_000
_LIMIT: Final = 2**53


class Column(NamedTuple):
    """The values of one metric in whole units; None where it was not measured. All parts are of one length.

    Attributes:
        mean: the sample itself, or the mean of the samples of a step.
        low, high: the smallest and largest sample of each step; empty: those of the mean.
        samples: how many each step had; empty: one each.
    """

    mean: Sequence[int | None]
    low: Sequence[int | None] = ()
    high: Sequence[int | None] = ()
    samples: Sequence[int] = ()


class Block(NamedTuple):
    """A series over some time.

    Attributes:
        interval: milliseconds from one sample to the next, as configured when they were taken.
        times: of the points, milliseconds since 1970, never falling.
        columns: by the code of their metric.
    """

    interval: int
    times: Sequence[int]
    columns: Mapping[int, Column]


def whole(value: float | None, resolution: float) -> int | None:
    """A value in whole units of its resolution; None for what is no number."""
    if value is None or not -_LIMIT < value / resolution < _LIMIT:
        return None
    return round(value / resolution)


def pack(block: Block) -> bytes:
    """The block as it is stored. Times are rounded to a tenth of a second."""
    start = block.times[0] // TICK if block.times else 0
    parts = [_HEAD.pack(len(block.times), block.interval, len(block.columns))]
    parts += _packed(_differences([time // TICK - start for time in block.times]))
    for code, column in block.columns.items():
        gaps = any(value is None for value in column.mean)
        kinds = 4 if column.samples else 1
        own = [bytes(value is not None for value in column.mean)] if gaps else []
        mean = [value for value in column.mean if value is not None]
        own += _packed(_differences(mean))
        if column.samples:
            present = [position for position, value in enumerate(column.mean) if value is not None]
            own += _packed([mean[at] - (column.low[position] or 0) for at, position in enumerate(present)])
            own += _packed([(column.high[position] or 0) - mean[at] for at, position in enumerate(present)])
            own += _packed([column.samples[position] for position in present])
        parts += [_COLUMN.pack(code, gaps, kinds, sum(map(len, own))), *own]
    return bytes((_FORMAT,)) + zlib.compress(b"".join(parts), _LEVEL)


def unpack(data: bytes, start: int, codes: Iterable[int] | None = None) -> Block:
    """The block that was packed.

    Args:
        start: time of its first point, in milliseconds.
        codes: only the columns of these metrics; None: all.

    Raises:
        MalformedDataError: it is no block of ours.
    """
    try:
        return _unpack(data, start, None if codes is None else frozenset(codes))
    except (struct.error, zlib.error, ValueError, EOFError, IndexError) as error:
        raise MalformedDataError(
            "a block of telemetry", str(error) or "it is cut", "nothing: it is left out"
        ) from error


def _unpack(data: bytes, start: int, codes: frozenset[int] | None) -> Block:
    if data[:1] != bytes((_FORMAT,)):
        raise ValueError("it has another format")
    unpacker = zlib.decompressobj()
    body = unpacker.decompress(data[1:], _MOST_BYTES)
    if not unpacker.eof:
        raise ValueError("it is cut, or far too large")
    points, interval, count = _HEAD.unpack_from(body)
    if points > _MOST_POINTS:
        raise ValueError("it has far too many points")
    reader = _Reader(body, _HEAD.size)
    base = start // TICK
    times = [(base + offset) * TICK for offset in accumulate(reader.integers(points))]
    columns: dict[int, Column] = {}
    for _ in range(count):
        code, gaps, kinds, length = reader.take(_COLUMN)
        if codes is not None and code not in codes:
            reader.raw(length)
            continue
        present = reader.raw(points) if gaps else b""
        size = present.count(1) if gaps else points
        mean = list(accumulate(reader.integers(size)))
        if kinds == 1:
            columns[code] = Column(_spread(mean, present))
            continue
        low = [value - drop for value, drop in zip(mean, reader.integers(size), strict=True)]
        high = [value + rise for value, rise in zip(mean, reader.integers(size), strict=True)]
        counts = [value or 0 for value in _spread(list(reader.integers(size)), present)]
        columns[code] = Column(_spread(mean, present), _spread(low, present), _spread(high, present), counts)
    return Block(interval, times, columns)


def _differences(values: Sequence[int]) -> list[int]:
    return [*values[:1], *(after - before for before, after in pairwise(values))]


def _packed(values: Sequence[int]) -> list[bytes]:
    """The first value by itself, as it is large where the others are differences; then the others."""
    if not values:
        return [_PART.pack(b"b", 0)]
    rest = values[1:]
    reach = max(-min(rest) - 1, max(rest)) if rest else 0
    typecode = next(code for code, limit in _WIDTHS if reach < limit)
    packed = array(typecode, rest)
    if sys.byteorder == "big":
        packed.byteswap()
    return [_PART.pack(typecode.encode(), values[0]), packed.tobytes()]


def _spread(values: list[int], present: bytes) -> list[int | None]:
    if not present:
        return list(values)
    following = iter(values)
    return [next(following) if there else None for there in present]


class _Reader:
    """Takes parts from the front of a block's body."""

    def __init__(self, body: bytes, position: int) -> None:
        self._body = body
        self._position = position

    def take(self, form: struct.Struct) -> tuple[int, ...]:
        found = form.unpack_from(self._body, self._position)
        self._position += form.size
        return found

    def integers(self, count: int) -> Iterable[int]:
        typecode, first = self._part()
        if not count:
            return ()
        found = array(typecode)
        found.frombytes(self.raw((count - 1) * found.itemsize))
        if sys.byteorder == "big":
            found.byteswap()
        return chain((first,), found)

    def raw(self, count: int) -> bytes:
        found = self._body[self._position : self._position + count]
        if len(found) != count:
            raise ValueError("it is cut")
        self._position += count
        return found

    def _part(self) -> tuple[str, int]:
        typecode, first = _PART.unpack_from(self._body, self._position)
        self._position += _PART.size
        if typecode not in (b"b", b"h", b"i", b"q"):
            raise ValueError("it has numbers of another kind")
        return typecode.decode(), first
