"""Curation with thousands of candidates: judging them, opening the queue, and the ledger's append."""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from backend.config import load_configuration
from backend.core.actors import WORKER
from backend.core.ports import RandomIds, SystemClock
from backend.curation import assessments, gates, store
from backend.curation.config import PolicyConfig
from backend.curation.policy import Policy, load_policy
from backend.evidence.facts import ImageFacts
from backend.evidence.records import EvidenceKind, EvidenceRecord, Finding, Origin, count_severities
from backend.library.facts import all_facts
from backend.store import ledger
from backend.store.connection import Database
from backend.yard import Yard, YardOptions
from tests.benchmarks.audit import fill_ledger
from tests.benchmarks.harness import Figure, best_of
from tests.benchmarks.setting import home

_WAITING: Final = 5000
_JUDGED: Final = 10_000
_QUEUE_BUDGET: Final = 0.2
_JUDGE_BUDGET: Final = 5.0
_APPEND_BUDGET: Final = 0.005
#: Where the disk itself takes longer than the budget, what we add to it is what counts.
_APPEND_PEERS: Final = 3.0
_APPENDS: Final = 400
_GATES: Final[tuple[dict[str, Any], ...]] = (
    {"kind": "vulnerabilities", "max_critical": 0, "max_high": 5, "max_age": "30d", "accept_unsigned": True},
    {"kind": "vulnerabilities", "max_high": 0, "effect": "warn"},
    {"kind": "licence", "allow": ["Apache-2.0", "MIT"], "accept_unsigned": True},
    {"kind": "sbom", "accept_unsigned": True, "max_age": "90d"},
    {"kind": "weights"},
    {"kind": "benchmark", "metric": "ttft_p95", "max": 800, "accept_unsigned": True, "effect": "warn"},
    {
        "kind": "compliance",
        "labels": {"org.example.owner": "*"},
        "max_size": "40GB",
        "non_root": True,
        "ports": ["8000"],
    },
    {"kind": "compliance", "provenance": True, "model_card": True, "effect": "warn"},
)


def evaluate_10k() -> Figure:
    """Judging 10,000 candidates against 8 gates, on one core."""
    policy = _policy()
    now = SystemClock().now()
    candidates = [(_facts(number), _evidence(number)) for number in range(_JUDGED)]

    def judged() -> float:
        began = time.perf_counter()
        for facts, evidence in candidates:
            assessments.assess(policy, facts, evidence, now, waived={}, waivers={})
        return time.perf_counter() - began

    assert len(gates.evaluate(policy, *candidates[0], now)) == len(_GATES)
    ours = best_of(3, judged)
    return Figure(
        name="evaluate-10k", unit="s", ours=ours, peer=None, ratio=ours / _JUDGE_BUDGET, limit=1.0,
        budget=f"{_JUDGE_BUDGET:g} s",
    )  # fmt: skip


def queue_5k() -> Figure:
    """Opening the queue with 5,000 waiting, in a library of 10,000 entries that a worker judged."""
    with home() as place:
        place.fill_library()
        ours = asyncio.run(_opened(place.folder))
    return Figure(
        name="queue-5k", unit="s", ours=ours, peer=None, ratio=ours / _QUEUE_BUDGET, limit=1.0,
        budget=f"{1000 * _QUEUE_BUDGET:g} ms",
    )  # fmt: skip


async def _opened(folder: Path) -> float:
    configuration = await asyncio.to_thread(load_configuration, folder / "config" / "modelyard" / "config.toml")
    path = folder / "data" / "modelyard" / "modelyard.db"
    await _submit(path)
    yard = await Yard.open(configuration, YardOptions(database=path))
    try:
        await yard.policy.keep()
        return await _best(5, yard.queue.candidates)
    finally:
        await yard.close()


async def _submit(path: Path) -> None:
    database = await Database.open(path, clock=SystemClock())
    now, ids = SystemClock().now(), RandomIds()
    try:
        facts = list((await all_facts(database)).values())[:_WAITING]
        async with database.transaction() as transaction:
            for number, each in enumerate(facts):
                await store.submit(transaction, each, actor=WORKER, at=now, rule="all")
                records = _evidence(number, each.digest, id_prefix=ids.new_id())
                await store.record_evidence(transaction, each, records, actor=WORKER, at=now)
    finally:
        await database.close()


async def _best(times: int, work: Callable[[], Awaitable[list[Any]]]) -> float:
    found = []
    for _ in range(times):
        began = time.perf_counter()
        views = await work()
        found.append(time.perf_counter() - began)
        if len(views) != _WAITING:
            raise RuntimeError(f"the queue has {len(views)} candidates")
    return min(found)


def ledger_append() -> Figure:
    """Appending to a ledger of 100,000 entries, p95, beside a bare insert into a table of one column."""
    with tempfile.TemporaryDirectory(prefix="modelyard-benchmark-") as folder:
        path = Path(folder) / "modelyard.db"
        asyncio.run(fill_ledger(path))
        ours = asyncio.run(_appended(path))
        peer = _inserted(path)
    return Figure(
        name="ledger-append", unit="s", ours=ours, peer=peer, ratio=ours / _APPEND_BUDGET, limit=1.0,
        budget=f"{1000 * _APPEND_BUDGET:g} ms p95, or {_APPEND_PEERS:g} times the bare insert",
        also_holds=ours <= _APPEND_PEERS * peer,
    )  # fmt: skip


async def _appended(path: Path) -> float:
    clock = SystemClock()
    database = await Database.open(path, clock=clock)
    took = []
    try:
        for number in range(_APPENDS):
            began = time.perf_counter()
            async with database.transaction() as transaction:
                await ledger.append(
                    transaction, at=clock.now(), actor=WORKER, action="queue.approve", object=f"image {number}",
                    outcome="done", detail={"reason": "reviewed", "ticket": f"CHG{number:07}"},
                )  # fmt: skip
            took.append(time.perf_counter() - began)
    finally:
        await database.close()
    return statistics.quantiles(took, n=20)[-1]


def _inserted(path: Path) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE bare (text TEXT NOT NULL) STRICT")
    took = []
    for number in range(_APPENDS):
        began = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO bare (text) VALUES (?)", (f"entry {number}" * 30,))
        connection.execute("COMMIT")
        took.append(time.perf_counter() - began)
    connection.close()
    return statistics.quantiles(took, n=20)[-1]


def _policy() -> Policy:
    return load_policy(PolicyConfig.model_validate({"approvals": 2, "gate": list(_GATES)}), (), Path())


def _facts(number: int) -> ImageFacts:
    return ImageFacts(
        digest=f"sha256:{number:064x}", registry="bench", host="registry.invalid", repository=f"models/{number % 200}",
        tags=("1.0.0",), rules=("all",), kind="image", type="chat", framework="nim", size=4_000_000_000,
    )  # fmt: skip


def _evidence(number: int, digest: str = "", id_prefix: str = "") -> list[EvidenceRecord]:
    """As a collection finds it: a report of some findings, an SBOM with its licences, what the manifest tells."""
    measured = SystemClock().now() - timedelta(days=number % 40, hours=number % 24)
    severities = ("critical", "high", "medium", "low", "low")
    findings = tuple(
        Finding(id=f"CVE-2026-{number % 97}{position}", severity=severities[(number + position) % 5], package="openssl")
        for position in range(number % 6)
    )
    licence = {"declared": [{"expression": "Apache-2.0", "tree": ["Apache-2.0"], "recognised": True, "count": 1}]}
    told: list[tuple[EvidenceKind, Origin, str, dict[str, Any]]] = [
        (EvidenceKind.SBOM, Origin.REGISTRY, "read", {"packages": 400, "format": "CycloneDX 1.6"}),
        (EvidenceKind.LICENCE, Origin.REGISTRY, "read", licence),
        (EvidenceKind.WEIGHTS, Origin.IMAGE, "fixed" if number % 3 else "not fixed", {"fixed_by": "image"}),
        (
            EvidenceKind.COMPLIANCE, Origin.IMAGE, "read",
            {"labels": {"org.example.owner": "platform"}, "size": 4_000_000_000, "root": False, "ports": ["8000/tcp"]},
        ),
        (
            EvidenceKind.BENCHMARK, Origin.REGISTRY, "read",
            {"results": [{"name": "ttft_p95", "value": 600 + number % 400, "unit": "ms", "hardware": "H200"}]},
        ),
        (EvidenceKind.MODEL_CARD, Origin.IMAGE, "none", {}),
    ]  # fmt: skip
    payload = {"counts": count_severities(findings), "targets": 1}
    told.append((EvidenceKind.VULNERABILITIES, Origin.REGISTRY, "read", payload))
    return [
        EvidenceRecord(
            id=f"{id_prefix}{position}", digest=digest or f"sha256:{number:064x}", kind=kind, origin=origin,
            state=state, summary=f"{kind.value} {state}", source="a tool", measured_at=measured, collected_at=measured,
            payload=given, findings=findings if kind is EvidenceKind.VULNERABILITIES else (),
        )
        for position, (kind, origin, state, given) in enumerate(told)
    ]  # fmt: skip
