"""VEX as an overlay on reports: what somebody says of a finding stands beside it, and takes nothing away. Pure.

Whether a statement counts is policy's: a gate asks `excused` with the keys that it trusts, and by default an unsigned
statement excuses nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from backend.evidence.purls import covers
from backend.evidence.records import EvidenceKind, EvidenceRecord, Finding, VexStatement
from backend.evidence.vex_documents import AFFECTED, FIXED, NOT_AFFECTED

_WORDS: Final = {"not_affected": "not affected", "under_investigation": "under investigation"}
_EXCUSES: Final = frozenset({NOT_AFFECTED, FIXED})


class Overlay:
    """All VEX in force on an image, by vulnerability."""

    def __init__(self, records: Iterable[EvidenceRecord]) -> None:
        """
        Args:
            records: evidence on one digest; those of other kinds are left alone.
        """
        self._said: dict[str, list[tuple[EvidenceRecord, VexStatement]]] = defaultdict(list)
        for record in records:
            if record.kind is EvidenceKind.VEX:
                for statement in record.statements:
                    for name in (statement.vulnerability, *statement.aliases):
                        self._said[name].append((record, statement))

    @property
    def vulnerabilities(self) -> frozenset[str]:
        """The identifiers that anything is said of."""
        return frozenset(self._said)

    def on(self, finding: Finding) -> list[tuple[EvidenceRecord, VexStatement]]:
        """What each record says of a finding: its latest statement that is about the finding's package."""
        latest: dict[str, tuple[EvidenceRecord, VexStatement]] = {}
        for record, statement in self._said.get(finding.id, ()):
            if not _is_about(statement, finding):
                continue
            known = latest.get(record.id)
            if known is None or _time(statement) >= _time(known[1]):
                latest[record.id] = (record, statement)
        return list(latest.values())

    def laid_on(self, report: EvidenceRecord, findings: Sequence[Finding]) -> EvidenceRecord:
        """A report with what is said of its findings.

        Args:
            report: of vulnerabilities.
            findings: of it, at least those that something is said of; where the report has its own loaded, they are
                marked too.
        """
        counted: Counter[tuple[str, str, tuple[tuple[str, str, str], ...]]] = Counter()
        texts: dict[tuple[str, str], str] = {}
        for finding in findings:
            said = self.on(finding)
            if not said:
                continue
            texts[finding.key] = "; ".join(_text(record, statement) for record, statement in said)
            who = tuple(sorted((record.id, record.key, statement.status) for record, statement in said))
            counted[finding.id, finding.severity, who] += 1
        if not counted:
            return report
        entries = [
            {
                "id": id_,
                "severity": severity,
                "count": count,
                "said": [{"by": by, "key": key, "status": status} for by, key, status in who],
            }
            for (id_, severity, who), count in sorted(counted.items())
        ]
        return msgspec.structs.replace(
            report,
            payload={**report.payload, "vex": entries},
            findings=tuple(
                msgspec.structs.replace(finding, vex=texts[finding.key]) if finding.key in texts else finding
                for finding in report.findings
            ),
        )


def overlaid(records: Sequence[EvidenceRecord]) -> list[EvidenceRecord]:
    """Evidence on one digest, loaded in full, with VEX laid on its reports."""
    overlay = Overlay(records)
    if not overlay.vulnerabilities:
        return list(records)
    return [
        overlay.laid_on(record, record.findings) if record.kind is EvidenceKind.VULNERABILITIES else record
        for record in records
    ]


def excused(
    payload: Mapping[str, Any], trusted: Container[str], waived: Container[str] = (), *, unsigned: bool = False
) -> dict[str, int]:
    """How many findings of a report need not be minded, by severity, for what VEX says of them.

    A finding is excused when somebody trusted says that the image is not affected or that it is fixed, and nobody
    trusted says that it is affected.

    Args:
        payload: of the report.
        trusted: fingerprints of keys whose statements count.
        waived: identifiers that are waived already, and are not counted again.
        unsigned: what nobody signed counts too.
    """
    found: Counter[str] = Counter()
    for entry in payload.get("vex", ()):
        if entry["id"] in waived:
            continue
        statuses = {each["status"] for each in entry["said"] if each["key"] in trusted or unsigned}
        if statuses & _EXCUSES and AFFECTED not in statuses:
            found[entry["severity"]] += entry["count"]
    return dict(found)


def _is_about(statement: VexStatement, finding: Finding) -> bool:
    return not statement.packages or any(covers(pattern, finding.purl) for pattern in statement.packages)


def _text(record: EvidenceRecord, statement: VexStatement) -> str:
    why = statement.justification.replace("_", " ") or statement.detail
    status = _WORDS.get(statement.status, statement.status)
    return f"{status}{f' ({why})' if why else ''}, by {record.source}"


def _time(statement: VexStatement) -> float:
    return statement.at.timestamp() if statement.at else 0.0
