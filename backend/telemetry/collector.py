"""Samples all sources and joins them. A source that does not answer grows old and holds up nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

from backend.cluster.kserve_objects import service_of
from backend.cluster.objects import Node, Pod
from backend.core.errors import AccessDeniedError, ModelyardError, UnreachableError
from backend.core.ports import Clock
from backend.core.views import GpuSnapshotView
from backend.telemetry.following import Followed, Measured
from backend.telemetry.inventory import Claim, claims_of, nodes_with_gpus
from backend.telemetry.readings import LocalGpus
from backend.telemetry.rows import NO_PAST, Approved, Inputs, join
from backend.telemetry.scraping import ExporterScrape, ServerScrape
from backend.telemetry.services import server_view, service_views
from backend.telemetry.sources import EXPORTER_SELECTORS, LocalSource, MetricsCluster

#: Seconds that one page may take.
_PAGE_PATIENCE: Final = 10.0
#: The first sample is as many times as patient as later ones.
_FIRST_TIME: Final = 10.0
_MOST_NOTES: Final = 30


def _unknown(_: Sequence[str]) -> bool | None:
    return None


class Collector:
    """Everything that is known of GPUs, sampled on demand. Belongs to one event loop.

    Args:
        cluster: None: only this machine is looked at.
        context: the cluster's, of the kubeconfig.
        local: this machine's own GPUs; None: they are not looked at.
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
        local: LocalSource | None = None,
        approved: Approved = _unknown,
        patience: float = 1.5,
        inventory_every: float = 10.0,
        parallel: int = 16,
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._context = context
        self._local = local
        self._approved = approved
        self._patience = patience
        self._sampled = False
        self._inventory_every = inventory_every
        self._inventory_at = float("-inf")
        self._inventory_notes: list[str] = ["the cluster has not answered yet"] if cluster is not None else []
        self._unreached = ""
        self._nodes: Sequence[Node] = ()
        self._books_at: float | None = None
        self._claims: Sequence[Claim] = ()
        self._exporters: dict[str, ExporterScrape] = {}
        self._servers: dict[str, ServerScrape] = {}
        self._past = NO_PAST
        self._own = Followed(live=True)
        self._own_at: float | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
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
        if self._cluster is not None:
            await self._read_inventory(self._cluster)
            await self._scrape(self._cluster)
        self._sampled = True
        return self._snapshot(await local if local is not None else None)

    async def close(self) -> None:
        """End what is under way."""
        tasks = [*self._tasks.values(), *self._dropped]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        if self._local is not None:
            await self._local.close()

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

    async def _read_inventory(self, cluster: MetricsCluster) -> None:
        if self._clock.monotonic() - self._inventory_at < self._inventory_every:
            return

        async def read() -> None:
            notes: list[str] = []
            self._unreached = ""
            try:
                await self._ask(cluster, notes)
            except UnreachableError as error:
                self._unreached = error.why
                notes = [f"the cluster does not answer: {error.why}"]
            self._inventory_notes = list(dict.fromkeys(notes))
            self._inventory_at = self._clock.monotonic()

        await self._wait([self._start("inventory", read)])

    async def _ask(self, cluster: MetricsCluster, notes: list[str]) -> None:
        nodes = await _told(cluster.nodes(), notes, "nodes are not known", "`list` on `nodes`")
        pods = await _told(cluster.pods(), notes, "who holds which GPU is not known", "`list` on `pods`")
        exporters: dict[str, Pod] = {}
        for selector in EXPORTER_SELECTORS:
            needed = "`list` on `pods` in every namespace"
            found = await _told(cluster.pods(selector), notes, "exporters are not found", needed)
            exporters.update({pod.metadata.uid or pod.metadata.name: pod for pod in found or ()})
        self._take(nodes, pods, exporters)

    def _take(self, nodes: Sequence[Node] | None, pods: Sequence[Pod] | None, exporters: dict[str, Pod]) -> None:
        """Take what was read; what could not be read stays as it was."""
        if nodes is not None:
            self._nodes, self._books_at = nodes, self._clock.monotonic()
        if pods is not None:
            self._claims = claims_of(pods)
            with_gpus = {claim.uid for claim in self._claims}
            serving = {pod.metadata.uid: pod for pod in pods if pod.metadata.uid in with_gpus and _may_be_asked(pod)}
            kept = self._servers
            self._servers = {uid: kept.get(uid) or ServerScrape(pod) for uid, pod in serving.items()}
            for uid, pod in serving.items():
                self._servers[uid].pod = pod
        known = self._exporters
        self._exporters = {uid: known.get(uid) or ExporterScrape(pod) for uid, pod in exporters.items()}
        for uid, pod in exporters.items():
            self._exporters[uid].pod, self._exporters[uid].node = pod, pod.spec.node_name

    async def _scrape(self, cluster: MetricsCluster) -> None:
        sources: dict[str, ExporterScrape | ServerScrape] = {**self._exporters, **self._servers}
        for key in [key for key, task in self._tasks.items() if key not in sources and key != "inventory"]:
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

        await self._wait([self._start(key, work(source)) for key, source in sources.items()])

    # ------------------------------------------------------------ telling

    def _snapshot(self, local: LocalGpus | None) -> GpuSnapshotView:
        now, monotonic = self._clock.now(), self._clock.monotonic()
        measured = self._measured(local, monotonic)
        replicas = sorted(
            (server.replica(monotonic) for server in self._servers.values()),
            key=lambda each: (each.namespace, each.pod),
        )
        nodes = nodes_with_gpus(self._nodes)
        joined = join(
            Inputs(
                now=now,
                context=self._context,
                nodes=nodes,
                claims=self._claims,
                books_age=None if self._books_at is None else max(0.0, monotonic - self._books_at),
                measured=measured,
                servers={f"{each.namespace}/{each.pod}": each for each in replicas if each.now is not None},
                past=self._past,
                approved=self._approved,
            )
        )
        self._past = joined.past
        notes = self._notes(local, measured, joined.guessed, [node.name for node in nodes])
        return GpuSnapshotView(
            at=now,
            gpus=joined.rows,
            servers=tuple(server_view(replica, self._context) for replica in replicas),
            services=tuple(service_views(replicas, joined.rows, self._context)),
            notes=tuple(notes[:_MOST_NOTES]),
            unreached="" if joined.rows else self._unreached,
        )

    def _measured(self, local: LocalGpus | None, monotonic: float) -> dict[str, list[Measured]]:
        measured: dict[str, list[Measured]] = {}
        known: set[str] = set()
        own: list[Measured] = []
        if local is not None and local.at is not None:
            if local.at != self._own_at:
                self._own.update(local.readings, local.at, self._clock.now())
                self._own_at = local.at
            own = self._own.measured(monotonic)
        exporters = sorted(
            self._exporters.values(), key=lambda each: (each.pod.metadata.namespace, each.pod.metadata.name)
        )
        # Two exporters of one node, or this machine being a node, tell of the same GPUs: each counts once.
        for each in [reading for exporter in exporters for reading in exporter.measured(monotonic)] + own:
            if each.reading.key not in known:
                known.add(each.reading.key)
                measured.setdefault(each.reading.node, []).append(each)
        return measured

    def _notes(
        self, local: LocalGpus | None, measured: dict[str, list[Measured]], guessed: Sequence[str], nodes: Sequence[str]
    ) -> list[str]:
        notes = list(self._inventory_notes)
        if self._cluster is None:
            notes.append("no cluster is connected: only this machine's GPUs are looked for")
        notes += [
            f"{exporter.node or exporter.pod.metadata.name}: its dcgm-exporter is not read: {exporter.failure}"
            for exporter in sorted(self._exporters.values(), key=lambda each: each.node)
            if exporter.failure
        ]
        covered = {exporter.node for exporter in self._exporters.values()}
        bare = [name for name in nodes if name not in covered and not measured.get(name)]
        if bare:
            named = ", ".join(bare[:5]) + (f" and {len(bare) - 5} more" if len(bare) > 5 else "")
            notes.append(
                f"no dcgm-exporter on {named}: what its GPUs do is not measured; NVIDIA's GPU operator installs it, "
                f"and its pods are found by {' or '.join(EXPORTER_SELECTORS)}"
            )
        if guessed:
            notes.append(
                f"{', '.join(guessed)}: the exporter does not say which pod holds which GPU; the order is a guess"
            )
        if local is not None and local.note and (local.present or not measured):
            notes.append(f"this machine: {local.note}")
        return notes


async def _told(reading: Awaitable[Sequence[Any]], notes: list[str], what: str, needed: str) -> Sequence[Any] | None:
    try:
        return await reading
    except UnreachableError:
        raise
    except AccessDeniedError as error:
        notes.append(f"{what}: {error.why}; it needs {needed}")
    except ModelyardError as error:
        notes.append(f"{what}: {error.why}")
    return None


def _may_be_asked(pod: Pod) -> bool:
    """Pods of InferenceServices and those that offer metrics; others' ports are left alone."""
    offered = pod.metadata.annotation("prometheus.io/scrape") == "true"
    return pod.status.phase == "Running" and (bool(service_of(pod.metadata)) or offered)
