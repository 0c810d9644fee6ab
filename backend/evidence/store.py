"""Evidence in the database: recorded once, superseded and never rewritten."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

import msgspec

from backend.core.canonical import canonical_json
from backend.core.errors import StoreDamagedError
from backend.core.ports import instant, timestamp
from backend.evidence.records import (
    UNCHECKED,
    EvidenceKind,
    EvidenceRecord,
    Finding,
    Origin,
    Package,
    VexStatement,
    apart,
    content_hash,
)
from backend.evidence.vex import Overlay, overlaid
from backend.store.connection import SqlValue, Transaction

_COLUMNS: Final = (
    "id, digest, kind, origin, state, summary, source, asserted_by, key, measured_at, collected_at, database_at,"
    " payload"
)
_SUMMARIES: Final = msgspec.json.Decoder(tuple[EvidenceRecord, ...])
_COLUMN_COUNT: Final = _COLUMNS.count(",") + 1
_FINDING_COLUMNS: Final = "id, severity, package, version, fixed, title, purl"
#: What a collection finds anew each time; the rest people hand in.
_COLLECTED: Final = frozenset({Origin.REGISTRY.value, Origin.IMAGE.value})
_TEXTS: Final = msgspec.json.Decoder(tuple[str, ...])
_PAYLOAD: Final = msgspec.json.Decoder(dict[str, object])


class Reader(Protocol):
    """What can be queried: a database or a transaction."""

    async def fetch_all(self, sql: str, parameters: Sequence[SqlValue] = ()) -> list[sqlite3.Row]:
        """All rows of a query."""


class StoredEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """Identity of a piece of evidence in force, and what it says in a line."""

    id: str
    kind: str
    origin: str
    state: str
    summary: str
    asserted_by: str
    content_hash: str


async def record(transaction: Transaction, record: EvidenceRecord) -> bool:
    """Record one piece of evidence in place of those of its kind, origin and author on the digest.

    Evidence that says the same as what is in force only has its time moved; so does none that could not be checked
    where something is known: a registry that is away for an hour takes nothing back.

    Returns:
        whether it says something new.

    Raises:
        StoreError: of its kind.
    """
    return await _replace(transaction, record.digest, [record], lambda slot: slot == _slot(record))


async def record_collected(transaction: Transaction, digest: str, records: Sequence[EvidenceRecord]) -> bool:
    """Record all that one collection found, in place of all that earlier ones did; what people handed in stays.

    Args:
        digest: that all records are about.
        records: as `collect` returns them.

    Returns:
        whether anything new is said, or anything that was there is gone.

    Raises:
        StoreError: of its kind.
    """
    return await _replace(transaction, digest, records, lambda slot: slot[1] in _COLLECTED)


async def of_digest(reader: Reader, digest: str) -> list[EvidenceRecord]:
    """All evidence in force on a digest, with findings and packages, in the order of recording."""
    rows = await reader.fetch_all(
        f"SELECT {_COLUMNS} FROM evidence WHERE digest = ? AND superseded_at IS NULL ORDER BY rowid",  # noqa: S608 - the columns are a constant of this module
        (digest,),
    )
    return overlaid(await _whole(reader, rows))


async def _whole(reader: Reader, rows: Sequence[sqlite3.Row]) -> list[EvidenceRecord]:
    """Records with their findings, packages and statements."""
    asked = (canonical_json([row["id"] for row in rows]).decode(),)
    chosen = "WHERE evidence IN (SELECT value FROM json_each(?)) ORDER BY evidence, position"
    findings: dict[str, list[Finding]] = defaultdict(list)
    packages: dict[str, list[Package]] = defaultdict(list)
    for evidence, *told in await reader.fetch_all(
        f"SELECT evidence, {_FINDING_COLUMNS} FROM evidence_finding {chosen}",  # noqa: S608 - constants of this module
        asked,
    ):
        findings[evidence].append(_finding(told))
    for row in await reader.fetch_all(
        f"SELECT evidence, name, version, purl, licence, origin FROM evidence_package {chosen}",  # noqa: S608 - as above
        asked,
    ):
        packages[row[0]].append(Package(name=row[1], version=row[2], purl=row[3], licence=row[4], origin=row[5]))
    statements = await _statements(reader, rows)
    return [
        _record(
            row,
            findings=tuple(findings.get(row["id"], ())),
            packages=tuple(packages.get(row["id"], ())),
            statements=tuple(statements.get(row["id"], ())),
        )
        for row in rows
    ]


async def _statements(reader: Reader, rows: Iterable[sqlite3.Row]) -> dict[str, list[VexStatement]]:
    asked = [row["id"] for row in rows if row["kind"] == EvidenceKind.VEX.value]
    found: dict[str, list[VexStatement]] = defaultdict(list)
    if not asked:
        return found
    for row in await reader.fetch_all(
        "SELECT evidence, vulnerability, aliases, status, justification, detail, at, packages FROM evidence_vex"
        " WHERE evidence IN (SELECT value FROM json_each(?)) ORDER BY evidence, position",
        (canonical_json(asked).decode(),),
    ):
        found[row["evidence"]].append(
            VexStatement(
                vulnerability=row["vulnerability"],
                aliases=_TEXTS.decode(row["aliases"]),
                status=row["status"],
                justification=row["justification"],
                detail=row["detail"],
                at=instant(row["at"]) if row["at"] else None,
                packages=_TEXTS.decode(row["packages"]),
            )
        )
    return found


async def summaries_of(reader: Reader, digest: str) -> dict[str, EvidenceRecord]:
    """All evidence in force on a digest by content hash, in the order of recording, without findings and packages."""
    rows = await reader.fetch_all(
        f"SELECT {_COLUMNS}, content_hash FROM evidence WHERE digest = ?"  # noqa: S608 - the columns are a constant of this module
        " AND superseded_at IS NULL ORDER BY rowid",
        (digest,),
    )
    statements = await _statements(reader, rows)
    found = {row["content_hash"]: _record(row, statements=tuple(statements.get(row["id"], ()))) for row in rows}
    overlay = Overlay(found.values())
    if not overlay.vulnerabilities:
        return found
    spoken_of = await _findings_named(reader, digest, overlay.vulnerabilities)
    return {content: overlay.laid_on(record, spoken_of.get(record.id, ())) for content, record in found.items()}


async def _findings_named(reader: Reader, digest: str, names: Iterable[str]) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = defaultdict(list)
    for evidence, *told in await reader.fetch_all(
        "SELECT f.evidence, f.id, f.severity, f.package, f.version, f.fixed, f.title, f.purl"
        " FROM evidence AS e JOIN evidence_finding AS f ON f.evidence = e.id"
        " WHERE e.digest = ? AND e.superseded_at IS NULL AND f.id IN (SELECT value FROM json_each(?))",
        (digest, canonical_json(sorted(names)).decode()),
    ):
        found[evidence].append(_finding(told))
    return found


def encode_summaries(records: Iterable[EvidenceRecord]) -> str:
    """What gates look at of some evidence, as JSON, to be kept beside its image and read at once."""
    bare = [msgspec.structs.replace(record, findings=(), packages=(), statements=()) for record in records]
    return msgspec.json.encode(bare).decode()


def decode_summaries(text: str) -> tuple[EvidenceRecord, ...]:
    """What `encode_summaries` wrote.

    Raises:
        StoreDamagedError: it is something else.
    """
    try:
        return _SUMMARIES.decode(text)
    except msgspec.DecodeError as error:
        raise StoreDamagedError(
            "evidence of a candidate", f"the database holds no summaries there ({error})", "restore a backup"
        ) from error


async def by_ids(reader: Reader, ids: Iterable[str]) -> dict[str, StoredEvidence]:
    """Identity and summary of pieces of evidence, in force or superseded."""
    rows = await reader.fetch_all(
        "SELECT id, kind, origin, state, summary, asserted_by, content_hash FROM evidence"
        " WHERE id IN (SELECT value FROM json_each(?))",
        (canonical_json(list(ids)).decode(),),
    )
    return {row["id"]: StoredEvidence(**dict(row)) for row in rows}


async def in_full(reader: Reader, ids: Iterable[str]) -> list[EvidenceRecord]:
    """Pieces of evidence, in force or superseded, with findings and packages, in the order of recording."""
    rows = await reader.fetch_all(
        f"SELECT {_COLUMNS} FROM evidence"  # noqa: S608 - the columns are a constant of this module
        " WHERE id IN (SELECT value FROM json_each(?)) ORDER BY rowid",
        (canonical_json(list(ids)).decode(),),
    )
    return await _whole(reader, rows)


async def severities_of(reader: Reader, pairs: Mapping[str, Iterable[str]]) -> dict[str, dict[str, dict[str, int]]]:
    """How often given vulnerabilities occur in reports, by severity.

    Args:
        pairs: a digest and the identifiers of vulnerabilities.

    Returns:
        by evidence, by vulnerability, by severity: how many findings.
    """
    asked = [[digest, finding] for digest, findings in pairs.items() for finding in findings]
    rows = await reader.fetch_all(
        "SELECT f.evidence, f.id, f.severity, count(*) AS findings FROM json_each(?) AS asked"
        " JOIN evidence AS e ON e.digest = json_extract(asked.value, '$[0]') AND e.superseded_at IS NULL"
        " JOIN evidence_finding AS f ON f.evidence = e.id AND f.id = json_extract(asked.value, '$[1]')"
        " GROUP BY f.evidence, f.id, f.severity",
        (canonical_json(asked).decode(),),
    )
    found: dict[str, dict[str, dict[str, int]]] = {}
    for row in rows:
        found.setdefault(row["evidence"], {}).setdefault(row["id"], {})[row["severity"]] = row["findings"]
    return found


_Slot = tuple[str, str, str, str]


def _slot(record: EvidenceRecord) -> _Slot:
    return record.kind.value, record.origin.value, record.asserted_by, apart(record.kind, record.source)


def _slot_of(row: sqlite3.Row) -> _Slot:
    return row["kind"], row["origin"], row["asserted_by"], apart(EvidenceKind(row["kind"]), row["source"])


async def _replace(
    transaction: Transaction, digest: str, records: Sequence[EvidenceRecord], belongs: Callable[[_Slot], bool]
) -> bool:
    """Put records in the place of those in force whose slot belongs to them."""
    if not records:
        return False
    rows = await transaction.fetch_all(
        "SELECT id, kind, origin, asserted_by, source, state, content_hash FROM evidence"
        " WHERE digest = ? AND superseded_at IS NULL",
        (digest,),
    )
    known = [row for row in rows if belongs(_slot_of(row))]
    answered = {_slot(record) for record in records if record.state != UNCHECKED}
    # Which of several sources could not be read is not known: all that was known of the kind stays.
    unread = {_slot(record)[:3] for record in records if record.state == UNCHECKED}
    kept = {
        row["id"]
        for row in known
        if _slot_of(row)[:3] in unread and _slot_of(row) not in answered and row["state"] != UNCHECKED
    }
    answered |= {_slot_of(row) for row in known if row["id"] in kept}
    known_kinds = {slot[:3] for slot in answered}
    wanted = {
        content_hash(record): record
        for record in records
        if record.state != UNCHECKED or _slot(record)[:3] not in known_kinds
    }
    same = {row["content_hash"]: row["id"] for row in known if row["content_hash"] in wanted}
    gone = [row["id"] for row in known if row["id"] not in kept and row["content_hash"] not in wanted]
    new = {content: record for content, record in wanted.items() if content not in same}
    at = timestamp(max(record.collected_at for record in records))
    if gone:
        await transaction.execute_many("UPDATE evidence SET superseded_at = ? WHERE id = ?", [(at, i) for i in gone])
    if same:
        await transaction.execute_many(
            "UPDATE evidence SET collected_at = ? WHERE id = ?",
            [(timestamp(wanted[content].collected_at), id_) for content, id_ in same.items()],
        )
    await _insert(transaction, new)
    return bool(gone or new)


async def _insert(transaction: Transaction, records: Mapping[str, EvidenceRecord]) -> None:
    rows = [
        (
            record.id, record.digest, record.kind.value, record.origin.value, record.state, record.summary,
            record.source, record.asserted_by, record.key, _time(record.measured_at), timestamp(record.collected_at),
            timestamp(record.collected_at), _time(record.database_at), canonical_json(record.payload).decode(), content,
        )
        for content, record in records.items()
    ]  # fmt: skip
    findings = [
        (record.id, position, f.id, f.severity, f.package, f.version, f.fixed, f.title, f.purl)
        for record in records.values()
        for position, f in enumerate(record.findings)
    ]
    packages = [
        (record.id, position, package.name, package.version, package.purl, package.licence, package.origin)
        for record in records.values()
        for position, package in enumerate(record.packages)
    ]
    if rows:
        await transaction.execute_many(
            "INSERT INTO evidence (id, digest, kind, origin, state, summary, source, asserted_by, key, measured_at,"
            " recorded_at, collected_at, database_at, payload, content_hash)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
    if findings:
        await transaction.execute_many(
            "INSERT INTO evidence_finding (evidence, position, id, severity, package, version, fixed, title, purl)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            findings,
        )
    if packages:
        await transaction.execute_many(
            "INSERT INTO evidence_package (evidence, position, name, version, purl, licence, origin)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            packages,
        )
    statements = [
        (
            record.id, position, each.vulnerability, canonical_json(list(each.aliases)).decode(), each.status,
            each.justification, each.detail, _time(each.at), canonical_json(list(each.packages)).decode(),
        )
        for record in records.values()
        for position, each in enumerate(record.statements)
    ]  # fmt: skip
    if statements:
        await transaction.execute_many(
            "INSERT INTO evidence_vex (evidence, position, vulnerability, aliases, status, justification, detail, at,"
            " packages) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            statements,
        )


def _finding(told: Sequence[Any]) -> Finding:
    id_, severity, package, version, fixed, title, purl = told
    return Finding(id=id_, severity=severity, package=package, version=version, fixed=fixed, title=title, purl=purl)


def _record(
    row: Sequence[Any],
    *,
    findings: tuple[Finding, ...] = (),
    packages: tuple[Package, ...] = (),
    statements: tuple[VexStatement, ...] = (),
) -> EvidenceRecord:
    (
        id_, digest, kind, origin, state, summary, source, asserted_by, key, measured, collected, database, payload,
    ) = row[:_COLUMN_COUNT]  # fmt: skip
    return EvidenceRecord(
        id=id_,
        digest=digest,
        kind=EvidenceKind(kind),
        origin=Origin(origin),
        state=state,
        summary=summary,
        source=source,
        asserted_by=asserted_by,
        key=key,
        measured_at=instant(measured) if measured else None,
        collected_at=instant(collected),
        database_at=instant(database) if database else None,
        payload=_PAYLOAD.decode(payload),
        findings=findings,
        packages=packages,
        statements=statements,
    )


def _time(value: datetime | None) -> str | None:
    return timestamp(value) if value else None
