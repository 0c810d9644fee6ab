"""The ledger's append: chained over every column, append-only, in the caller's transaction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.actors import Actor, ActorSource
from backend.core.errors import LedgerError, StoreConstraintError
from backend.core.views import LedgerEntryView
from backend.store import ledger
from backend.store.connection import Database, Transaction
from tests.fakes.store import FixedClock, open_database

ROBIN = Actor(name="robin", source=ActorSource.OPERATING_SYSTEM)


async def add(transaction: Transaction, clock: FixedClock, **given: Any) -> LedgerEntryView:
    values: dict[str, Any] = {"action": "approve", "object": "host/a@sha256:1", "outcome": "done", "detail": {}}
    return await ledger.append(transaction, at=clock.now(), actor=ROBIN, **{**values, **given})


async def rows(database: Database) -> list[dict[str, Any]]:
    return [dict(row) for row in await database.fetch_all("SELECT * FROM ledger ORDER BY seq")]


async def test_entries_are_chained_and_read_back_as_written(tmp_path: Path) -> None:
    clock = FixedClock()
    async with open_database(tmp_path / "modelyard.db") as database:
        async with database.transaction() as transaction:
            first = await add(transaction, clock, detail={"reason": "ok", "n": 1})
            second = await add(transaction, clock, outcome="refused")
        assert (first.seq, first.previous) == (1, ledger.GENESIS)
        assert (second.seq, second.previous) == (2, first.hash)
        stored = await rows(database)
        assert [ledger.entry_view(row) for row in stored] == [first, second]
        for row in stored:
            assert row.pop("hash") == ledger.entry_hash(**row)


async def test_an_entry_stands_or_falls_with_its_transaction(tmp_path: Path) -> None:
    clock = FixedClock()
    async with open_database(tmp_path / "modelyard.db") as database:
        with pytest.raises(KeyError):
            async with database.transaction() as transaction:
                await add(transaction, clock)
                raise KeyError
        async with database.transaction() as transaction:
            entry = await add(transaction, clock)
        assert entry.seq == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger SET actor = 'mira' WHERE seq = 1",
        "DELETE FROM ledger WHERE seq = 2",
        "INSERT OR REPLACE INTO ledger"
        " SELECT 1, at, actor, actor_source, action, object, outcome, detail, previous, hash FROM ledger WHERE seq = 1",
        "INSERT INTO ledger SELECT 9, at, actor, actor_source, action, object, outcome, detail, hash, hash"
        " FROM ledger WHERE seq = 2",
        "INSERT INTO ledger SELECT 3, at, actor, actor_source, action, object, outcome, detail, previous, hash"
        " FROM ledger WHERE seq = 2",
    ],
)
async def test_entries_cannot_be_changed_removed_or_put_out_of_place(tmp_path: Path, statement: str) -> None:
    clock = FixedClock()
    async with open_database(tmp_path / "modelyard.db") as database:
        async with database.transaction() as transaction:
            await add(transaction, clock)
            await add(transaction, clock)
        before = await rows(database)
        with pytest.raises(StoreConstraintError):
            async with database.transaction() as transaction:
                await transaction.execute(statement)
        assert await rows(database) == before


async def test_a_clock_that_goes_back_is_noted(tmp_path: Path) -> None:
    clock = FixedClock()
    async with open_database(tmp_path / "modelyard.db") as database, database.transaction() as transaction:
        await add(transaction, clock)
        clock.advance(seconds=-30)
        assert (await add(transaction, clock)).detail == {}
        clock.advance(hours=-1)
        assert (await add(transaction, clock)).detail == {"clock_went_back_from": "2026-03-01T11:59:30.000000Z"}


async def test_hostile_text_is_stored_as_data(tmp_path: Path) -> None:
    clock = FixedClock()
    hostile = "tag\x1b[2J\x00'; DROP TABLE ledger; -- \ud800"
    async with open_database(tmp_path / "modelyard.db") as database:
        async with database.transaction() as transaction:
            entry = await add(transaction, clock, object=hostile, detail={"text": hostile})
        stored = await rows(database)
        assert stored[0]["object"] == hostile.replace("\ud800", "?")
        row = stored[0]
        assert row.pop("hash") == ledger.entry_hash(**row) == entry.hash


async def test_wrong_use_is_told(tmp_path: Path) -> None:
    clock = FixedClock()
    async with open_database(tmp_path / "modelyard.db") as database, database.transaction() as transaction:
        with pytest.raises(ValueError, match="outcome"):
            await add(transaction, clock, outcome="perhaps")
        with pytest.raises(ValueError, match="Out of range"):
            await add(transaction, clock, detail={"x": float("nan")})


def test_a_stored_time_that_is_none_names_its_entry() -> None:
    row = {"seq": 7, "at": "yesterday", "detail": "{}"}
    with pytest.raises(LedgerError) as caught:
        ledger.entry_view(row)
    assert caught.value.first_bad == 7


COLUMNS = {
    "seq": st.integers(1, 2**62),
    **{
        name: st.text(st.characters(codec="utf-8"), max_size=30)
        for name in ("at", "actor", "actor_source", "action", "object", "outcome", "detail", "previous")
    },
}


@given(st.fixed_dictionaries(COLUMNS), st.sampled_from(sorted(COLUMNS)), st.data())
def test_a_change_of_any_column_changes_the_hash(entry: dict[str, Any], column: str, data: st.DataObject) -> None:
    changed = {**entry, column: data.draw(COLUMNS[column])}
    assert (ledger.entry_hash(**entry) == ledger.entry_hash(**changed)) == (entry == changed)
