"""Importing a large vulnerability report, beside the least that any import has to do."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

from backend.core.ports import RandomIds, SystemClock
from backend.curation import store
from backend.evidence.handed_in import read_handed_in
from backend.store.connection import Database
from tests.benchmarks.harness import Figure, best_of
from tests.fakes.curation import DIGEST, image, permit, person, trivy_report, vulnerability

_FINDINGS = 5_000
_BUDGET_SECONDS = 0.3
_RUNS = 5


def evidence_import() -> Figure:
    """Seconds to read a Trivy report of 5,000 findings from its file and to record it, a candidate's hash and the
    ledger's entry included; the peer decodes the same file with `json` and inserts its findings with `sqlite3`."""
    severities = ("CRITICAL", "HIGH", "MEDIUM", "LOW")
    document = trivy_report(
        *(
            vulnerability(f"CVE-2026-{number:05}", severities[number % 4], f"package-{number % 700}")
            for number in range(_FINDINGS)
        )
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trivy.json"
        path.write_text(json.dumps(document))
        ours = best_of(_RUNS, lambda: asyncio.run(_imported(path)))
        peer = best_of(_RUNS, lambda: _bare(path))
    return Figure(
        name="evidence-import",
        unit="s",
        ours=ours,
        peer=peer,
        ratio=ours / _BUDGET_SECONDS,
        limit=1.0,
        budget="0.3 s for 5,000 findings, or twice the peer",
        also_holds=ours <= 2 * peer,
    )


async def _imported(path: Path) -> float:
    clock, ids = SystemClock(), RandomIds()
    actor = person("mira")
    with tempfile.TemporaryDirectory() as folder:
        database = await Database.open(Path(folder) / "yard" / "modelyard.db", clock=clock)
        try:
            async with database.transaction() as transaction:
                await store.submit(transaction, image(), actor=actor, at=clock.now())
            started = time.perf_counter()
            records = await asyncio.to_thread(
                read_handed_in, path, digest=DIGEST, by=actor.name, ids=ids, at=clock.now()
            )
            async with database.transaction() as transaction:
                leave = permit("evidence.import", actor)
                await store.import_evidence(transaction, leave, image(), records, at=clock.now())
            return time.perf_counter() - started
        finally:
            await database.close()


def _bare(path: Path) -> float:
    with tempfile.TemporaryDirectory() as folder, closing(sqlite3.connect(Path(folder) / "x.db")) as connection:
        connection.execute("CREATE TABLE finding (position INTEGER PRIMARY KEY, id, severity, package, version, title)")
        started = time.perf_counter()
        found = json.loads(path.read_bytes())["Results"][0]["Vulnerabilities"]
        connection.executemany(
            "INSERT INTO finding VALUES (?, ?, ?, ?, ?, ?)",
            [
                (at, one["VulnerabilityID"], one["Severity"], one["PkgName"], one["InstalledVersion"], one["Title"])
                for at, one in enumerate(found)
            ],
        )
        connection.commit()
        return time.perf_counter() - started
