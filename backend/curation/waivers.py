"""Waivers: a finding that somebody answers for, until a date. Pure.

A waiver is of one vulnerability on one digest. When it lapses the finding counts again and the gate closes by itself;
an approval that needed the waiver ends with it (`backend.curation.passing`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta

import msgspec

from backend.core.errors import NotFoundError, UsageError
from backend.core.ports import instant
from backend.core.views import WaiverView
from backend.evidence.records import EvidenceRecord, count_severities


class Waiver(msgspec.Struct, frozen=True, kw_only=True):
    """A waiver as granted.

    Attributes:
        owner: who answers for the risk. actor: who granted it.
        control: what is done about the risk meanwhile.
        until: when it lapses.
        seen_ended: its end was seen, whatever the clock says now.
    """

    seq: int
    id: str
    digest: str
    finding: str
    owner: str
    actor: str
    reason: str
    until: datetime
    at: datetime
    control: str = ""
    seen_ended: bool = False

    def has_lapsed(self, now: datetime) -> bool:
        """Whether it ended: by the clock, or because that was seen before the clock was set back."""
        return self.seen_ended or now >= self.until

    def view(self, now: datetime) -> WaiverView:
        """The waiver as it is shown."""
        return WaiverView(
            id=self.id,
            digest=self.digest,
            finding=self.finding,
            owner=self.owner,
            actor=self.actor,
            reason=self.reason,
            control=self.control,
            at=self.at,
            until=self.until,
            lapsed=self.has_lapsed(now),
        )


def parse_until(text: str) -> datetime:
    """When a waiver lapses: a date counts to its end in UTC, an RFC 3339 time as it is.

    Raises:
        UsageError: it is neither.
    """
    try:
        if len(text) == len("2026-01-31"):
            return datetime.combine(date.fromisoformat(text) + timedelta(days=1), time(), tzinfo=UTC)
        return instant(text)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"date {text[:40]!r}", "it is no date", "write it as 2026-01-31 or 2026-01-31T12:00:00Z"
        ) from error


def in_force(waivers: Iterable[Waiver], now: datetime) -> dict[str, Waiver]:
    """The waivers of one digest that hold now, by finding; a later one on a finding replaces the earlier."""
    latest: dict[str, Waiver] = {}
    for waiver in sorted(waivers, key=lambda each: each.seq):
        latest[waiver.finding] = waiver
    return {finding: waiver for finding, waiver in latest.items() if not waiver.has_lapsed(now)}


def waived_counts(evidence: Iterable[EvidenceRecord], waivers: Mapping[str, Waiver]) -> dict[str, dict[str, int]]:
    """How many findings of each report are waived, by severity.

    Args:
        evidence: with findings loaded.
        waivers: in force, by finding.
    """
    return {
        record.id: count_severities(finding for finding in record.findings if finding.id in waivers)
        for record in evidence
        if waivers and record.findings
    }


def check_waiver(
    *,
    finding: str,
    owner: str,
    reason: str,
    until: datetime,
    now: datetime,
    longest: timedelta,
    evidence: Sequence[EvidenceRecord],
    control: str = "",
    control_needed: bool = False,
) -> None:
    """Make sure that a waiver may be granted.

    Args:
        finding: identifier of a vulnerability.
        evidence: in force on the digest, with findings.
        longest: how far ahead policy lets a waiver end.
        control: what is done about the risk meanwhile; `control_needed`: policy asks for it.

    Raises:
        UsageError: it lacks an owner or a reason, or ends in the past or too far ahead.
        NotFoundError: no report in force on the digest has the finding.
    """
    what = f"waiver of {finding[:80]}"
    if not reason.strip() or not owner.strip():
        raise UsageError(what, "it needs an owner and a reason", "give both: they are what a reviewer will ask for")
    if control_needed and not control.strip():
        raise UsageError(what, "policy asks for a compensating control", "say what is done about the risk: --control")
    if until <= now:
        raise UsageError(what, "it would end in the past", "give a date ahead of today")
    if until - now > longest:
        raise UsageError(
            what, f"it would end more than {longest.days} days ahead, which policy does not allow", "give a nearer date"
        )
    if not any(each.id == finding for record in evidence for each in record.findings):
        raise NotFoundError(what, "no report on this image has that finding", "check it with modelyard evidence list")
