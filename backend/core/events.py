"""Events go up: `async for event in yard.subscribe(topic)`.

Events are frozen and carry a sequence number that only grows. Topics of high rate keep the latest event of each key for
a slow reader; topics of decisions keep every one.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable
from enum import StrEnum
from typing import Final

import msgspec

from backend.core.views import (
    ChangeView,
    DecisionView,
    GpuSnapshotView,
    LedgerEntryView,
    ScanView,
    ServiceView,
    SourceView,
    SyncProgressView,
    YardStatusView,
)


class Topic(StrEnum):
    """What can be subscribed to."""

    LIBRARY = "library"
    QUEUE = "queue"
    SERVICES = "services"
    GPUS = "gpus"
    LEDGER = "ledger"
    SOURCES = "sources"
    SYNC = "sync"
    SCANS = "scans"
    STATUS = "status"
    ALERTS = "alerts"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened. `key` names what it happened to; `seq` is set by the hub and only grows."""

    key: str = ""
    seq: int = 0


class LibraryChanged(Event, frozen=True, kw_only=True):
    """The catalogue changed, here or in another process; read it again."""


class RulesChanged(Event, frozen=True, kw_only=True):
    """The rules in force changed, or whether their file can be used; read them again."""


class QueueChanged(Event, frozen=True, kw_only=True):
    """Candidates, evidence, gates or policy changed, here or in another process; read the queue again."""


class DecisionRecorded(Event, frozen=True, kw_only=True):
    """A decision was recorded by this process."""

    decision: DecisionView


class ServiceChanged(Event, frozen=True, kw_only=True):
    """A service appeared or changed. `key` is `context/namespace/name`."""

    service: ServiceView


class ServiceRemoved(Event, frozen=True, kw_only=True):
    """A service is gone. `key` is `context/namespace/name`."""


class ServicesReset(Event, frozen=True, kw_only=True):
    """All InferenceServices of a context were read anew. `key` is the context; other kinds are told one by one."""

    services: tuple[ServiceView, ...]


class GpusSampled(Event, frozen=True, kw_only=True):
    """All GPUs, as last sampled."""

    snapshot: GpuSnapshotView


class LedgerAppended(Event, frozen=True, kw_only=True):
    """The ledger grew, here or in another process."""

    entry: LedgerEntryView


class ChangeObserved(Event, frozen=True, kw_only=True):
    """Something was changed by others, as it was seen here for the first time. `key` is what was changed."""

    change: ChangeView


class SourceChanged(Event, frozen=True, kw_only=True):
    """A source (cluster, registry, metrics) changed its state. `key` is its name."""

    source: SourceView


class SyncProgressed(Event, frozen=True, kw_only=True):
    """A synchronisation run went on or ended. `key` is the run."""

    progress: SyncProgressView


class ScanProgressed(Event, frozen=True, kw_only=True):
    """A scan of an image went on or ended. `key` is the image's reference."""

    scan: ScanView


class AlertsChanged(Event, frozen=True, kw_only=True):
    """Alerts or silences changed, here or in another process; read them again."""


class StatusChanged(Event, frozen=True, kw_only=True):
    """What the title bar tells changed."""

    status: YardStatusView


_KEEPS_LATEST_ONLY: Final = frozenset(
    {Topic.LIBRARY, Topic.SERVICES, Topic.GPUS, Topic.SOURCES, Topic.SYNC, Topic.SCANS, Topic.STATUS, Topic.ALERTS}
)


def _is_outdated(key: str, prefix: str) -> bool:
    """Whether a reset of a context's InferenceServices outdates the event of this key; other kinds have a colon."""
    return key.startswith(prefix) and ":" not in key.rpartition("/")[2]


class Subscription:
    """The events of some topics, for one reader. Use it as an async iterator; close it when done."""

    def __init__(self, hub: EventHub, topics: frozenset[Topic]) -> None:
        self._hub = hub
        self.topics = topics
        self._queue: OrderedDict[tuple[object, ...], Event] = OrderedDict()
        self._wakeup = asyncio.Event()
        self._closed = False

    def offer(self, topic: Topic, event: Event) -> None:
        """Put an event before the reader; called by the hub on its event loop."""
        key: tuple[object, ...] = (topic, event.seq)
        if topic in _KEEPS_LATEST_ONLY:
            # A removal must replace the change it undoes, so the event's type is no part of the key; a reset of a
            # whole context has its own key and outdates every earlier event of that context.
            key = (topic, event.key)
            if isinstance(event, ServicesReset):
                prefix = f"{event.key}/"
                for stale in [k for k in self._queue if k[0] is topic and _is_outdated(str(k[1]), prefix)]:
                    del self._queue[stale]
            self._queue.pop(key, None)
        self._queue[key] = event
        self._wakeup.set()

    def close(self) -> None:
        """Stop receiving; the iterator ends after what is still queued."""
        self._closed = True
        self._hub.drop(self)
        self._wakeup.set()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while not self._queue:
            if self._closed:
                raise StopAsyncIteration
            self._wakeup.clear()
            await self._wakeup.wait()
        _, event = self._queue.popitem(last=False)
        return event


class EventHub:
    """Takes events from the rooms and gives them to subscribers. Belongs to one event loop."""

    def __init__(self) -> None:
        self._seq = 0
        self._subscriptions: list[Subscription] = []

    def subscribe(self, topics: Iterable[Topic]) -> Subscription:
        """Events of the topics from now on."""
        subscription = Subscription(self, frozenset(topics))
        self._subscriptions.append(subscription)
        return subscription

    def drop(self, subscription: Subscription) -> None:
        """Forget a subscription; it may have been forgotten already."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    def publish(self, topic: Topic, event: Event) -> Event:
        """Number the event and put it before everyone who subscribed to the topic."""
        self._seq += 1
        numbered = msgspec.structs.replace(event, seq=self._seq)
        for subscription in self._subscriptions:
            if topic in subscription.topics:
                subscription.offer(topic, numbered)
        return numbered

    def close(self) -> None:
        """End every subscription."""
        for subscription in list(self._subscriptions):
            subscription.close()
