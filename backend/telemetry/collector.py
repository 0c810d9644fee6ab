"""Samples all sources of a cluster and joins them. A source that does not answer grows old and holds up nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from heapq import nsmallest
from typing import Any, Final

from backend.cluster.objects import Pod
from backend.core.ports import Clock
from backend.core.views import CheckView, GpuSnapshotView
from backend.telemetry.books import Books
from backend.telemetry.following import Followed, Measured
from backend.telemetry.inventory import node_view
from backend.telemetry.notes import Sources, notes_of
from backend.telemetry.prometheus_source import EVERY as PROMETHEUS_EVERY
from backend.telemetry.prometheus_source import PrometheusSource
from backend.telemetry.readings import LocalGpus
from backend.telemetry.rows import NO_PAST, STALE_AFTER, Approved, Inputs, join, past_of
from backend.telemetry.scraping import ExporterScrape, ServerScrape
from backend.telemetry.services import Replica, Silent
from backend.telemetry.source_checks import checks_of
from backend.telemetry.sources import LocalSource, MetricsCluster

#: Seconds that one page may take.
_PAGE_PATIENCE: Final = 10.0
#: The first sample is as many times as patient as later ones.
_FIRST_TIME: Final = 10.0
#: The clock of the calendar runs so much otherwise than the other one only when somebody sets it.
_CLOCK_WAS_SET: Final = timedelta(seconds=5)
#: What is said where there is no cluster.
NO_CLUSTER: Final = "no cluster is connected: only this machine's GPUs are looked for"
#: Pages that are read for one sample, and of those that never answered; where there are more, they take turns: each
#: comes through the API server.
_MOST_PAGES: Final = 512
_MOST_UNKNOWN: Final = 16
_BOOKS: Final = "books"
_PROMETHEUS: Final = "prometheus"


def _unknown(_: Sequence[str]) -> bool | None:
    return None


class Collector:
    """Everything that is known of GPUs, sampled on demand. Belongs to one event loop.

    Args:
        cluster: None: only this machine is looked at.
        context: the cluster's, of the kubeconfig.
        absent: what to say where there is no cluster.
        local: this machine's own GPUs; None: they are not looked at.
        prometheus: what it has is not asked of exporters and pods; None: there is none.
        approved: whether the digests that a container names or runs are approved.
        patience: seconds after which a sample goes on without the sources that have not answered yet.
        inventory_every: seconds between two lists of nodes and pods.
        parallel: pages read at the same time.
    """

    def __init__(
        self,
        cluster: MetricsCluster | None,
        *,
        clock: Clock,
        context: str = "",
        absent: str = NO_CLUSTER,
        local: LocalSource | None = None,
        prometheus: PrometheusSource | None = None,
        approved: Approved = _unknown,
        patience: float = 1.5,
        inventory_every: float = 10.0,
        parallel: int = 16,
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._context = context
        self._absent = absent
        self._local = local
        self._prometheus = prometheus
        self._approved = approved
        self._patience = patience
        self._sampled = False
        self._every = {_BOOKS: inventory_every, _PROMETHEUS: PROMETHEUS_EVERY}
        self._read_at: dict[str, float] = {}
        self._books = Books(clock, context)
        self._exporters: dict[str, ExporterScrape] = {}
        self._servers: dict[str, ServerScrape] = {}
        self._serving: Mapping[str, Pod] = {}
        self._silent = Silent(context)
        self._past = NO_PAST
        self._told_at: tuple[datetime, float] | None = None
        self._own = Followed(live=True)
        self._own_at: float | None = None
        self._last_local: LocalGpus | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._asked_at: dict[str, float] = {}
        self._dropped: list[asyncio.Task[None]] = []
        self._slots = asyncio.Semaphore(parallel)
        # Pages that failed the last time wait in a line of their own, so that many of them do not hold up the others.
        self._failing_slots = asyncio.Semaphore(max(1, parallel // 4))

    async def sample(self) -> GpuSnapshotView:
        """All GPUs and model servers as they are known now.

        Takes at most about three times `patience`, the first time ten times as long. What could not be read is told in
        the notes, with what it would need; no error of a source is raised.
        """
        local = asyncio.ensure_future(self._local.sample()) if self._local is not None else None
        cluster = self._cluster
        if cluster is not None:
            # Who holds what, and what Prometheus has, say which pages are to be read.
            await self._wait(
                [*self._due(_BOOKS, lambda: self._books.read(cluster)), *self._due(_PROMETHEUS, self._read_prometheus)]
            )
            self._know_pods()
            await self._scrape(cluster)
        self._sampled = True
        of_this_machine = await local if local is not None else None
        if len(self._servers) <= _MOST_PAGES:
            return self._snapshot(of_this_machine)
        # Thousands take a tenth of a second, in which rows would not follow; nothing else changes what it works on.
        return await asyncio.to_thread(self._snapshot, of_this_machine)

    def remember(self, before: GpuSnapshotView) -> None:
        """Go on from what another process found a moment ago; what was found here counts for more."""
        if not self._sampled:
            self._past = past_of(before.gpus)

    async def close(self) -> None:
        """End what is under way."""
        tasks = [*self._tasks.values(), *self._dropped]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        if self._local is not None:
            await self._local.close()
        if self._prometheus is not None:
            await self._prometheus.close()

    # ------------------------------------------------------------ reading

    def _start(self, key: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """The work under this key: what is still under way, else started now."""
        task = self._tasks.get(key)
        if task is None or task.done():
            if task is not None:
                # What was no failure of a source is a mistake of ours, and must be seen.
                task.result()
            task = self._tasks[key] = asyncio.ensure_future(work())
        return task

    async def _wait(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        waiting = set(tasks)
        if waiting:
            # There is nothing to show before the first answers: those are worth waiting for.
            longer = 1.0 if self._sampled else _FIRST_TIME
            await asyncio.wait(waiting, timeout=self._patience * longer)

    def _due(self, key: str, work: Callable[[], Awaitable[None]]) -> list[asyncio.Task[None]]:
        """What is read less often than at every sample, when its time has come."""
        if self._clock.monotonic() - self._read_at.get(key, float("-inf")) < self._every[key]:
            return []

        async def read() -> None:
            await work()
            self._read_at[key] = self._clock.monotonic()

        return [self._start(key, read)]

    async def _read_prometheus(self) -> None:
        if self._prometheus is not None:
            await self._prometheus.read(self._clock)

    def _know_pods(self) -> None:
        """Follow the exporters and model servers that there are now."""
        self._exporters = {
            uid: self._exporters.get(uid) or ExporterScrape(pod) for uid, pod in self._books.exporters.items()
        }
        for uid, pod in self._books.exporters.items():
            self._exporters[uid].pod, self._exporters[uid].node = pod, pod.spec.node_name
        serving = self._books.serving
        if serving is self._serving:
            # The books were not read again: of thousands of pods each is known.
            return
        self._serving = serving
        self._servers = {uid: self._servers.get(uid) or ServerScrape(pod) for uid, pod in serving.items()}
        for uid, pod in serving.items():
            self._servers[uid].follow(pod)
        # In the order in which they are told.
        names = {uid: (pod.metadata.namespace, pod.metadata.name) for uid, pod in serving.items()}
        self._servers = {uid: self._servers[uid] for uid in sorted(self._servers, key=names.__getitem__)}

    async def _scrape(self, cluster: MetricsCluster) -> None:
        sources = self._asked()
        for key in [key for key in self._tasks if key not in sources and key not in self._every]:
            self._dropped.append(self._tasks.pop(key))
            self._dropped[-1].cancel()
        self._dropped = [task for task in self._dropped if not task.done()]

        def work(source: ExporterScrape | ServerScrape) -> Callable[[], Awaitable[None]]:
            async def scrape() -> None:
                async with self._failing_slots if source.failure else self._slots:
                    try:
                        async with asyncio.timeout(_PAGE_PATIENCE):
                            await source.scrape(cluster, self._clock)
                    except TimeoutError:
                        source.failure = f"it did not answer within {_PAGE_PATIENCE:g} s"

            return scrape

        await self._wait([self._start(key, work(sources[key])) for key in self._turn_of(sources)])

    def _turn_of(self, sources: Mapping[str, ExporterScrape | ServerScrape]) -> list[str]:
        """Whose pages are read now: all of them, or so many as an API server bears, those first that waited longest."""
        if len(sources) <= _MOST_PAGES:
            return list(sources)
        asked_at = {key: self._asked_at.get(key, float("-inf")) for key in sources}
        unknown = [key for key in sources if key in self._servers and self._servers[key].read_at is None]
        known = sources.keys() - set(unknown)
        turn = [
            *nsmallest(_MOST_PAGES, known, asked_at.__getitem__),
            *nsmallest(_MOST_UNKNOWN, unknown, asked_at.__getitem__),
        ]
        self._asked_at = asked_at | dict.fromkeys(turn, self._clock.monotonic())
        return turn

    def _asked(self) -> dict[str, ExporterScrape | ServerScrape]:
        """Whose pages are read: those that Prometheus does not tell of, or not lately."""
        if self._prometheus is None:
            return {**self._exporters, **self._servers}
        monotonic = self._clock.monotonic()
        nodes = {each.reading.node for each in self._prometheus.measured(monotonic) if each.age <= STALE_AFTER}
        pods = {(replica.namespace, replica.pod) for replica in self._told_by_prometheus(monotonic)}
        return {
            **{uid: each for uid, each in self._exporters.items() if each.node not in nodes},
            **{
                uid: each
                for uid, each in self._servers.items()
                if (each.pod.metadata.namespace, each.pod.metadata.name) not in pods
            },
        }

    # ------------------------------------------------------------ telling

    def _snapshot(self, local: LocalGpus | None) -> GpuSnapshotView:
        now, monotonic = self._clock.now(), self._clock.monotonic()
        if self._told_at is not None:
            jump = now - self._told_at[0] - timedelta(seconds=monotonic - self._told_at[1])
            if abs(jump) > _CLOCK_WAS_SET:
                self._past = self._past.shifted(jump)
        self._told_at = (now, monotonic)
        books = self._books
        measured, replicas = self._measured(local, monotonic), self._replicas(monotonic)
        joined = join(
            Inputs(
                now=now,
                context=self._context,
                nodes=books.nodes,
                claims=books.claims,
                allocated=books.allocated,
                books_age=None if books.read_at is None else max(0.0, monotonic - books.read_at),
                measured=measured,
                servers={f"{each.namespace}/{each.pod}": each for each in replicas if each.now is not None},
                past=self._past,
                approved=self._approved,
            )
        )
        self._past = joined.past
        self._last_local = local
        return GpuSnapshotView(
            at=now,
            gpus=joined.rows,
            servers=self._silent.servers(replicas),
            services=self._silent.services(replicas, joined.rows),
            nodes=tuple(node_view(node, self._context) for node in books.nodes),
            pending=books.pending,
            notes=notes_of(self._sources(), measured, joined.guessed),
            unreached="" if joined.rows else books.unreached,
        )

    def checks(self, place: str = "") -> list[CheckView]:
        """For `doctor`, after a sample: a line for each source.

        Args:
            place: which cluster this is, where there are several.
        """
        replicas = self._replicas(self._clock.monotonic())
        return checks_of(self._sources(), list(self._servers.values()), replicas, place)

    def _sources(self) -> Sources:
        return Sources(
            connected=self._cluster is not None,
            absent=self._absent,
            books=self._books,
            exporters=list(self._exporters.values()),
            prometheus=self._prometheus,
            local=self._last_local,
        )

    def _replicas(self, monotonic: float) -> list[Replica]:
        """What is known of every model server: by Prometheus where it tells of now, else by its own page."""
        told = {(each.namespace, each.pod): each for each in self._told_by_prometheus(monotonic)}
        own = [server.replica(monotonic) for server in self._servers.values()]
        return [told.get((each.namespace, each.pod), each) for each in own] if told else own

    def _told_by_prometheus(self, monotonic: float) -> list[Replica]:
        if self._prometheus is None:
            return []
        pods = [each.replica(monotonic) for each in self._servers.values()]
        services = {(each.namespace, each.pod): each.service for each in pods}
        return [each for each in self._prometheus.replicas(monotonic, services) if each.now is not None]

    def _measured(self, local: LocalGpus | None, monotonic: float) -> dict[str, list[Measured]]:
        own: list[Measured] = []
        if local is not None and local.at is not None:
            if local.at != self._own_at:
                self._own.update(local.readings, local.at, self._clock.now())
                self._own_at = local.at
            own = self._own.measured(monotonic)
        exporters = sorted(
            self._exporters.values(), key=lambda each: (each.pod.metadata.namespace, each.pod.metadata.name)
        )
        of_prometheus = self._prometheus.measured(monotonic) if self._prometheus is not None else []
        of_exporters = [reading for exporter in exporters for reading in exporter.measured(monotonic)]
        # Prometheus, two exporters of one node, this machine being a node: all tell of the same GPUs. Each counts once.
        best: dict[str, Measured] = {}
        for each in (*of_prometheus, *of_exporters, *own):
            known = best.get(each.reading.key)
            if known is None or known.age > STALE_AFTER >= each.age:
                best[each.reading.key] = each
        measured: dict[str, list[Measured]] = {}
        for each in best.values():
            measured.setdefault(each.reading.node, []).append(each)
        return measured
