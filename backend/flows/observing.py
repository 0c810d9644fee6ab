"""Notices what others change: edits of services by other field managers, autoscalers, deletions, nodes' events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from backend.audit import entries as audit_entries
from backend.cluster.client import ClusterClient
from backend.cluster.objects import Event as KubeEvent
from backend.cluster.resources import EVENTS, INFERENCE_SERVICES
from backend.cluster.watch import Changed, Listed
from backend.core.errors import ModelyardError
from backend.core.events import ChangeObserved, ServiceChanged, ServiceRemoved, ServicesReset, Topic
from backend.core.ports import timestamp
from backend.core.text import sanitise
from backend.core.views import ChangeView, ServiceView, Verdict
from backend.flows.cluster_link import ClusterLink
from backend.flows.foundation import Foundation
from backend.serving import observed
from backend.serving.edits import edits, told
from backend.serving.snapshots import Snapshot, newest_snapshots

_LOG = logging.getLogger(__name__)
#: What was changed longer ago than this is no news when it is first seen.
_NEWS: Final = timedelta(hours=24)
#: An object that was written within this time of its creation was made, not edited.
_MADE: Final = timedelta(seconds=2)
#: Replicas that change this soon after somebody's change are that change's, and no autoscaler's.
_SETTLING: Final = timedelta(seconds=60)
#: Objects that are read at a time to see which fields were edited; of more only who edited them is told.
_MOST_READ: Final = 20
_REMEMBERED: Final = 500
_MOST_TOLD: Final = 200
_ON_NODES: Final = "involvedObject.kind=Node"
#: Events of a node that are no warnings and tell of a change all the same.
_TELLING: Final = frozenset({"NodeReady", "NodeNotReady", "NodeSchedulable", "NodeNotSchedulable", "Rebooted"})


class _Seen(msgspec.Struct):
    """What was last seen of a service."""

    generation: int
    wanted: int
    edited_at: datetime | None
    moved_at: datetime


class Observer:
    """Watches rows of services and events of nodes, and keeps what others changed, once for the whole yard."""

    def __init__(self, foundation: Foundation, on_node: Callable[[str, str], Sequence[str]]) -> None:
        """
        Args:
            on_node: tells the keys of the services that run on a node, by context and node.
        """
        self._foundation = foundation
        self._on_node = on_node
        self._seen: dict[str, _Seen] = {}
        self._wanted: dict[str, Mapping[str, Any]] = {}

    def following(self) -> list[Coroutine[Any, Any, None]]:
        """The work that notices changes while the cluster is followed; run each as a task."""
        if self._foundation.database.read_only:
            return []
        return [self._follow_services(), *(self._follow_nodes(link) for link in self._foundation.clusters.links)]

    async def look(self, rows: Sequence[ServiceView]) -> None:
        """Notice what shows in rows that were read now, and in the events that the cluster keeps of its nodes.

        Raises:
            ModelyardError: the cluster cannot be read.
        """
        if self._foundation.database.read_only:
            return
        await self._take(rows)
        for link in self._foundation.clusters.links:
            client = await link.client()
            events, _ = await client.list(EVENTS, None, field_selector=_ON_NODES)
            await self._take_events(client.context, events)

    # ------------------------------------------------------------ services

    async def _follow_services(self) -> None:
        async for event in self._foundation.hub.subscribe([Topic.SERVICES]):
            try:
                if isinstance(event, ServicesReset):
                    await self._take(event.services)
                elif isinstance(event, ServiceChanged):
                    await self._take((event.service,))
                elif isinstance(event, ServiceRemoved):
                    await self._removed(event.key)
            except ModelyardError as error:
                _LOG.warning("noticing changes: %s", error)

    async def _take(self, rows: Sequence[ServiceView]) -> None:
        now = self._foundation.clock.now()
        edited: list[ServiceView] = []
        for row in rows:
            before = self._seen.get(row.key)
            is_news = row.edited_at is not None and now - row.edited_at < _NEWS
            if is_news and (before is None or before.edited_at != row.edited_at):
                edited.append(row)
            moved = before is None or before.generation != row.generation or before.edited_at != row.edited_at
            if before is not None and not moved and row.wanted_replicas != before.wanted:
                await self._scaled(row, before, now)
            moved = moved or row.verdict is Verdict.STOPPED
            moved_at = now if before is None or moved else before.moved_at
            self._seen[row.key] = _Seen(row.generation, row.wanted_replicas, row.edited_at, moved_at)
        if edited:
            await self._edited(edited, now)

    async def _edited(self, rows: Sequence[ServiceView], now: datetime) -> None:
        # Of a cluster that was filled lately the newest are news enough.
        newest = sorted(rows, key=lambda row: row.edited_at or now, reverse=True)[:_MOST_TOLD]
        named = {_identity(row, row.edited_by, row.edited_at): row for row in newest}
        kept = await observed.known(self._foundation.database, list(named))
        fresh = [row for identity, row in named.items() if identity not in kept]
        applied = {
            context: await newest_snapshots(self._foundation.database, context)
            for context in {row.context for row in fresh}
        }
        changes: list[tuple[str, ChangeView, str]] = []
        reads = 0
        for row in fresh:
            snapshot = applied[row.context].get((row.namespace, row.name))
            if _made_by_it(row) and snapshot is None:
                changes.append(self._change(row, row.edited_by, row.edited_at, "created", ""))
            elif reads < _MOST_READ:
                reads += 1
                changes += await self._read_edits(row, snapshot, now)
            else:
                changes.append(self._change(row, row.edited_by, row.edited_at, "edited", ""))
        await self._record(changes)

    async def _read_edits(
        self, row: ServiceView, snapshot: Snapshot | None, now: datetime
    ) -> list[tuple[str, ChangeView, str]]:
        """Read the object to tell which fields were edited, and from what to what where that is known."""
        client = await self._foundation.clusters.client(row.context)
        live = await client.find(INFERENCE_SERVICES, row.namespace, row.name)
        if live is None:
            return []
        before = self._wanted.get(row.key) or (snapshot.intent.manifests[0] if snapshot is not None else None)
        self._wanted.pop(row.key, None)
        self._wanted[row.key] = {"metadata": _metadata(live), "spec": live.get("spec") or {}}
        while len(self._wanted) > _REMEMBERED:
            del self._wanted[next(iter(self._wanted))]
        return [
            self._change(row, edit.manager, edit.at, "edited", told(edit, live, before))
            for edit in edits(live)
            if edit.at is not None and now - edit.at < _NEWS
        ]

    def _change(
        self, row: ServiceView, manager: str, at: datetime | None, what: str, detail: str
    ) -> tuple[str, ChangeView, str]:
        now = self._foundation.clock.now()
        # The API tells whole seconds: whatever we did within that second came before it, as far as anybody can tell.
        change = ChangeView(
            at=now if at is None else min(now, at.replace(microsecond=999_999)),
            kind="edit",
            actor=sanitise(manager, 60),
            what=what,
            object=row.key,
            detail=detail,
            services=(row.key,),
        )
        return _identity(row, manager, at), change, row.context

    async def _scaled(self, row: ServiceView, before: _Seen, now: datetime) -> None:
        if row.verdict is Verdict.STOPPED or now - before.moved_at < _SETTLING:
            return
        change = ChangeView(
            at=now,
            kind="scale",
            actor="autoscaler",
            what="scaled",
            object=row.key,
            detail=f"{before.wanted} > {row.wanted_replicas} replicas",
            services=(row.key,),
        )
        identity = f"scale:{row.key}:{before.wanted}>{row.wanted_replicas}"
        await self._record([(identity, change, row.context)], within=timedelta(seconds=30))

    async def _removed(self, key: str) -> None:
        self._seen.pop(key, None)
        self._wanted.pop(key, None)
        now = self._foundation.clock.now()
        ours = audit_entries.EntryFilter(action="deploy.delete", object=key, since=now - timedelta(minutes=10))
        if any(entry.object == key for entry in await audit_entries.entries(self._foundation.database, ours)):
            return
        change = ChangeView(
            at=now, kind="edit", actor="somebody else", what="deleted", object=key, detail="", services=(key,)
        )
        await self._record([(f"deleted:{key}", change, key.rsplit("/", 2)[0])], within=timedelta(minutes=1))

    # ------------------------------------------------------------ nodes

    async def _follow_nodes(self, link: ClusterLink) -> None:
        client = await _connected(link)
        async with aclosing(client.watch(EVENTS, None, field_selector=_ON_NODES)) as watch:
            async for event in watch:
                try:
                    if isinstance(event, Listed):
                        await self._take_events(client.context, event.objects)
                    elif isinstance(event, Changed):
                        await self._take_events(client.context, (event.object,))
                except ModelyardError as error:
                    _LOG.warning("events of nodes: %s", error)

    async def _take_events(self, context: str, events: Iterable[KubeEvent]) -> None:
        now = self._foundation.clock.now()
        telling = {
            f"node:{context}:{event.metadata.uid or event.metadata.name}:{event.times}": event
            for event in events
            if event.at is not None and now - event.at < _NEWS
            and event.involved_object.kind == "Node"
            and (event.type == "Warning" or event.reason in _TELLING)
        }  # fmt: skip
        kept = await observed.known(self._foundation.database, list(telling))
        changes: list[tuple[str, ChangeView, str]] = []
        for identity, event in telling.items():
            if identity in kept:
                continue
            node = event.involved_object.name
            change = ChangeView(
                at=event.at or now,
                kind="node",
                actor=sanitise(node, 60),
                what=sanitise(event.reason, 60),
                object=node,
                detail=sanitise(event.message, 200),
                services=tuple(self._on_node(context, node)),
            )
            changes.append((identity, change, context))
        await self._record(changes)

    async def _record(self, changes: Sequence[tuple[str, ChangeView, str]], *, within: timedelta | None = None) -> None:
        """Keep changes, each with its identity and context, and tell of those that are new."""
        if not changes:
            return
        new = []
        async with self._foundation.database.transaction() as transaction:
            for identity, change, context in changes:
                if await observed.record(transaction, identity, change, context=context, within=within):
                    new.append(change)
        for change in new:
            self._foundation.hub.publish(Topic.LEDGER, ChangeObserved(key=change.object, change=change))


async def _connected(link: ClusterLink) -> ClusterClient:
    """The link's client, as soon as there is a kubeconfig to make one of."""
    delay = 1.0
    while True:
        try:
            return await link.client()
        except ModelyardError:
            # The link has told subscribers already; a kubeconfig may yet be written.
            await asyncio.sleep(delay)
            delay = min(30.0, delay * 2)


def _made_by_it(row: ServiceView) -> bool:
    return row.created_at is not None and row.edited_at is not None and row.edited_at - row.created_at <= _MADE


def _identity(row: ServiceView, manager: str, at: datetime | None) -> str:
    return f"edit:{row.key}:{manager}:{timestamp(at) if at else ''}"


def _metadata(live: Mapping[str, Any]) -> dict[str, Any]:
    metadata = live.get("metadata") or {}
    return {name: metadata.get(name) or {} for name in ("labels", "annotations")}
