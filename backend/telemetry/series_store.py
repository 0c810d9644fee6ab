"""Series in the telemetry database: samples for hours, minutes for days, hours for months.

A block of samples grows until its ten minutes are over; an hour of samples becomes a block of minutes, and a day of
minutes a block of hours, once. Blocks of minutes and hours never change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from backend.core.errors import MalformedDataError
from backend.store import meta
from backend.store.connection import Database, Transaction
from backend.telemetry.series_blocks import Block, pack, unpack
from backend.telemetry.series_metrics import SeriesKind, metric_of
from backend.telemetry.series_points import DAY, HOUR, MINUTE, Step, coarser, steps_of
from backend.telemetry.store import TelemetryStore, instant_of, milliseconds

#: Milliseconds of a block of samples.
BLOCK: Final = 10 * MINUTE
_SAMPLES, _MINUTES, _HOURS = 0, 1, 2
_MADE_UP: Final = "made up"
#: How long samples and minutes are kept; hours as long as the configuration says.
KEEP_SAMPLES: Final = timedelta(hours=12)
KEEP_MINUTES: Final = timedelta(days=7)
#: Blocks are written by now that began before the last so many milliseconds.
_SETTLED: Final = 2 * MINUTE
_FUTURE: Final = timedelta(days=1)
#: A file that is emptier than this, and larger than that, is written anew.
_EMPTY_SHARE: Final = 0.5
_WORTH_IT: Final = 32 * 2**20
_TIERS: Final = ((_SAMPLES, HOUR, MINUTE, _MINUTES), (_MINUTES, DAY, HOUR, _HOURS))


class Piece(NamedTuple):
    """A block of one series to be written; one of the same beginning is replaced.

    Attributes:
        tier: 0 samples, 1 minutes, 2 hours.
    """

    kind: SeriesKind
    key: str
    label: str
    block: Block
    tier: int = 0


class Tenure(NamedTuple):
    """Who held a GPU, and until when it was last seen so, in milliseconds."""

    key: str
    since: int
    until: int
    holder: str


class SeriesStore:
    """Writes, reads, thins out and throws away series. Every method raises StoreError of its kind."""

    def __init__(self, store: TelemetryStore) -> None:
        self._store = store

    # ------------------------------------------------------------ writing

    async def write(self, pieces: Sequence[Piece], tenures: Sequence[Tenure] = ()) -> None:
        """Write samples, and who held what; of one beginning the last one written stays."""
        kept = [piece for piece in pieces if piece.block.times]
        packed = await asyncio.to_thread(_packed, kept)
        async with self._store.using(making=True) as database, database.transaction() as transaction:
            await transaction.execute_many(
                "INSERT INTO series (kind, key, label, seen_at) VALUES (?1, ?2, ?3, ?4)"
                " ON CONFLICT (kind, key) DO UPDATE SET label = ?3, seen_at = ?4",
                [(piece.kind, piece.key, piece.label, piece.block.times[-1]) for piece in kept],
            )
            await transaction.execute_many(
                "INSERT INTO block (tier, series, start, until, data)"
                " VALUES (?6, (SELECT id FROM series WHERE kind = ?1 AND key = ?2), ?3, ?4, ?5)"
                " ON CONFLICT (series, tier, start) DO UPDATE SET until = ?4, data = ?5",
                [
                    (piece.kind, piece.key, piece.block.times[0], piece.block.times[-1], data, piece.tier)
                    for piece, data in zip(kept, packed, strict=True)
                ],
            )
            await transaction.execute_many(
                "INSERT INTO tenure (series, since, until, holder)"
                " SELECT id, ?2, ?3, ?4 FROM series WHERE kind = 'gpu' AND key = ?1"
                " ON CONFLICT (series, since) DO UPDATE SET until = ?3, holder = ?4",
                tenures,
            )

    # ------------------------------------------------------------ reading

    async def keys(self, kind: SeriesKind, since: datetime) -> dict[str, str]:
        """The series of a kind that were seen since then: key and label."""
        async with self._store.using() as database:
            rows = await database.fetch_all(
                "SELECT key, label FROM series WHERE kind = ? AND seen_at >= ? ORDER BY label, key",
                (kind, milliseconds(since)),
            )
        return {str(row["key"]): str(row["label"]) for row in rows}

    async def read(
        self,
        kind: SeriesKind,
        keys: Sequence[str],
        metrics: Sequence[str],
        *,
        start: datetime,
        end: datetime,
        step: float,
    ) -> dict[str, dict[str, list[Step]]]:
        """Metrics of some series: by key, then by metric, their steps of so many seconds.

        What is asked for at a minute or more is taken from minutes, at an hour or more from hours, as far as there are
        any by now; the rest from what is finer.
        """
        codes = {name: metric.code for name in metrics if (metric := metric_of(kind, name)) is not None}
        first, last, width = milliseconds(start), milliseconds(end), max(1, round(step * 1000))
        coarsest = _HOURS if width % HOUR == 0 else _MINUTES if width % MINUTE == 0 else _SAMPLES
        async with self._store.using() as database:
            blocks = await _blocks(database, kind, keys, first // width * width, last, coarsest)
        return await asyncio.to_thread(_stepped, blocks, codes, width, first // width * width, last)

    async def tenures(self, key: str, start: datetime) -> list[Tenure]:
        """Who held a GPU since then, oldest first."""
        async with self._store.using() as database:
            rows = await database.fetch_all(
                "SELECT since, until, holder FROM tenure JOIN series ON id = series"
                " WHERE kind = 'gpu' AND key = ? AND until >= ? ORDER BY since",
                (key, milliseconds(start)),
            )
        return [Tenure(key, row["since"], row["until"], row["holder"]) for row in rows]

    # ------------------------------------------------------------ keeping

    async def thin_out(self, now: datetime) -> None:
        """Make minutes of the hours, and hours of the days, that are over and were not thinned out yet."""
        settled = milliseconds(now) - _SETTLED
        for tier, span, step, into in _TIERS:
            async with self._store.using() as database:
                spans = [
                    int(row[0])
                    for row in await database.fetch_all(
                        "SELECT start / ?1 FROM block WHERE tier = ?2 AND start < ?3"
                        " EXCEPT SELECT start / ?1 FROM block WHERE tier = ?4 ORDER BY 1",
                        (span, tier, settled // span * span, into),
                    )
                ]
                for number in spans:
                    await _thin_out(database, tier, number * span, (number + 1) * span, step, into)

    async def expire(self, now: datetime, keep: timedelta, max_size: int) -> None:
        """Throw away what is too old, and as much of the finest and oldest as is too large.

        Args:
            keep: how long hours are kept; nothing is kept for longer.
            max_size: bytes of the file that may hold something.
        """
        async with self._store.using() as database:
            async with database.transaction() as transaction:
                for tier, age in ((_SAMPLES, KEEP_SAMPLES), (_MINUTES, KEEP_MINUTES), (_HOURS, keep)):
                    await transaction.execute(
                        "DELETE FROM block WHERE tier = ? AND (until < ? OR start > ?)",
                        (tier, milliseconds(now - min(age, keep)), milliseconds(now + _FUTURE)),
                    )
                oldest = milliseconds(now - keep)
                await transaction.execute("DELETE FROM tenure WHERE until < ?", (oldest,))
                for tier in (_SAMPLES, _MINUTES, _HOURS):
                    await _shrink(transaction, tier, max_size)
                await transaction.execute(
                    "DELETE FROM series WHERE seen_at < ?"
                    " AND NOT EXISTS (SELECT 1 FROM block WHERE block.series = series.id)",
                    (oldest,),
                )
            used, whole = await _size(database)
            if whole > _WORTH_IT and used < whole * _EMPTY_SHARE:
                await database.compact()

    async def is_begun(self) -> bool:
        """Whether anything was recorded."""
        async with self._store.using(making=True) as database:
            return await database.fetch_one("SELECT 1 FROM block LIMIT 1") is not None

    async def say_made_up(self, told: str) -> None:
        """Note that what is kept was not measured, for whoever looks at it."""
        async with self._store.using(making=True) as database, database.transaction() as transaction:
            await meta.put(transaction, _MADE_UP, told)

    async def extent(self) -> tuple[int, datetime | None, str]:
        """Bytes of the file that hold something, since when there is history, and whether that is made up."""
        async with self._store.using() as database:
            row = await database.fetch_one("SELECT min(start) FROM block")
            used, _ = await _size(database)
            made_up = await meta.get(database, _MADE_UP) or ""
        return used, None if row is None or row[0] is None else instant_of(row[0]), made_up

    async def size(self) -> int:
        """Bytes of the file that hold something."""
        async with self._store.using() as database:
            return (await _size(database))[0]


def _packed(pieces: Sequence[Piece]) -> list[bytes]:
    # Blocks that several series have in common are packed once.
    known: dict[int, bytes] = {}
    return [known.get(id(piece.block)) or known.setdefault(id(piece.block), pack(piece.block)) for piece in pieces]


async def _blocks(
    database: Database, kind: SeriesKind, keys: Sequence[str], first: int, last: int, coarsest: int
) -> dict[str, list[tuple[int, bytes]]]:
    """Start and data of the blocks of each series: the coarsest as far as they reach, then finer ones."""
    found: dict[str, list[tuple[int, bytes]]] = {}
    for key in keys:
        row = await database.fetch_one("SELECT id FROM series WHERE kind = ? AND key = ?", (kind, key))
        if row is None:
            continue
        series, reached = row["id"], first
        kept = found.setdefault(key, [])
        for tier in range(coarsest, _SAMPLES - 1, -1):
            rows = await database.fetch_all(
                "SELECT start, until, data FROM block"
                " WHERE series = ? AND tier = ? AND until >= ? AND start < ? ORDER BY start",
                (series, tier, reached, last),
            )
            kept.extend((each["start"], each["data"]) for each in rows)
            if rows and tier > _SAMPLES:
                span = DAY if tier == _HOURS else HOUR
                reached = (rows[-1]["until"] // span + 1) * span
    return found


def _stepped(
    blocks: Mapping[str, Sequence[tuple[int, bytes]]], codes: Mapping[str, int], width: int, first: int, last: int
) -> dict[str, dict[str, list[Step]]]:
    result = {}
    for key, packed in blocks.items():
        kept = list(_readable(packed, codes.values()))
        result[key] = {name: steps_of(kept, code, width, first, last) for name, code in codes.items()}
    return result


def _readable(packed: Iterable[tuple[int, bytes]], codes: Iterable[int] | None = None) -> Iterable[Block]:
    """The blocks that can be read: what cannot is a gap, as if nothing had been measured."""
    wanted = None if codes is None else tuple(codes)
    for start, data in packed:
        try:
            yield unpack(data, start, wanted)
        except MalformedDataError:
            continue


async def _thin_out(database: Database, tier: int, start: int, end: int, step: int, into: int) -> None:
    made = []
    for (series,) in await database.fetch_all(
        "SELECT DISTINCT series FROM block WHERE tier = ? AND start >= ? AND start < ?", (tier, start, end)
    ):
        # One series at a time, so that a screen in this process is not held up.
        rows = await database.fetch_all(
            "SELECT start, data FROM block WHERE series = ? AND tier = ? AND start >= ? AND start < ? ORDER BY start",
            (series, tier, start, end),
        )
        block, data = await asyncio.to_thread(_thinned, [(row["start"], row["data"]) for row in rows], step)
        if block is not None:
            made.append((into, series, block.times[0], block.times[-1], data))
    async with database.transaction() as transaction:
        await transaction.execute_many(
            "INSERT OR IGNORE INTO block (tier, series, start, until, data)"
            " SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS (SELECT 1 FROM series WHERE id = ?2)",
            made,
        )


def _thinned(packed: Sequence[tuple[int, bytes]], step: int) -> tuple[Block | None, bytes]:
    block = coarser(_readable(packed), step)
    return block, b"" if block is None else pack(block)


async def _size(source: Database | Transaction) -> tuple[int, int]:
    """Bytes of the file that hold something, and all of them."""
    row = await source.fetch_one(
        "SELECT (page_count - freelist_count) * page_size, page_count * page_size"
        " FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()"
    )
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


async def _shrink(transaction: Transaction, tier: int, max_size: int) -> None:
    """Delete the oldest quarter of a tier again and again, until what is left fits or is its last hour."""
    while (await _size(transaction))[0] > max_size:
        row = await transaction.fetch_one("SELECT min(start), max(start) FROM block WHERE tier = ?", (tier,))
        if row is None or row[0] is None or row[1] - row[0] < HOUR:
            return
        cut = row[0] + max((row[1] - row[0]) // 4, 1)
        await transaction.execute("DELETE FROM block WHERE tier = ? AND start < ?", (tier, cut))
