"""Evidence in the database: recorded once, superseded and never rewritten."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

import msgspec

from backend.core.canonical import canonical_json
from backend.core.errors import StoreDamagedError
from backend.core.ports import instant, timestamp
from backend.evidence.records import UNCHECKED, EvidenceKind, EvidenceRecord, Finding, Origin, Package, content_hash
from backend.store.connection import SqlValue, Transaction

_COLUMNS: Final = (
    "id, digest, kind, origin, state, summary, source, asserted_by, key, measured_at, collected_at, database_at,"
    " payload"
)
_SUMMARIES: Final = msgspec.json.Decoder(tuple[EvidenceRecord, ...])
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
    return await _replace(transaction, record.digest, [record], {_slot(record)})


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
    kinds = [EvidenceKind.SIGNATURE, EvidenceKind.VULNERABILITIES, EvidenceKind.SBOM, EvidenceKind.LICENCE]
    slots = {(kind.value, Origin.REGISTRY.value, "") for kind in kinds}
    slots |= {(kind.value, Origin.IMAGE.value, "") for kind in (EvidenceKind.LICENCE, EvidenceKind.WEIGHTS)}
    return await _replace(transaction, digest, records, slots)


async def of_digest(reader: Reader, digest: str) -> list[EvidenceRecord]:
    """All evidence in force on a digest, with findings and packages, in the order of recording."""
    rows = await reader.fetch_all(
        f"SELECT {_COLUMNS} FROM evidence WHERE digest = ? AND superseded_at IS NULL ORDER BY rowid",  # noqa: S608 - the columns are a constant of this module
        (digest,),
    )
    findings: dict[str, list[Finding]] = {}
    packages: dict[str, list[Package]] = {}
    for row in await reader.fetch_all(
        "SELECT evidence, id, severity, package, version, fixed, title, purl FROM evidence_finding WHERE evidence IN"
        " (SELECT id FROM evidence WHERE digest = ? AND superseded_at IS NULL) ORDER BY evidence, position",
        (digest,),
    ):
        columns = dict(row)
        findings.setdefault(columns.pop("evidence"), []).append(Finding(**columns))
    for row in await reader.fetch_all(
        "SELECT evidence, name, version, purl, licence FROM evidence_package WHERE evidence IN"
        " (SELECT id FROM evidence WHERE digest = ? AND superseded_at IS NULL) ORDER BY evidence, position",
        (digest,),
    ):
        columns = dict(row)
        packages.setdefault(columns.pop("evidence"), []).append(Package(**columns))
    return [_record(row, tuple(findings.get(row["id"], ())), tuple(packages.get(row["id"], ()))) for row in rows]


async def summaries_of(reader: Reader, digest: str) -> dict[str, EvidenceRecord]:
    """All evidence in force on a digest by content hash, in the order of recording, without findings and packages."""
    rows = await reader.fetch_all(
        f"SELECT {_COLUMNS}, content_hash FROM evidence WHERE digest = ?"  # noqa: S608 - the columns are a constant of this module
        " AND superseded_at IS NULL ORDER BY rowid",
        (digest,),
    )
    return {row["content_hash"]: _record(row[:-1], (), ()) for row in rows}


def encode_summaries(records: Iterable[EvidenceRecord]) -> str:
    """What gates look at of some evidence, as JSON, to be kept beside its image and read at once."""
    bare = [
        msgspec.structs.replace(record, findings=(), packages=())
        for record in records
        if record.kind is not EvidenceKind.SBOM
    ]
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
    asked = (canonical_json(list(ids)).decode(),)
    chosen = "IN (SELECT value FROM json_each(?))"
    findings: dict[str, list[Finding]] = {}
    packages: dict[str, list[Package]] = {}
    for row in await reader.fetch_all(
        "SELECT evidence, id, severity, package, version, fixed, title, purl FROM evidence_finding"  # noqa: S608 - constants
        f" WHERE evidence {chosen} ORDER BY evidence, position",
        asked,
    ):
        columns = dict(row)
        findings.setdefault(columns.pop("evidence"), []).append(Finding(**columns))
    for row in await reader.fetch_all(
        "SELECT evidence, name, version, purl, licence FROM evidence_package"  # noqa: S608 - constants
        f" WHERE evidence {chosen} ORDER BY evidence, position",
        asked,
    ):
        columns = dict(row)
        packages.setdefault(columns.pop("evidence"), []).append(Package(**columns))
    rows = await reader.fetch_all(f"SELECT {_COLUMNS} FROM evidence WHERE id {chosen} ORDER BY rowid", asked)  # noqa: S608 - constants
    return [_record(row, tuple(findings.get(row["id"], ())), tuple(packages.get(row["id"], ()))) for row in rows]


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


_Slot = tuple[str, str, str]


def _slot(record: EvidenceRecord) -> _Slot:
    return record.kind.value, record.origin.value, record.asserted_by


def _slot_of(row: sqlite3.Row) -> _Slot:
    return row["kind"], row["origin"], row["asserted_by"]


async def _replace(transaction: Transaction, digest: str, records: Sequence[EvidenceRecord], slots: set[_Slot]) -> bool:
    if not records:
        return False
    rows = await transaction.fetch_all(
        "SELECT id, kind, origin, asserted_by, state, content_hash FROM evidence"
        " WHERE digest = ? AND superseded_at IS NULL",
        (digest,),
    )
    known = [row for row in rows if _slot_of(row) in slots]
    answered = {_slot(record) for record in records if record.state != UNCHECKED}
    unread = {_slot(record) for record in records} - answered
    kept = {row["id"] for row in known if _slot_of(row) in unread and row["state"] != UNCHECKED}
    answered |= {_slot_of(row) for row in known if row["id"] in kept}
    wanted = {
        content_hash(record): record for record in records if record.state != UNCHECKED or _slot(record) not in answered
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
        (record.id, position, package.name, package.version, package.purl, package.licence)
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
            "INSERT INTO evidence_package (evidence, position, name, version, purl, licence) VALUES (?, ?, ?, ?, ?, ?)",
            packages,
        )


def _record(row: Sequence[Any], findings: tuple[Finding, ...], packages: tuple[Package, ...]) -> EvidenceRecord:
    (
        id_, digest, kind, origin, state, summary, source, asserted_by, key, measured, collected, database, payload,
    ) = row  # fmt: skip
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
    )


def _time(value: datetime | None) -> str | None:
    return timestamp(value) if value else None
