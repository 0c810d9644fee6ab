"""The ledger is verified: whoever writes to the file past the program is found out, and where."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.audit.verification import verify
from backend.core.actors import Actor, ActorSource
from backend.core.canonical import hash_of
from backend.core.views import VerificationView
from backend.store import ledger
from tests.fakes.store import FixedClock, open_database

ROBIN = Actor(name="robin", source=ActorSource.OPERATING_SYSTEM)
ENTRIES = 8


async def written(path: Path, count: int = ENTRIES) -> list[str]:
    """A ledger of so many entries; their hashes."""
    clock = FixedClock()
    hashes = []
    async with open_database(path) as database, database.transaction() as transaction:
        for number in range(count):
            clock.advance(seconds=1)
            entry = await ledger.append(
                transaction, at=clock.now(), actor=ROBIN, action="approve", outcome="done",
                object=f"host/a@{number} é\n\"'",
                detail={"reason": f"ok {number}", "n": number},
            )  # fmt: skip
            hashes.append(entry.hash)
    return hashes


def tamper(path: Path, *statements: str) -> None:
    """Write to the file as somebody would who goes around the program: without the triggers."""
    connection = sqlite3.connect(path)
    for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


async def verified(path: Path, anchor: str | None = None) -> VerificationView:
    async with open_database(path) as database:
        return await verify(database, anchor)


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    path = tmp_path / "modelyard.db"
    await written(path)
    return path


async def test_an_untouched_ledger_holds(tmp_path: Path) -> None:
    hashes = await written(tmp_path / "modelyard.db")
    found = await verified(tmp_path / "modelyard.db")
    assert found == VerificationView(entries=ENTRIES, head=hashes[-1], intact=True)


async def test_an_empty_ledger_holds(tmp_path: Path) -> None:
    found = await verified(tmp_path / "modelyard.db")
    assert found == VerificationView(entries=0, head=ledger.GENESIS, intact=True)
    assert (await verified(tmp_path / "modelyard.db", "sha256:" + "1" * 64)).first_bad == 1


async def test_a_ledger_longer_than_a_page_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.audit.verification._PAGE", 3)
    await written(tmp_path / "modelyard.db")
    assert (await verified(tmp_path / "modelyard.db")).intact
    tamper(tmp_path / "modelyard.db", "UPDATE ledger SET actor = 'mira' WHERE seq = 7")
    assert (await verified(tmp_path / "modelyard.db")).first_bad == 7


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("at", "'2026-03-01T12:00:09.000000Z'"), ("actor", "'mira'"), ("actor_source", "'cluster'"),
        ("action", "'reject'"), ("object", "'host/b@1'"), ("outcome", "'refused'"), ("detail", "'{}'"),
        ("detail", "replace(detail, ',', ', ')"), ("previous", "'sha256:1'"), ("hash", "'sha256:1'"),
        ("detail", "CAST(x'ff' AS TEXT)"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("seq", [1, 5, ENTRIES])
async def test_a_change_of_any_column_is_found_at_its_entry(path: Path, column: str, value: str, seq: int) -> None:
    tamper(path, f"UPDATE ledger SET {column} = {value} WHERE seq = {seq}")
    found = await verified(path)
    assert not found.intact and found.first_bad == seq and found.reason
    assert found.entries == seq - 1


@pytest.mark.parametrize("seq", [1, 5, ENTRIES])
async def test_a_changed_number_is_found(path: Path, seq: int) -> None:
    tamper(path, f"UPDATE ledger SET seq = 100 WHERE seq = {seq}")
    assert (await verified(path)).first_bad == seq


@pytest.mark.parametrize(
    ("statements", "first_bad"),
    [
        (["DELETE FROM ledger WHERE seq = 4"], 4),
        (["DELETE FROM ledger WHERE seq = 1"], 1),
        (["DELETE FROM ledger WHERE seq < 3", "UPDATE ledger SET seq = -seq", "UPDATE ledger SET seq = -seq - 2"], 1),
        (["INSERT INTO ledger SELECT 0, at, actor, actor_source, action, object, outcome, detail, previous, hash"
          " FROM ledger WHERE seq = 1"], 0),
        (["INSERT INTO ledger SELECT 9, at, actor, actor_source, action, object, outcome, detail, previous, hash"
          " FROM ledger WHERE seq = 8"], 9),
        (["UPDATE ledger SET seq = 99 WHERE seq = 3", "UPDATE ledger SET seq = 3 WHERE seq = 4",
          "UPDATE ledger SET seq = 4 WHERE seq = 99"], 3),
    ],
)  # fmt: skip
async def test_removed_inserted_and_reordered_entries_are_found(
    path: Path, statements: list[str], first_bad: int
) -> None:
    tamper(path, *statements)
    found = await verified(path)
    assert not found.intact and found.first_bad == first_bad


async def test_a_cut_tail_is_found_against_an_anchor(tmp_path: Path) -> None:
    path = tmp_path / "modelyard.db"
    hashes = await written(path)
    tamper(path, "DELETE FROM ledger WHERE seq > 5")
    assert (await verified(path)).intact
    found = await verified(path, hashes[-1])
    assert not found.intact and found.first_bad == 6 and "cut" in found.reason
    assert (await verified(path, hashes[3])).intact


async def test_a_chain_made_anew_is_found_against_an_anchor(tmp_path: Path) -> None:
    path = tmp_path / "modelyard.db"
    hashes = await written(path)

    def rewrite(connection: sqlite3.Connection) -> None:
        previous = ledger.GENESIS
        columns = "seq, at, actor, actor_source, action, object, outcome, detail"
        for row in connection.execute(f"SELECT {columns} FROM ledger ORDER BY seq").fetchall():
            values = dict(zip(columns.split(", "), row, strict=True), actor="mira", previous=previous)
            previous = ledger.entry_hash(**values)
            connection.execute(
                "UPDATE ledger SET actor = 'mira', previous = ?, hash = ? WHERE seq = ?",
                (values["previous"], previous, values["seq"]),
            )

    tamper(path)
    apply(path, rewrite)
    assert (await verified(path)).intact
    assert not (await verified(path, hashes[-1])).intact


async def test_columns_that_are_no_text_are_found(path: Path) -> None:
    columns = "seq INTEGER, at, actor, actor_source, action, object, outcome, detail, previous, hash"
    tamper(
        path, f"CREATE TABLE loose ({columns})", "INSERT INTO loose SELECT * FROM ledger", "DROP TABLE ledger",
        "ALTER TABLE loose RENAME TO ledger", "UPDATE ledger SET actor = NULL WHERE seq = 2",
    )  # fmt: skip
    assert (await verified(path)).first_bad == 2


async def test_the_hash_is_that_of_the_canonical_form(path: Path) -> None:
    async with open_database(path) as database:
        for row in await database.fetch_all("SELECT * FROM ledger"):
            columns = dict(row)
            assert columns.pop("hash") == hash_of(columns)


def apply(path: Path, change: Callable[[sqlite3.Connection], None]) -> None:
    connection = sqlite3.connect(path)
    change(connection)
    connection.commit()
    connection.close()
