"""What people should be told of: candidates that wait, broken glass, approvals that end soon, alerts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from backend.core.canonical import canonical_json
from backend.core.ports import timestamp
from backend.core.text import sanitise
from backend.core.views import ImageState
from backend.curation.candidates import Candidate
from backend.curation.decisions import Decision, Standing, Verdict
from backend.curation.notify_config import NoticeKind

#: So many things are named in a notice; the rest is counted.
MOST_NAMED: Final = 20


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A thing to be told of once. `key` is what makes it the same thing after a restart; `text` is a sentence."""

    key: str
    kind: NoticeKind
    reference: str
    at: datetime
    text: str


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Things of one kind that are told of together. `body` is the JSON that targets receive."""

    id: str
    kind: NoticeKind
    at: datetime
    body: bytes
    items: tuple[str, ...]


def items(
    candidates: Iterable[Candidate], standings: Mapping[str, Standing], *, now: datetime, expiring: timedelta
) -> list[Item]:
    """Everything that is worth telling now, whether or not it was told already.

    Args:
        standings: by digest.
        expiring: how long before its end an approval is told of.
    """
    found: list[Item] = []
    for candidate in candidates:
        current = standings[candidate.digest]
        if current.is_open:
            found.append(_waiting(candidate, current))
        elif current.state is ImageState.APPROVED:
            ends = current.expires_at
            if ends is not None and now < ends <= now + expiring:
                found.append(_expiring(candidate, ends))
        found += [
            _broken(candidate, decision)
            for decision in candidate.decisions
            if decision.verdict is Verdict.BREAK_GLASS and not decision.has_ended(now)
        ]
    return found


def notices(found: Iterable[Item], told: Set[str], *, yard: str, now: datetime, new_id: Sequence[str]) -> list[Notice]:
    """A notice for each kind of which something is new.

    Args:
        told: keys of what was told already.
        new_id: as many identifiers as there are kinds.
    """
    new: dict[NoticeKind, list[Item]] = {}
    for item in found:
        if item.key not in told:
            new.setdefault(item.kind, []).append(item)
    return [
        Notice(
            id=id,
            kind=kind,
            at=now,
            body=body_of(id, kind, of_kind, yard=yard, now=now),
            items=tuple(item.key for item in of_kind),
        )
        for id, (kind, of_kind) in zip(new_id, new.items(), strict=False)
    ]


def body_of(id: str, kind: NoticeKind, told: Sequence[Item], *, yard: str, now: datetime) -> bytes:
    """What a target receives, as JSON.

    Keys: `id` (the same at every attempt), `event` (waiting, break-glass, expiring or alert), `yard`, `at` (RFC 3339,
    UTC), `text` (a sentence), `count`, `items` [{reference, text, at}] of which at most 20 are named.
    """
    ordered = sorted(told, key=lambda item: (item.at, item.reference))
    named: list[Any] = [
        {"reference": sanitise(item.reference), "text": sanitise(item.text), "at": timestamp(item.at)}
        for item in ordered[:MOST_NAMED]
    ]
    return canonical_json(
        {
            "id": id,
            "event": kind.value,
            "yard": yard,
            "at": timestamp(now),
            "text": sanitise(_sentence(kind, ordered)),
            "count": len(ordered),
            "items": named,
        }
    )


def _sentence(kind: NoticeKind, told: Sequence[Item]) -> str:
    if len(told) == 1:
        return told[0].text
    number = len(told)
    return {
        NoticeKind.WAITING: f"{number} candidates wait for a decision",
        NoticeKind.BREAK_GLASS: f"{number} images may run by one person's decision alone",
        NoticeKind.EXPIRING: f"{number} approvals end soon",
        NoticeKind.ALERT: f"{number} alerts fired or are over",
    }[kind]


def _reference(candidate: Candidate) -> str:
    return f"{candidate.host}/{candidate.repository}@{candidate.digest}"


def _short(candidate: Candidate) -> str:
    return f"{candidate.registry}/{candidate.repository}@{candidate.digest.partition(':')[2][:12]}"


def _waiting(candidate: Candidate, current: Standing) -> Item:
    submitted = candidate.submitted
    again = "" if current.state is ImageState.CANDIDATE else " again: its approval ran out"
    ended = current.by.id if current.state is ImageState.EXPIRED and current.by is not None else ""
    return Item(
        # A second rule that takes it in while it waits is no news.
        key=f"waiting {candidate.digest} {submitted.after} {ended}".rstrip(),
        kind=NoticeKind.WAITING,
        reference=_reference(candidate),
        at=submitted.at,
        text=f"{_short(candidate)} waits for a decision{again}",
    )


def _expiring(candidate: Candidate, ends: datetime) -> Item:
    return Item(
        key=f"expiring {candidate.digest} {timestamp(ends)}",
        kind=NoticeKind.EXPIRING,
        reference=_reference(candidate),
        at=ends,
        text=f"the approval of {_short(candidate)} ends at {timestamp(ends)[:16]}Z",
    )


def _broken(candidate: Candidate, decision: Decision) -> Item:
    until = f" until {timestamp(decision.expires_at)[:16]}Z" if decision.expires_at is not None else ""
    return Item(
        key=f"break-glass {decision.id}",
        kind=NoticeKind.BREAK_GLASS,
        reference=_reference(candidate),
        at=decision.at,
        text=f"{decision.actor} broke the glass for {_short(candidate)}{until}, ticket {decision.ticket}",
    )
