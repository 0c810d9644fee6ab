"""The pump: opens the yard, reads each part, and turns its events into changes of the model.

It belongs to the app and not to a screen, so that nothing stops when a screen goes. Pages hear of changes at most
twenty times a second, however many events there are.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from backend.core.errors import ModelyardError
from backend.core.events import (
    AlertsChanged,
    ChangeObserved,
    DecisionRecorded,
    Event,
    GpusSampled,
    LedgerAppended,
    LibraryChanged,
    QueueChanged,
    RulesChanged,
    ScanProgressed,
    ServiceChanged,
    ServiceRemoved,
    ServicesReset,
    SourceChanged,
    StatusChanged,
    Subscription,
    SyncProgressed,
    Topic,
)
from backend.core.garbage import collect_from_now_on, leave_what_is_here
from backend.core.ports import Clock
from backend.core.views import INFERENCE_SERVICE
from tui.model import Model, PartName, Problem
from tui.ports import ScreenYard

_LOG = logging.getLogger(__name__)
_FRAME_SECONDS: Final = 0.05
# After a quiet time the first change is told soon, with what comes along with it.
_GATHER_SECONDS: Final = 0.005
_READ_SECONDS: Final = 0.5
# So many services are kept from the garbage collector, once what comes with them has come.
_MANY: Final = 500
_SETTLED_SECONDS: Final = 15.0
_LEDGER_KEPT: Final = 1000
_RUNS_KEPT: Final = 16
# As many as the overview may have lines for.
_NEWEST: Final = 50
_GATHERED: Final = frozenset({PartName.LIBRARY, PartName.CHANGES})
_BY_EVENT: Final[dict[type[Event], tuple[PartName, ...]]] = {
    LibraryChanged: (PartName.LIBRARY, PartName.CHANGES),
    ChangeObserved: (PartName.CHANGES,),
    QueueChanged: (PartName.QUEUE,),
    AlertsChanged: (PartName.ALERTS,),
    DecisionRecorded: (PartName.QUEUE, PartName.LIBRARY, PartName.CHANGES),
}


class Feed:
    """Keeps a model up to date from a yard.

    Args:
        open_yard: opens the yard; raises ModelyardError.
        changed: told which parts changed, on the event loop.
    """

    def __init__(
        self,
        open_yard: Callable[[], Awaitable[ScreenYard]],
        model: Model,
        clock: Clock,
        changed: Callable[[frozenset[PartName]], None],
    ) -> None:
        self._open_yard = open_yard
        self.model = model
        self.yard: ScreenYard | None = None
        self._clock = clock
        self._changed = changed
        self._dirty: set[PartName] = set()
        self._flush: asyncio.TimerHandle | None = None
        self._told_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._reading: set[PartName] = set()
        self._again: set[PartName] = set()
        self._subscription: Subscription | None = None
        self._wanted: set[PartName] = {
            PartName.SERVICES,
            PartName.QUEUE,
            PartName.GPUS,
            PartName.CHANGES,
            PartName.ALERTS,
        }

    # ------------------------------------------------------------ life

    def start(self) -> None:
        """Open the yard and follow it, in the background."""
        self.spawn(self._run(), "opening the yard")

    async def close(self) -> None:
        """Stop following and close the yard."""
        if self._flush is not None:
            self._flush.cancel()
        if self._subscription is not None:
            self._subscription.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.yard is not None:
            yard, self.yard = self.yard, None
            await yard.close()

    def spawn(self, work: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
        """Do something in the background; a failure that nobody handled is told on the screen."""
        task = asyncio.create_task(self._guarded(work, what))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _guarded(self, work: Coroutine[Any, Any, None], what: str) -> None:
        try:
            await work
        except Exception as error:
            _LOG.exception("%s failed", what)
            self.model.problem = Problem.of(error, what)
            self.mark(PartName.STATUS)

    async def _run(self) -> None:
        try:
            yard = await self._open_yard()
        except ModelyardError as error:
            self.model.opening = False
            self.model.problem = Problem.of(error)
            self.mark(PartName.STATUS)
            return
        self.yard = yard
        self.model.opening = False
        self.model.status = yard.status()
        self._subscription = yard.subscribe(*Topic)
        self.mark(PartName.STATUS)
        # What the store holds is there at once; a cluster may keep everybody waiting.
        await self._read(PartName.CHANGES)
        self._tell_now()
        # Reading the rest imports much; these rows are painted first.
        await asyncio.sleep(_FRAME_SECONDS)
        collect_from_now_on()
        self._wanted.add(PartName.LIBRARY)
        await self._read(PartName.LIBRARY)
        # Services come by the watches that this begins: to read them beforehand would read a large cluster twice.
        await self._start(yard)
        self.spawn(self._read(PartName.SERVICES), "reading services")
        for part in (PartName.QUEUE, PartName.ALERTS, PartName.GPUS):
            await self._read(part)
        async for event in self._subscription:
            try:
                self._take(event)
            except Exception as error:
                _LOG.exception("an event could not be taken in: %r", event)
                self.model.problem = Problem.of(error, "taking in what changed")
                self.mark(PartName.STATUS)

    async def _start(self, yard: ScreenYard) -> None:
        try:
            await yard.start()
            self.read_cut_off()
        except ModelyardError as error:
            self.model.problem = Problem.of(error)
            self.mark(PartName.STATUS)

    # ------------------------------------------------------------ reading

    def want(self, part: PartName) -> None:
        """From now on keep this part read; some are read only once somebody looks at them."""
        if part not in self._wanted:
            self._wanted.add(part)
            self.read(part)

    def read(self, *parts: PartName) -> None:
        """Read parts again. A part that is being read is read once more when that ends."""
        for part in parts or tuple(self._wanted):
            if part not in self._wanted:
                continue
            if part in self._reading:
                self._again.add(part)
            else:
                self._reading.add(part)
                self.spawn(self._read_while_asked(part), f"reading {part}")

    def read_rules(self) -> None:
        """Read the names of the rules, for completion."""
        if self.yard is not None:
            self.spawn(self._read_rules(self.yard), "reading the rules")

    async def _read_rules(self, yard: ScreenYard) -> None:
        # Without them nothing is completed; what is wrong with them is told where they are shown.
        with contextlib.suppress(ModelyardError):
            self.model.rules = tuple(rule.name for rule in await yard.rules.rules())

    def read_cut_off(self) -> None:
        """Read which applies were cut off."""
        if self.yard is not None:
            self.spawn(self._read_cut_off(self.yard), "looking for applies that were cut off")

    async def _read_cut_off(self, yard: ScreenYard) -> None:
        # While a cluster is away nothing can be said of them, and its own state is told elsewhere.
        with contextlib.suppress(ModelyardError):
            found = tuple(await yard.deployments.cut_off())
            if found != self.model.cut_off:
                self.model.cut_off = found
                self.mark(PartName.SERVICES)

    async def _read_while_asked(self, part: PartName) -> None:
        try:
            await self._read(part)
            if part in _GATHERED:
                # Tags come in by thousands: what changes meanwhile is read at once.
                await asyncio.sleep(_READ_SECONDS)
            while part in self._again:
                self._again.discard(part)
                await asyncio.sleep(_READ_SECONDS)
                await self._read(part)
        finally:
            self._reading.discard(part)

    async def _read(self, part: PartName) -> None:
        yard, model = self.yard, self.model
        if yard is None:
            return
        try:
            if part is PartName.SERVICES:
                model.services.value = {service.key: service for service in await yard.deployments.services()}
                target: Any = model.services
            elif part is PartName.QUEUE:
                model.queue.value, target = await yard.queue.candidates(), model.queue
            elif part is PartName.LIBRARY:
                newest = await yard.library.search(sort="changed", descending=True, limit=_NEWEST)
                model.library.value, target = newest, model.library
            elif part is PartName.GPUS:
                model.gpus.value, target = await yard.gpus.snapshot(), model.gpus
            elif part is PartName.LEDGER:
                model.ledger.value, target = await yard.audit.entries(), model.ledger
            elif part is PartName.ALERTS:
                model.alerts.value, target = await yard.alerts.alerts(), model.alerts
            elif part is PartName.CHANGES:
                model.changes.value, target = await yard.changes(), model.changes
                if model.services.known:
                    model.drifted = len(await yard.deployments.drifted())
            else:
                model.status = yard.status()
                self.mark(part)
                return
        except Exception as error:
            if not isinstance(error, ModelyardError):
                _LOG.exception("reading %s failed", part)
            getattr(model, part.value).problem = Problem.of(error, f"reading {part}")
        else:
            target.problem = None
            target.read_at = model.as_of = self._clock.now()
        self.mark(part)

    # ------------------------------------------------------------ events

    def _take(self, event: Event) -> None:
        model = self.model
        model.as_of = self._clock.now()
        if isinstance(event, ServiceChanged):
            model.services.value[event.key] = event.service
        elif isinstance(event, ServiceRemoved):
            model.services.value.pop(event.key, None)
        elif isinstance(event, ServicesReset):
            kept = {
                key: view
                for key, view in model.services.value.items()
                if view.context != event.key or view.kind != INFERENCE_SERVICE
            }
            model.services.value = {**kept, **{service.key: service for service in event.services}}
        if isinstance(event, ServiceChanged | ServiceRemoved | ServicesReset):
            model.services.read_at, model.services.problem = model.as_of, None
            self.mark(PartName.SERVICES)
            if isinstance(event, ServicesReset):
                # Which of them are as they were applied can be told now.
                self.read(PartName.CHANGES)
                if len(event.services) >= _MANY:
                    asyncio.get_running_loop().call_later(_SETTLED_SECONDS, leave_what_is_here)
        elif isinstance(event, GpusSampled):
            model.gpus.value, model.gpus.read_at, model.gpus.problem = event.snapshot, model.as_of, None
            self.mark(PartName.GPUS)
        elif isinstance(event, LedgerAppended):
            if model.ledger.known:
                model.ledger.value = [event.entry, *model.ledger.value][:_LEDGER_KEPT]
                self.mark(PartName.LEDGER)
            self.read(PartName.CHANGES)
            if event.entry.action.startswith("deploy.") and event.entry.outcome != "started":
                self.read_cut_off()
        elif isinstance(event, SyncProgressed):
            # Several rules of a run go on at once; those heard of last stand last.
            name = f"{event.progress.run}/{event.progress.rule}"
            model.sync.pop(name, None)
            model.sync[name] = event.progress
            while len(model.sync) > _RUNS_KEPT:
                del model.sync[next(iter(model.sync))]
            self.mark(PartName.SYNC)
        elif isinstance(event, ScanProgressed):
            model.scans.pop(event.key, None)
            model.scans[event.key] = event.scan
            while len(model.scans) > _RUNS_KEPT:
                del model.scans[next(iter(model.scans))]
            self.mark(PartName.SYNC)
        elif isinstance(event, RulesChanged):
            self.mark(PartName.RULES)
        elif isinstance(event, StatusChanged):
            model.status = event.status
            self.mark(PartName.STATUS)
        elif isinstance(event, SourceChanged):
            if self.yard is not None:
                model.status = self.yard.status()
            self.mark(PartName.STATUS)
        for part in _BY_EVENT.get(type(event), ()):
            self.read(part)

    def mark(self, *parts: PartName) -> None:
        """Tell of these parts with the next frame."""
        self._dirty.update(parts)
        if self._flush is None:
            loop = asyncio.get_running_loop()
            delay = max(_GATHER_SECONDS, self._told_at + _FRAME_SECONDS - loop.time())
            self._flush = loop.call_later(delay, self._tell)

    def _tell_now(self) -> None:
        if self._flush is not None:
            self._flush.cancel()
        self._tell()

    def _tell(self) -> None:
        self._flush = None
        self._told_at = asyncio.get_running_loop().time()
        parts, self._dirty = frozenset(self._dirty), set()
        self._changed(parts)
