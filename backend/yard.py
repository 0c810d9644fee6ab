"""The yard: opens everything, wires it together, and hands out commands and streams of events.

The only place that constructs adapters. Front ends see this facade, the views of `backend.core`, and nothing else.

Each room is imported when it is first asked for: the first rows of the screen need the store and little else, and a
command needs one room. `Yard.start` imports the rest, off the event loop.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from backend.config import LoadedConfiguration
from backend.core.errors import IdentityError, ModelyardError, ReadOnlyError, StoreError
from backend.core.events import EventHub, StatusChanged, Subscription, Topic
from backend.core.logs import Redactor
from backend.core.ports import Clock, IdSource, RandomIds, SystemClock
from backend.core.timeline import with_suspects
from backend.core.views import ChangeView, CheckView, YardStatusView
from backend.curation.policy import load_policy
from backend.flows.clusters import Clusters
from backend.flows.configuration import ConfigurationRecord, ConfigurationWatch, RulesInForce
from backend.flows.foundation import Foundation, Identity
from backend.flows.gate import Gate
from backend.flows.policy_in_force import PolicyInForce
from backend.flows.registries import Registries, learning_credentials
from backend.flows.rooms import Rooms
from backend.flows.status import StatusBoard
from backend.registry.credentials import Credentials
from backend.store.connection import Database
from backend.telemetry.store import TelemetryStore, telemetry_path

if TYPE_CHECKING:
    from backend.flows.cluster_link import ClusterLink
    from backend.flows.schedule import Schedule

_LOG = logging.getLogger(__name__)
#: How often approvals and waivers are looked through for those that ended by themselves.
_EXPIRY_SECONDS: Final = 60.0
#: What a screen that goes live asks of sooner or later.
_LIVE_ROOMS: Final = (
    "deployments", "gpus", "queue", "evidence", "library", "rules", "synchronising", "watch_store", "schedule", "audit",
    "runtimes", "recent", "policy", "observing", "telemetry", "recording", "validating", "promoting",
)  # fmt: skip


class YardOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says of the yard.

    Attributes:
        database: instead of the configured one.
        context: of the kubeconfig, instead of the configured one.
        read_only: nothing may be changed.
    """

    database: Path | None = None
    context: str | None = None
    read_only: bool = False


@dataclass(frozen=True, kw_only=True)
class ScreenRequest:
    """What the screen is started with.

    Attributes:
        open_yard: opens the yard; called after the first paint.
        keys: the `[keys]` table of the configuration.
        confirm: `type-name` or `dialog`.
        theme: name of a theme, or empty for the one that suits the terminal.
        theme_folder: where the user keeps theme files.
        reasons: what dialogs offer as the reason of a decision, by the decision's name.
        bell, title: whether the terminal's bell and title tell what waits.
    """

    open_yard: Callable[[], Awaitable[Yard]]
    keys: Mapping[str, str] = field(default_factory=dict)
    confirm: str = "type-name"
    theme: str = ""
    theme_folder: Path | None = None
    reasons: Mapping[str, Sequence[str]] = field(default_factory=dict)
    bell: bool = True
    title: bool = True


class Yard(Rooms):
    """One installation: its configuration, database, registries and cluster."""

    def __init__(self, foundation: Foundation, read_only: str) -> None:
        """
        Args:
            read_only: why nothing may be changed, or empty.
        """
        super().__init__(foundation)
        self._read_only = read_only
        self._status = StatusBoard(foundation, read_only, self._decided)
        self._tasks: list[asyncio.Task[None]] = []
        self._looked_at = float("-inf")

    # ------------------------------------------------------------ life

    @classmethod
    async def open(
        cls,
        configuration: LoadedConfiguration,
        options: YardOptions,
        *,
        redactor: Redactor | None = None,
        clock: Clock | None = None,
        ids: IdSource | None = None,
    ) -> Yard:
        """Open the database; registries and cluster are connected when first needed.

        Raises:
            StoreError: the database cannot be used. ConfigurationError: policy names a key that cannot be read.
        """
        clock = clock or SystemClock()
        settings = configuration.settings
        policy = await asyncio.to_thread(load_policy, settings.policy, settings.role, configuration.folder)
        database = await _open_database(configuration.database_path(options.database), clock, options)
        hub = EventHub()
        read_only = "opened with --read-only" if options.read_only else ""
        clusters = Clusters.configured(settings.cluster, options.context, clock=clock, hub=hub, changed=lambda: None)
        identity = Identity(configuration, clusters.primary)
        rules = RulesInForce(configuration, clock)
        policy_in_force = PolicyInForce(configuration, policy.hash, clock)
        record = ConfigurationRecord(
            database, clock, configuration, identity.onlooker, policy_hash=policy.hash, rules=rules
        )
        foundation = Foundation(
            configuration=configuration,
            database=database,
            telemetry=TelemetryStore(telemetry_path(database.path), clock, read_only=options.read_only),
            clock=clock,
            ids=ids or RandomIds(),
            hub=hub,
            gate=Gate(
                database=database,
                clock=clock,
                actor=identity.actor,
                writes_off=lambda: read_only,
                before=record.keep,
                policy_holds=policy_in_force.require,
            ),
            policy=policy,
            identity=identity,
            clusters=clusters,
            registries=Registries(
                settings.registry,
                credentials=learning_credentials(Credentials(configuration.folder), redactor or Redactor()),
                clock=clock,
                hub=hub,
            ),
            rules=rules,
            record=record,
            policy_in_force=policy_in_force,
        )
        yard = cls(foundation, read_only)
        try:
            await yard._status.refresh()
        except BaseException:
            await yard.close()
            raise
        return yard

    def _is_live(self) -> bool:
        return bool(self._tasks)

    async def start(self) -> None:
        """Go live for a screen: follow the cluster, sample GPUs, notice what others write, keep the schedule."""
        await asyncio.to_thread(_import_live_rooms)
        if self._tasks:
            return
        from backend.flows.schedule import SCREEN_PATIENCE
        from backend.flows.watch_store import StoreWatch

        work: list[tuple[str, Coroutine[Any, Any, None]]] = [
            ("services", coroutine) for coroutine in self._services.following()
        ]
        work += [("observer", coroutine) for coroutine in self._observer.following()]
        work.append(("store", StoreWatch(self._foundation, self._store_changed, self._store_touched).run()))
        work.append(("status", self._introduce()))
        work.append(("configuration", self._configuration_watch().run()))
        work.append(("gpus", self.gpus.follow()))
        if not self._read_only:
            work.append(("schedule", self._schedule("screen").run(patience=SCREEN_PATIENCE)))
        self._tasks = [asyncio.create_task(self._guarded(name, one), name=name) for name, one in work]

    async def work(self, *, first: Callable[[], Awaitable[None]] | None = None) -> None:
        """Keep the schedule, until cancelled.

        Args:
            first: done once, after the first round.

        Raises:
            ReadOnlyError: the yard was opened read-only.
        """
        if self._read_only:
            raise ReadOnlyError("worker", self._read_only, "start modelyard without --read-only to run a worker")
        beside = [("configuration", self._configuration_watch().run())]
        from backend.flows.watch_store import StoreWatch

        async def nothing() -> None:
            """Who holds the lease is of no interest without a title bar."""

        beside.append(("store", StoreWatch(self._foundation, self._services.store_changed, nothing).run()))
        # Alerts are about what the cluster's services do, and are told without a screen too.
        beside += [("services", coroutine) for coroutine in self._services.following()]
        watching = [asyncio.create_task(self._guarded(name, one), name=name) for name, one in beside]
        try:
            await self._schedule("worker").run(first=first)
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    async def close(self) -> None:
        """Stop all work and close everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self._foundation.hub.close()
        if "gpus" in self.__dict__:
            await self.gpus.close()
        if "telemetry" in self.__dict__:
            await self.telemetry.close()
        await self._foundation.registries.close()
        await self._foundation.clusters.close()
        await self._foundation.telemetry.close()
        await self._foundation.database.close()

    def status(self) -> YardStatusView:
        """What the title bar tells; as last found out."""
        return self._status.view()

    def subscribe(self, *topics: Topic) -> Subscription:
        """Events of the topics, from now on."""
        return self._foundation.hub.subscribe(topics)

    async def changes(self, hours: float = 1) -> list[ChangeView]:
        """What changed lately: our decisions and applies, tags, in one list, newest first."""
        from backend.flows.recent import recent_changes

        changes = await recent_changes(self._foundation, timedelta(hours=hours))
        return with_suspects(changes, self._services.seen()) if self._is_live() else changes

    async def doctor(self) -> list[CheckView]:
        """What works here, what is missing, and what to do about it."""
        from backend.flows.doctor import Doctor

        return [
            *await Doctor(self._foundation).examine(),
            *await self.evidence.check(),
            *await self.gpus.check(),
            *await self.alerts.check(),
            *await self.telemetry.check(),
            *await self.runtimes.check(),
        ]

    # ------------------------------------------------------------ live

    def _configuration_watch(self) -> ConfigurationWatch:
        return ConfigurationWatch(
            self._foundation.rules, self._foundation.record, self._foundation.hub, self._configuration_changed,
            policy=self._foundation.policy_in_force,
        )  # fmt: skip

    def _schedule(self, kind: str) -> Schedule:
        from backend.flows.schedule import Schedule

        beside = (self._alert_keeping().run, self._recording().run, self._validating.run, self._promoting.run)
        return Schedule(self._foundation, self.runs, self.evidence, self.policy, kind, beside=beside)

    async def _guarded(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """A failure of one piece of live work is logged and told, and ends no other."""
        try:
            await work
        except ModelyardError as error:
            _LOG.warning("%s: %s", name, error)
        except Exception:
            _LOG.exception("%s stopped unexpectedly", name)

    async def _introduce(self) -> None:
        """Find out who acts and what became of applies that were cut off; then keep the title bar true."""
        try:
            await self._foundation.identity.actor()
        except IdentityError as error:
            _LOG.warning("%s", error)
        await self._tell_status()
        if not self._read_only:
            await asyncio.gather(*(self._settle(link) for link in self._foundation.clusters.links))
        await self._tell_status()
        sources = self._foundation.hub.subscribe([Topic.SOURCES])
        async for _ in sources:
            await self._tell_status()

    async def _settle(self, link: ClusterLink) -> None:
        try:
            for line in await self._settling.settle((await link.client()).context):
                _LOG.warning("%s", line)
        except ModelyardError as error:
            _LOG.warning("%s", error)

    async def _store_touched(self) -> None:
        """Somebody renewed a lease: see who holds it, and now and then what time alone has changed."""
        now = self._foundation.clock.monotonic()
        if now - self._looked_at >= _EXPIRY_SECONDS:
            await self._store_changed()
            return
        before = self._status.view()
        await self._status.refresh_holder()
        self._tell_status_after(before)

    async def _store_changed(self) -> None:
        self._looked_at = self._foundation.clock.monotonic()
        await self._services.store_changed()
        await self._tell_status()

    async def _configuration_changed(self) -> None:
        await self._status.refresh()
        self._foundation.hub.publish(Topic.STATUS, StatusChanged(key="yard", status=self._status.view()))

    async def _tell_status(self) -> None:
        before = self._status.view()
        await self._status.refresh()
        self._tell_status_after(before)

    def _tell_status_after(self, before: YardStatusView) -> None:
        after = self._status.view()
        if after != before:
            self._foundation.hub.publish(Topic.STATUS, StatusChanged(key="yard", status=after))


async def _open_database(path: Path, clock: Clock, options: YardOptions) -> Database:
    """The database; of a read-only yard one that is there already, to which refusals are still added where they can be.

    Raises:
        StoreError: of its kind.
    """
    if not options.read_only:
        return await Database.open(path, clock=clock)
    # Opened in this way nothing is made or migrated.
    reading = await Database.open(path, clock=clock, read_only=True)
    if not await asyncio.to_thread(_is_writable, reading.path):
        return reading
    try:
        recording = await Database.open(path, clock=clock)
    except StoreError as error:
        _LOG.warning("refusals are not recorded: %s", error)
        return reading
    await reading.close()
    return recording


def _is_writable(database: Path) -> bool:
    return os.access(database, os.W_OK) and os.access(database.parent, os.W_OK)


def _import_live_rooms() -> None:
    for room in _LIVE_ROOMS:
        importlib.import_module(f"backend.flows.{room}")
