"""What changed lately, in one list: decisions and applies from the ledger, tags, and what others were seen to do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from backend.audit import entries as audit_entries
from backend.core.ports import timestamp
from backend.core.references import short_digest
from backend.core.timeline import newest_first
from backend.core.views import ChangeView, LedgerEntryView, ServiceView, TagEventView
from backend.flows.foundation import Foundation
from backend.library import events as library_events
from backend.serving.observed import observed
from backend.store.connection import Database

_MOST: Final = 500
#: Longest between a snapshot and the entry of the apply that it came of.
_SAME_APPLY: Final = timedelta(seconds=10)
_APPLIED: Final = frozenset({"deploy.apply", "deploy.rollback"})
_KINDS: Final = {"deploy.scale": "scale", "deploy.validation": "validation", "deploy.settle": "other"}
#: Entries that tell of no change: what was only planned or begun, and the runs whose tags are told one by one.
_NO_CHANGE: Final = ("library.", "evidence.collect", "queue.submit", "deploy.plan", "deploy.validate")
#: More new tags of one run in one repository than this are told of in one line.
_MOST_NEW: Final = 2


async def recent_changes(
    foundation: Foundation, period: timedelta, *, service: ServiceView | None = None
) -> list[ChangeView]:
    """Changes within a period up to now, newest first, at most 500.

    Args:
        service: only what touches it: changes of its own, of its nodes, and of the images that it names; None: all.
    """
    database, since = foundation.database, foundation.clock.now() - period
    entries = await audit_entries.entries(database, audit_entries.EntryFilter(since=since), limit=_MOST)
    events = await library_events.recent_events(database, since=timestamp(since), limit=_MOST)
    seen = await observed(database, since, service=service.key if service is not None else "", limit=_MOST)
    entries = [entry for entry in entries if _is_change(entry)]
    if service is not None:
        digests = frozenset(digest for image in service.images if (digest := image.rpartition("@")[2]))
        entries = [entry for entry in entries if _is_of(entry, service, digests)]
        events = [event for event in events if {event.digest, event.previous_digest} & digests]
    ours = [await _of_entry(database, entry) for entry in entries]
    return newest_first(ours, _of_tags(events), seen, most=_MOST)


def _is_change(entry: LedgerEntryView) -> bool:
    return entry.outcome != "started" and not entry.action.startswith(_NO_CHANGE)


def _is_of(entry: LedgerEntryView, service: ServiceView, digests: frozenset[str]) -> bool:
    if service.key in _services_of(entry):
        return True
    return entry.action.startswith("queue.") and any(digest in entry.object for digest in digests)


async def _of_entry(database: Database, entry: LedgerEntryView) -> ChangeView:
    what = "install runtime" if entry.action == "runtime.apply" else entry.action.partition(".")[2] or entry.action
    done = entry.outcome == "done"
    told = (entry.detail.get(name) for name in ("reason", "error", "summary", "image"))
    detail = next((text for text in told if text), "")
    if done and entry.action in _APPLIED:
        detail = await _applied_difference(database, str(entry.detail.get("snapshot") or ""), entry.at) or detail
    elif done and entry.action == "deploy.scale":
        detail = f"{entry.detail.get('before')} > {entry.detail.get('replicas')} replicas"
    return ChangeView(
        at=entry.at,
        actor=entry.actor,
        what=what if done else f"{what} {entry.outcome}",
        object=entry.object,
        detail=str(detail),
        kind="refused" if entry.outcome == "refused" else _kind_of(entry.action),
        services=_services_of(entry),
    )


def _services_of(entry: LedgerEntryView) -> tuple[str, ...]:
    """Keys of the services that an entry is about."""
    if entry.action.startswith("deploy."):
        return (entry.object,)
    told = entry.detail.get("services") if entry.action.startswith("alert.") else None
    return tuple(key for key in told if isinstance(key, str)) if isinstance(told, list) else ()


def _kind_of(action: str) -> str:
    if action in _KINDS:
        return _KINDS[action]
    room = action.partition(".")[0]
    return {"deploy": "apply", "runtime": "apply", "queue": "decision", "alert": "alert", "alerts": "alert"}.get(
        room, "other"
    )


async def _applied_difference(database: Database, snapshot: str, at: datetime) -> str:
    """What an apply changed: the snapshot that came of it against the one before, in a clause.

    Args:
        at: when it was applied: later than its snapshot where the same was applied again.
    """
    if not snapshot:
        return ""
    # The first rows of the screen are told without them as long as nothing was applied lately.
    from backend.serving.edits import between
    from backend.serving.snapshots import with_the_one_before

    pair = await with_the_one_before(database, snapshot)
    if not pair:
        return ""
    after = pair[0].intent
    if at - pair[0].at > _SAME_APPLY:
        return f"as it was applied before, over what others wrote since: snapshot {snapshot[:12]}"
    if len(pair) == 1:
        return f"first apply of {after.image.rpartition('/')[2].partition('@')[0]}"
    return between(pair[1].intent.manifests[0], after.manifests[0])


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
                kind="tag",
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
        kind="tag",
        actor="registry",
        what=f"tag {event.change}",
        object=f"{event.registry}/{event.repository}:{event.tag}",
        detail=moved + (short_digest(event.digest) if event.digest else ""),
    )
