"""The ledger of years: how long it takes to verify all of it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from backend.audit.verification import verify
from backend.core.ports import SystemClock
from backend.store import ledger
from backend.store.connection import Database, SqlValue
from tests.benchmarks.harness import Figure

_ENTRIES: Final = 100_000
_TIMES: Final = 3
_COLUMNS: Final = "seq, at, actor, actor_source, action, object, outcome, detail, previous, hash"
_BUDGET: Final = 2.0


def audit_verify() -> Figure:
    """Verifying 100,000 entries, beside reading them and hashing their canonical JSON in a bare loop."""
    with tempfile.TemporaryDirectory(prefix="modelyard-benchmark-") as folder:
        path = Path(folder) / "modelyard.db"
        asyncio.run(fill_ledger(path))
        ours = min(asyncio.run(_verified(path)) for _ in range(_TIMES))
        peer = min(_bare(path) for _ in range(_TIMES))
    return Figure(
        name="audit-verify",
        unit="s",
        ours=ours,
        peer=peer,
        ratio=ours / _BUDGET,
        limit=1.0,
        budget=f"{_BUDGET:g} s for {_ENTRIES:,} entries".replace(",", " "),
    )


async def fill_ledger(path: Path) -> None:
    """Make a database whose ledger has 100,000 entries."""
    rows: list[tuple[SqlValue, ...]] = []
    previous = ledger.GENESIS
    for seq in range(1, _ENTRIES + 1):
        detail = json.dumps({"reason": f"reviewed {seq}", "ticket": f"CHG{seq:07}"}, separators=(",", ":"))
        values: dict[str, Any] = {
            "seq": seq, "at": f"2026-11-20T12:{seq // 60 % 60:02}:{seq % 60:02}.000000Z", "actor": "robin",
            "actor_source": "cluster", "action": "evidence.collect",
            "object": f"host/repository{seq % 500}@sha256:{seq:064x}",
            "outcome": "done", "detail": detail, "previous": previous,
        }  # fmt: skip
        previous = ledger.entry_hash(**values)
        rows.append((*values.values(), previous))
    database = await Database.open(path, clock=SystemClock())
    try:
        async with database.transaction() as transaction:
            await transaction.execute_many(
                f"INSERT INTO ledger ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
            )
    finally:
        await database.close()


async def _verified(path: Path) -> float:
    database = await Database.open(path, clock=SystemClock())
    try:
        began = time.perf_counter()
        found = await verify(database)
        took = time.perf_counter() - began
    finally:
        await database.close()
    if not found.intact or found.entries != _ENTRIES:
        raise RuntimeError(f"the ledger was not verified: {found}")
    return took


def _bare(path: Path) -> float:
    began = time.perf_counter()
    connection = sqlite3.connect(path)
    names = _COLUMNS.split(", ")
    for row in connection.execute(f"SELECT {_COLUMNS} FROM ledger ORDER BY seq"):
        entry = dict(zip(names, row, strict=True))
        stored = entry.pop("hash")
        text = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        if f"sha256:{hashlib.sha256(text.encode()).hexdigest()}" != stored:
            raise RuntimeError("the bare loop computes another hash")
    connection.close()
    return time.perf_counter() - began
