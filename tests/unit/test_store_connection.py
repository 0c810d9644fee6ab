"""What a caller of the database can rely on: transactions, errors of our tree, where a database may lie."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import threading
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.errors import (
    MalformedDataError,
    ReadOnlyError,
    StoreConstraintError,
    StoreDamagedError,
    StoreError,
    StoreLockedError,
    StoreTooNewError,
    StoreUnwritableError,
)
from backend.store import meta
from backend.store.connection import Database
from backend.store.location import file_system_of, refuse_network_file_system
from tests.fakes.store import FixedClock, names, open_database

MOUNTS = r"""22 1 254:0 / / rw - ext4 /dev/vda rw
30 22 0:40 / /mnt/share rw - nfs4 server:/x rw
31 30 0:41 / /mnt/share/local rw - ext4 /dev/vdb rw
32 22 0:42 / /home/a\040b rw shared:1 - fuse.sshfs host:/ rw
33 22 0:43 / /over rw - ext4 /dev/vdc rw
34 22 0:44 / /over rw - cifs //server/x rw
malformed line
"""


async def test_a_new_database_is_made_with_its_folder_for_the_group_only(tmp_path: Path) -> None:
    path = tmp_path / "a" / "yard" / "modelyard.db"
    async with open_database(path) as database:
        row = await database.fetch_one("PRAGMA journal_mode")
        assert row is not None and row[0] == "wal"
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert stat.S_IMODE(path.parent.stat().st_mode) & 0o777 == 0o770


async def test_what_a_transaction_wrote_is_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "modelyard.db"
    async with open_database(path) as database, database.transaction() as transaction:
        await meta.put(transaction, "name", "production")
    async with open_database(path) as database:
        assert await meta.get(database, "name") == "production"
        assert await meta.get(database, "absent") is None


async def test_a_block_that_raises_leaves_nothing(tmp_path: Path) -> None:
    async with open_database(tmp_path / "modelyard.db") as database:
        with pytest.raises(KeyError):
            async with database.transaction() as transaction:
                await meta.put(transaction, "name", "x")
                raise KeyError("stop")
        assert await meta.get(database, "name") is None
        async with database.transaction() as transaction:
            await meta.put(transaction, "name", "y")
        assert await meta.get(database, "name") == "y"


async def test_a_cancelled_block_leaves_nothing_and_the_database_usable(tmp_path: Path) -> None:
    async with open_database(tmp_path / "modelyard.db") as database:
        inside = asyncio.Event()

        async def work() -> None:
            async with database.transaction() as transaction:
                await meta.put(transaction, "name", "x")
                inside.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await meta.get(database, "name") is None
        async with database.transaction() as transaction:
            await meta.put(transaction, "name", "y")


@pytest.mark.parametrize("turns", range(1, 16))
async def test_cancelling_anywhere_leaves_a_whole_transaction_or_none(tmp_path: Path, turns: int) -> None:
    async with open_database(tmp_path / "modelyard.db") as database:

        async def work() -> None:
            async with database.transaction() as transaction:
                await meta.put(transaction, "first", "x")
                await meta.put(transaction, "second", "x")

        task = asyncio.create_task(work())
        for _ in range(turns):
            await asyncio.sleep(0)
            # The connection's thread answers between turns of the loop, so each turn waits for one read.
            await database.fetch_one("SELECT 1")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (await meta.get(database, "first")) == (await meta.get(database, "second"))
        async with database.transaction() as transaction:
            await meta.put(transaction, "third", "x")
        assert await meta.get(database, "third") == "x"


async def test_transactions_of_one_process_take_turns(tmp_path: Path) -> None:
    async with open_database(tmp_path / "modelyard.db") as database:
        async with database.transaction() as transaction:
            await meta.put(transaction, "count", "0")

        async def increment() -> None:
            async with database.transaction() as transaction:
                row = await transaction.fetch_one("SELECT value FROM meta WHERE name = 'count'")
                assert row is not None
                await meta.put(transaction, "count", str(int(row["value"]) + 1))

        await asyncio.gather(*(increment() for _ in range(30)))
        assert await meta.get(database, "count") == "30"


async def test_a_nested_transaction_is_refused_instead_of_waiting_for_itself(tmp_path: Path) -> None:
    async with open_database(tmp_path / "modelyard.db") as database:
        with pytest.raises(StoreError, match="nest"):
            async with database.transaction(), database.transaction():
                pass


async def test_a_statement_after_the_end_is_refused(tmp_path: Path) -> None:
    async with open_database(tmp_path / "modelyard.db") as database:
        async with database.transaction() as transaction:
            pass
        with pytest.raises(StoreError, match="ended"):
            await transaction.execute("DELETE FROM meta")


async def test_readers_see_only_what_is_committed(tmp_path: Path) -> None:
    async with open_database(tmp_path / "modelyard.db") as database:
        async with database.transaction() as transaction:
            await meta.put(transaction, "name", "x")
            assert await meta.get(database, "name") is None
        assert await meta.get(database, "name") == "x"


async def test_the_reader_cannot_write(tmp_path: Path) -> None:
    async with open_database(tmp_path / "modelyard.db") as database:
        with pytest.raises(StoreUnwritableError):
            await database.fetch_all("DELETE FROM meta")


async def test_data_version_tells_changes_here_and_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "modelyard.db"
    async with open_database(path) as database, open_database(path) as other:
        seen = [await database.data_version()]
        assert await database.data_version() == seen[0]
        for writer in (database, other):
            async with writer.transaction() as transaction:
                await meta.put(transaction, "name", f"{id(writer)}")
            seen.append(await database.data_version())
        assert len(set(seen)) == 3


async def test_rows_changed_are_counted(tmp_path: Path) -> None:
    async with open_database(tmp_path / "modelyard.db") as database, database.transaction() as transaction:
        await transaction.execute_many("INSERT INTO meta VALUES (?, ?)", [("a", "1"), ("b", "2")])
        assert await transaction.execute("UPDATE meta SET value = '3' WHERE name IN ('a', 'b')") == 2
        assert await transaction.execute("DELETE FROM meta WHERE name = 'absent'") == 0


async def test_closing_twice_is_harmless_and_use_after_it_is_an_error_of_ours(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "modelyard.db", clock=FixedClock())
    await database.close()
    await database.close()
    with pytest.raises(StoreError, match="closed"):
        await database.fetch_all("SELECT 1")
    with pytest.raises(StoreError, match="closed"):
        async with database.transaction():
            pass


async def test_broken_rules_and_unstorable_values_are_errors_of_ours(tmp_path: Path) -> None:
    async with open_database(tmp_path / "modelyard.db") as database:
        with pytest.raises(StoreConstraintError):
            async with database.transaction() as transaction:
                await transaction.execute("INSERT INTO meta VALUES ('a', '1'), ('a', '2')")
        with pytest.raises(MalformedDataError):
            async with database.transaction() as transaction:
                await meta.put(transaction, "name", "lone \ud800")
        with pytest.raises(MalformedDataError):
            await database.fetch_all("SELECT ?", (2**80,))
        with pytest.raises(StoreError):
            await database.fetch_all("SELECT nothing FROM nowhere")


# ---------------------------------------------------------------- opening


async def test_read_only_changes_nothing_and_follows_other_processes(tmp_path: Path) -> None:
    path = tmp_path / "modelyard.db"
    async with open_database(path):
        pass
    before = path.read_bytes()
    async with open_database(path, read_only=True) as database:
        with pytest.raises(ReadOnlyError):
            async with database.transaction():
                pass
        assert path.read_bytes() == before
        version = await database.data_version()
        async with open_database(path) as writer, writer.transaction() as transaction:
            await meta.put(transaction, "name", "x")
        assert await meta.get(database, "name") == "x"
        assert await database.data_version() != version


async def test_read_only_makes_no_database(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "modelyard.db"
    with pytest.raises(StoreUnwritableError, match="does not exist"):
        await Database.open(path, clock=FixedClock(), read_only=True)
    assert not path.parent.exists()


@pytest.mark.parametrize("content", [b"not a database, but long enough to hold a header " * 20, b"short"])
async def test_a_file_that_is_no_database_is_told_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "modelyard.db"
    path.write_bytes(content)
    with pytest.raises(StoreDamagedError):
        await Database.open(path, clock=FixedClock())
    assert path.read_bytes() == content


async def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE bookmarks (url TEXT)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreDamagedError, match="another program"):
        await Database.open(path, clock=FixedClock())
    assert path.read_bytes() == before


async def test_a_damaged_page_is_told_when_it_is_met(tmp_path: Path) -> None:
    path = tmp_path / "modelyard.db"
    async with open_database(path) as database, database.transaction() as transaction:
        await transaction.execute_many("INSERT INTO meta VALUES (?, ?)", [(f"n{i}", "v" * 500) for i in range(200)])
    data = bytearray(path.read_bytes())
    pages = len(data) // 4096
    for page in range(pages - 20, pages):
        data[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    path.write_bytes(data)
    async with open_database(path) as database:
        with pytest.raises(StoreDamagedError):
            await database.fetch_all("SELECT * FROM meta")


async def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "modelyard.db"
    async with open_database(path):
        pass
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 9000")
    connection.close()
    with pytest.raises(StoreTooNewError, match="9000"):
        await Database.open(path, clock=FixedClock())


async def test_a_world_writable_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "modelyard.db"
    async with open_database(path):
        pass
    path.chmod(0o666)
    with pytest.raises(StoreError, match="everyone may write"):
        await Database.open(path, clock=FixedClock())


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
async def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    with pytest.raises(StoreUnwritableError):
        await Database.open(folder / "modelyard.db", clock=FixedClock())


async def test_a_path_below_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreUnwritableError):
        await Database.open(tmp_path / "file" / "modelyard.db", clock=FixedClock())
    with pytest.raises(StoreUnwritableError):
        await Database.open(tmp_path, clock=FixedClock())


@pytest.mark.parametrize("name", ["with space", "question?mark=1", "hash#tag", "per%20cent", "ünïcode"])
async def test_a_path_of_any_name_is_that_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    async with open_database(path):
        assert path.stat().st_size > 0
    assert names(tmp_path) == [name]


async def test_a_full_disk_is_told_and_the_database_stays_whole(tmp_path: Path) -> None:
    path = tmp_path / "modelyard.db"
    async with open_database(path) as database:
        async with database.transaction() as transaction:
            await meta.put(transaction, "name", "kept")
        with pytest.raises(StoreUnwritableError):
            async with database.transaction() as transaction:
                # The limit stands in for the disk: SQLite answers SQLITE_FULL on both.
                await transaction.execute("PRAGMA max_page_count = 1")
                await transaction.execute_many(
                    "INSERT INTO meta VALUES (?, ?)", [(f"n{i}", "v" * 4000) for i in range(100)]
                )
        assert await meta.get(database, "name") == "kept"


# ---------------------------------------------------------------- file systems


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/x.db", "ext4"),
        ("/mnt/share/x.db", "nfs4"),
        ("/mnt/share/local/x.db", "ext4"),
        ("/mnt/sharework/x.db", "ext4"),
        ("/home/a b/x.db", "fuse.sshfs"),
        ("/over/x.db", "cifs"),
    ],
)
def test_the_file_system_is_that_of_the_innermost_mount(path: str, kind: str) -> None:
    assert file_system_of(Path(path), MOUNTS) == kind


def test_a_network_file_system_is_refused_by_name() -> None:
    with pytest.raises(StoreUnwritableError, match="nfs4"):
        refuse_network_file_system(Path("/mnt/share/x.db"), MOUNTS)
    refuse_network_file_system(Path("/mnt/share/local/x.db"), MOUNTS)


@given(st.text())
def test_any_mount_table_is_read_without_failing(text: str) -> None:
    assert isinstance(file_system_of(Path("/a/b"), text), str)


async def test_waiting_for_another_holder_ends(tmp_path: Path) -> None:
    path = tmp_path / "modelyard.db"
    database = await Database.open(path, clock=FixedClock(), patience=timedelta(seconds=0.5))
    holder = sqlite3.connect(path, isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreLockedError):
            async with database.transaction():
                pass
        holder.execute("ROLLBACK")
        async with database.transaction() as transaction:
            await meta.put(transaction, "name", "x")
    finally:
        holder.close()
        await database.close()


async def test_an_opening_that_is_cancelled_at_any_moment_leaves_no_connection_open(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    for wait in range(12):
        opening = asyncio.create_task(Database.open(tmp_path / "yard.db", clock=FixedClock()))
        # A statement in the connection's thread takes the loop a turn or more each.
        for _ in range(wait):
            await asyncio.wait({opening}, timeout=0.002)
        opening.cancel()
        with suppress(asyncio.CancelledError):
            await (await opening).close()
    left = [thread for thread in set(threading.enumerate()) - before if "connection" in thread.name]
    for thread in left:
        await asyncio.to_thread(thread.join, 5)
    assert not any(thread.is_alive() for thread in left)
