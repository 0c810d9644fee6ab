"""Reading and exporting the ledger."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from backend.audit.entries import EntryFilter, entries, export
from backend.core.actors import Actor, ActorSource
from backend.core.canonical import hash_of
from backend.store import ledger
from backend.store.connection import Database
from tests.fakes.store import FixedClock, open_database


async def fill(database: Database) -> None:
    clock = FixedClock()
    async with database.transaction() as transaction:
        for number in range(10):
            clock.advance(minutes=1)
            await ledger.append(
                transaction, at=clock.now(), actor=Actor(name=f"actor{number % 2}", source=ActorSource.CLUSTER),
                action="sync" if number < 5 else "approve", object=f"Host/repository{number}",
                outcome="done" if number != 9 else "refused", detail={"n": number, "text": "a\nb é"},
            )  # fmt: skip


async def test_entries_come_newest_first_and_page_by_page(tmp_path: Path) -> None:
    async with open_database(tmp_path / "modelyard.db") as database:
        await fill(database)
        first = await entries(database, limit=4)
        assert [entry.seq for entry in first] == [10, 9, 8, 7]
        assert [entry.seq for entry in await entries(database, limit=4, before=7)] == [6, 5, 4, 3]
        assert await entries(database, before=1) == []


async def test_entries_are_filtered_by_every_field(tmp_path: Path) -> None:
    async with open_database(tmp_path / "modelyard.db") as database:
        await fill(database)

        async def found(**chosen: object) -> list[int]:
            return [entry.seq for entry in await entries(database, EntryFilter(**chosen))]  # type: ignore[arg-type]

        assert await found(actor="actor1") == [10, 8, 6, 4, 2]
        assert await found(action="sync", actor="actor1") == [4, 2]
        assert await found(object="host/REPOSITORY3") == [4]
        assert await found(object="%") == []
        assert await found(outcome="refused") == [10]
        moment = datetime(2026, 3, 1, 12, 8, tzinfo=UTC)
        assert await found(since=moment) == [10, 9, 8]
        assert await found(until=moment) == [7, 6, 5, 4, 3, 2, 1]


async def test_the_hashes_can_be_computed_from_the_export_alone(tmp_path: Path) -> None:
    async with open_database(tmp_path / "modelyard.db") as database:
        await fill(database)
        lines = [line async for line in export(database)]
    assert len(lines) == 10 and not any("\n" in line for line in lines)
    previous = ledger.GENESIS
    for line in lines:
        entry = json.loads(line)
        stored = entry.pop("hash")
        assert hash_of(entry) == stored and entry["previous"] == previous
        previous = stored


TEXT = st.text(st.characters(codec="utf-8"))


@given(st.dictionaries(st.sampled_from(["at", "actor", "actor_source", "action", "object", "outcome", "detail"]), TEXT))
def test_an_entry_of_any_text_has_the_hash_of_its_canonical_form(given: dict[str, str]) -> None:
    names = ("at", "actor", "actor_source", "action", "object", "outcome", "detail", "previous")
    columns = {name: given.get(name, "") for name in names}
    assert ledger.entry_hash(seq=3, **columns) == hash_of({"seq": 3, **columns})
