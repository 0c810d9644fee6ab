"""Cold starts that were seen, kept for estimates of later ones."""

from __future__ import annotations

from typing import Final

from backend.core.ports import instant, timestamp
from backend.serving.starts import Start
from backend.store.connection import Database, Transaction

#: Starts that are kept of each image on each type of GPU.
KEPT: Final = 20
_COLUMNS: Final = "pod, digest, gpu_type, service, loaded_at, scheduled, pulled, weights, total"


async def keep(transaction: Transaction, start: Start) -> bool:
    """Keep a start unless it is kept already, and forget the oldest of its image; whether it is new."""
    inserted = await transaction.execute(
        f"INSERT OR IGNORE INTO cold_start ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
        (
            start.pod, start.digest, start.gpu_type, start.service, timestamp(start.loaded_at), start.scheduled,
            start.pulled, start.weights, start.total,
        ),
    )  # fmt: skip
    if inserted:
        await transaction.execute(
            "DELETE FROM cold_start WHERE digest = ?1 AND gpu_type = ?2 AND pod NOT IN (SELECT pod FROM cold_start"
            " WHERE digest = ?1 AND gpu_type = ?2 ORDER BY loaded_at DESC LIMIT ?3)",
            (start.digest, start.gpu_type, KEPT),
        )
    return inserted == 1


async def kept(database: Database) -> list[Start]:
    """All starts, the oldest first."""
    rows = await database.fetch_all(f"SELECT {_COLUMNS} FROM cold_start ORDER BY loaded_at, pod")  # noqa: S608 - constants
    return [
        Start(
            pod=str(row[0]),
            digest=str(row[1]),
            gpu_type=str(row[2]),
            service=str(row[3]),
            loaded_at=instant(str(row[4])),
            scheduled=row[5],
            pulled=row[6],
            weights=row[7],
            total=float(row[8]),
        )
        for row in rows
    ]
