"""What changed lately, in one list: decisions and applies from the ledger, tags from the catalogue."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from backend.audit import entries as audit_entries
from backend.core.ports import timestamp
from backend.core.references import short_digest
from backend.core.views import ChangeView, LedgerEntryView, TagEventView
from backend.flows.foundation import Foundation
from backend.library import events as library_events

_MOST: Final = 500
#: Entries that tell of no change: what was only planned or begun, and the runs whose tags are told one by one.
_NO_CHANGE: Final = ("library.", "evidence.collect", "queue.submit", "deploy.plan")
#: More new tags of one run in one repository than this are told of in one line.
_MOST_NEW: Final = 2


async def recent_changes(foundation: Foundation, period: timedelta) -> list[ChangeView]:
    """Changes within a period up to now, newest first, at most 500."""
    since = foundation.clock.now() - period
    entries = await audit_entries.entries(foundation.database, audit_entries.EntryFilter(since=since), limit=_MOST)
    events = await library_events.recent_events(foundation.database, since=timestamp(since), limit=_MOST)
    changes = [_of_entry(entry) for entry in entries if _is_change(entry)] + _of_tags(events)
    return sorted(changes, key=lambda change: change.at, reverse=True)[:_MOST]


def _is_change(entry: LedgerEntryView) -> bool:
    return entry.outcome != "started" and not entry.action.startswith(_NO_CHANGE)


def _of_entry(entry: LedgerEntryView) -> ChangeView:
    detail = entry.detail.get("error") or entry.detail.get("reason") or entry.detail.get("image") or ""
    what = entry.action.partition(".")[2] or entry.action
    return ChangeView(
        at=entry.at,
        actor=entry.actor,
        what=what if entry.outcome == "done" else f"{what} {entry.outcome}",
        object=entry.object,
        detail=str(detail),
    )


def _of_tags(events: Sequence[TagEventView]) -> list[ChangeView]:
    """A line for each event, but one for many new tags of a run: a first synchronisation must not bury the rest."""
    new: dict[tuple[str, str, str], list[TagEventView]] = defaultdict(list)
    changes = []
    for event in events:
        if event.change == "new":
            new[event.run, event.registry, event.repository].append(event)
        else:
            changes.append(_of_tag(event))
    for (_, registry, repository), found in new.items():
        if len(found) <= _MOST_NEW:
            changes += [_of_tag(event) for event in found]
            continue
        tags = ", ".join(event.tag for event in found[:3])
        changes.append(
            ChangeView(
                at=found[0].at,
                actor="registry",
                what=f"{len(found)} tags new",
                object=f"{registry}/{repository}",
                detail=f"{tags}, ...",
            )
        )
    return changes


def _of_tag(event: TagEventView) -> ChangeView:
    moved = f"{short_digest(event.previous_digest)} > " if event.change == "moved" and event.previous_digest else ""
    return ChangeView(
        at=event.at,
        actor="registry",
        what=f"tag {event.change}",
        object=f"{event.registry}/{event.repository}:{event.tag}",
        detail=moved + (short_digest(event.digest) if event.digest else ""),
    )
