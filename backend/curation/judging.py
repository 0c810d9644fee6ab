"""What all gates share: the evidence sorted by kind, what of it may pass a gate, and how ages are told. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from backend.core.settings import duration_text
from backend.core.views import EvidenceValue
from backend.curation.policy import Policy
from backend.evidence.records import INVALID, READ, UNCHECKED, EvidenceKind, EvidenceRecord, Origin

#: For a report's identifier, how many of its findings are waived now, by severity.
Waived = Mapping[str, Mapping[str, int]]

# A scanner's clock may run ahead of ours by this much; a report from further ahead was dated by somebody.
CLOCK_TOLERANCE: Final = timedelta(minutes=10)


class Judgement(NamedTuple):
    """What a gate says, and why, in a sentence."""

    value: EvidenceValue
    sentence: str


class Seen:
    """What all gates look at, sorted out once: thousands of candidates are judged at a time."""

    def __init__(
        self,
        policy: Policy,
        evidence: Sequence[EvidenceRecord],
        now: datetime,
        waived: Waived,
        waived_names: Container[str],
    ) -> None:
        """
        Args:
            waived, waived_names: findings that do not count, by report and severity, and their identifiers.
        """
        self.now = now
        self.until: datetime | None = None
        self.waived = waived
        self.waived_names = waived_names
        self.trusted = policy.fingerprints
        self.people = policy.people
        self._by_kind: dict[EvidenceKind, list[EvidenceRecord]] = {}
        for record in evidence:
            self._by_kind.setdefault(record.kind, []).append(record)

    def age(self, since: datetime) -> str:
        """How long something is ago, such as `3 days`; remembers when that will read differently."""
        seconds = max((self.now - since).total_seconds(), 0.0)
        for unit, length in (("day", 86_400), ("hour", 3_600)):
            count = int(seconds // length)
            if count:
                self.changes(since + timedelta(seconds=(count + 1) * length))
                return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
        self.changes(since + timedelta(hours=1))
        return "less than an hour"

    def is_older(self, since: datetime, max_age: timedelta) -> bool:
        """Whether something is longer ago than it may be; remembers when it will be."""
        self.changes(since + max_age + timedelta(microseconds=1))
        return self.now - since > max_age

    def is_ahead(self, measured: datetime) -> bool:
        """Whether something is dated in the future, further than clocks may differ."""
        self.changes(measured - CLOCK_TOLERANCE)
        return measured - self.now > CLOCK_TOLERANCE

    def changes(self, at: datetime) -> None:
        """Remember that what is said now holds until an instant at most."""
        if at > self.now and (self.until is None or at < self.until):
            self.until = at

    def of(self, kind: EvidenceKind) -> list[EvidenceRecord]:
        """The evidence of a kind."""
        return self._by_kind.get(kind, [])

    def one(self, kind: EvidenceKind) -> EvidenceRecord | None:
        """The evidence of a kind of which there is one at most; the last one."""
        found = self._by_kind.get(kind)
        return found[-1] if found else None

    def accepted(
        self, records: Iterable[EvidenceRecord], *, unsigned: bool, scans: bool = False
    ) -> list[EvidenceRecord]:
        """Those that may pass a gate; `scans`: what the yard's own scanner found is among them."""
        return [
            record for record in records
            if unsigned or record.origin is Origin.IMAGE or record.key in self.trusted
            or (scans and record.origin is Origin.SCANNED)
        ]  # fmt: skip


def newest_first(records: Sequence[EvidenceRecord]) -> list[EvidenceRecord]:
    """What could be read, the newest measured first."""
    read = [record for record in records if record.state == READ]
    if len(read) > 1:
        read.sort(key=_measured, reverse=True)
    return read


def _measured(record: EvidenceRecord) -> float:
    return record.measured_at.timestamp() if record.measured_at else 0.0


def why_not_read(records: Sequence[EvidenceRecord], thing: str) -> str:
    """Why none of the evidence counts, such as that there is none, or that it is unsigned."""
    for state in (READ, UNCHECKED, INVALID):
        record = next((each for each in records if each.state == state and each.origin is not Origin.IMAGE), None)
        if record is None:
            continue
        if state == READ:
            return f"the {thing} is unsigned ({record.source}), and this gate takes none unsigned"
        return record.summary if state == UNCHECKED else f"the attested {thing} does not count: {record.summary}"
    return f"no {thing}"


def too_old(
    told: str, measured: datetime | None, max_age: timedelta | None, seen: Seen, thing: str
) -> Judgement | None:
    """What a gate says of evidence that would pass, where it is too old, or of an age that nobody knows.

    Args:
        told: what it says, a clause.
        thing: what is of that age: "report".
    """
    if measured is not None and seen.is_ahead(measured):
        return Judgement(EvidenceValue.NOT_MEASURED, f"the {thing} is dated in the future; {told}")
    if max_age is None:
        return None
    allowed = f"{duration_text(max_age)} allowed"
    if measured is None:
        return Judgement(EvidenceValue.NOT_MEASURED, f"{told}; the {thing}'s age is unknown, {allowed}")
    if seen.is_older(measured, max_age):
        return Judgement(EvidenceValue.STALE, f"{told}; {thing} {seen.age(measured)} old, {allowed}")
    return None
