"""GPUs and model servers as a Prometheus knows them.

Prometheus gives series back under the names and labels with which it scraped them, so what it has of one target is read
as the target's own page. When it scraped is told by `timestamp(up)`: its values are that old at least.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, TypeAlias

import msgspec

from backend.core.errors import ModelyardError
from backend.core.ports import Clock
from backend.telemetry.dcgm import METRICS, read_page
from backend.telemetry.engines import ENGINES, metrics_of
from backend.telemetry.exposition import Families
from backend.telemetry.following import Followed, Measured
from backend.telemetry.model_servers import ModelServer, ServerMetrics
from backend.telemetry.prometheus import Prometheus, Value
from backend.telemetry.services import Replica

#: Seconds between two readings: Prometheus scrapes every 15 to 60 s.
EVERY: Final = 10.0
#: Seconds that a reading may take: who waits for the first sample is told before they give up.
_PATIENCE: Final = 10.0
#: Seconds that one which did not answer in that time is left alone.
_HUNG_FOR: Final = 60.0
#: Seconds that what it has tells of now: it scrapes once a minute at the least, and may miss once.
_GOOD_FOR: Final = 90.0
#: Seconds by which two readings of one scrape's time may differ: the clocks are read one after the other.
_SAME: Final = 0.5
#: The pod of a model server, under the names that scrape configurations give it.
_POD_LABELS: Final = ("pod", "kubernetes_pod_name", "pod_name", "exported_pod")
_NAMESPACE_LABELS: Final = ("namespace", "kubernetes_namespace", "pod_namespace", "exported_namespace")

#: A target, by its labels `job` and `instance`.
_Target: TypeAlias = tuple[str, str]


class _Page(NamedTuple):
    families: Families
    scraped: float | None
    asked: float

    def at(self, monotonic: float) -> float:
        """When it was scraped, in monotonic seconds; where that is not told, now."""
        return monotonic if self.scraped is None else monotonic - max(0.0, self.asked - self.scraped)


class _Server:
    def __init__(self) -> None:
        self.server = ModelServer()
        self.metrics: ServerMetrics | None = None
        self.at = 0.0
        self.families: Families = {}


class PrometheusSource:
    """Follows what a Prometheus has.

    Attributes:
        failure: why it could not be read the last time; empty: it could, or was not asked yet.
        read_at: when it was read last, in monotonic seconds; None: never.
    """

    def __init__(self, prometheus: Prometheus, *, patience: float = _PATIENCE) -> None:
        self._prometheus = prometheus
        self._patience = patience
        self._exporters: dict[_Target, Followed] = {}
        self._servers: dict[tuple[str, str], _Server] = {}
        self._ask_again_at = float("-inf")
        self.failure = ""
        self.read_at: float | None = None

    @property
    def name(self) -> str:
        """How it is called in notes."""
        return self._prometheus.name

    @property
    def found(self) -> str:
        """What it has, in a clause."""
        gpus = sum(len(followed.measured(0.0)) for followed in self._exporters.values())
        return f"{gpus} GPUs, {len(self._servers)} model servers"

    async def read(self, clock: Clock) -> None:
        """Read once what it has now. Raises nothing that a user can meet: `failure` tells it."""
        if clock.monotonic() < self._ask_again_at:
            return
        try:
            async with asyncio.timeout(self._patience):
                scraped = {
                    _target(value.labels): value.value
                    for value in await self._prometheus.query(f"timestamp({self._prometheus.selector(['up'])})")
                }
                gpus = await self._prometheus.query(self._prometheus.selector(METRICS))
                servers = await self._read_servers()
        except TimeoutError:
            self.failure = f"it did not answer within {self._patience:g} s"
            # Every sample waits a moment for it while it is asked.
            self._ask_again_at = clock.monotonic() + _HUNG_FOR
            return
        except ModelyardError as error:
            self.failure = error.why
            return
        self._take_gpus(_pages(gpus, _target, scraped), clock)
        self._take_servers(_pages(servers, _pod, scraped), clock)
        self.failure, self.read_at = "", clock.monotonic()

    def measured(self, now: float) -> list[Measured]:
        """The GPUs with their ages at `now`, in monotonic seconds."""
        return [each for followed in self._exporters.values() for each in followed.measured(now)]

    def replicas(self, now: float, services: Mapping[tuple[str, str], str]) -> list[Replica]:
        """The model servers of the pods named.

        Args:
            services: by namespace and pod.
        """
        return [
            Replica(*pod, services[pod], server.metrics, max(0.0, now - server.at), "", _GOOD_FOR)
            for pod, server in self._servers.items()
            if pod in services and server.metrics is not None
        ]

    async def close(self) -> None:
        """Let go of connections."""
        await self._prometheus.close()

    async def _read_servers(self) -> list[Value]:
        signs = self._prometheus.selector(sign for engine in ENGINES for sign in engine.signs)
        there = {
            value.labels.get("__name__") for value in await self._prometheus.query(f"group by (__name__) ({signs})")
        }
        found: list[Value] = []
        for engine in ENGINES:
            if there.intersection(engine.signs):
                found += await self._prometheus.query(self._prometheus.selector(metrics_of(engine)))
        return found

    def _take_gpus(self, pages: Mapping[_Target, _Page], clock: Clock) -> None:
        monotonic, now = clock.monotonic(), clock.now()
        exporters = {}
        for target, page in pages.items():
            readings = [
                msgspec.structs.replace(reading, source="prometheus") for reading in read_page(page.families, "")
            ]
            followed = self._exporters.get(target) or Followed()
            followed.update(readings, page.at(monotonic), now)
            exporters[target] = followed
        self._exporters = exporters

    def _take_servers(self, pages: Mapping[tuple[str, str], _Page], clock: Clock) -> None:
        servers = {}
        for pod, page in pages.items():
            server = servers[pod] = self._servers.get(pod) or _Server()
            at = page.at(clock.monotonic())
            # Between two scrapes the same numbers come again: nothing happened that could be counted.
            known = page.scraped is not None
            if server.metrics is None or (at > server.at + _SAME if known else page.families != server.families):
                server.metrics, server.at = server.server.update(page.families, at), at
                server.families = page.families
        self._servers = servers


def _pages(
    values: Iterable[Value],
    key_of: Callable[[Mapping[str, str]], tuple[str, str]],
    scraped: Mapping[_Target, float],
) -> dict[tuple[str, str], _Page]:
    pages: dict[tuple[str, str], Families] = defaultdict(lambda: defaultdict(list))
    times: dict[tuple[str, str], tuple[float | None, float]] = {}
    for value in values:
        key = key_of(value.labels)
        pages[key][value.labels.get("__name__", "")].append((value.labels, value.value))
        times[key] = (scraped.get(_target(value.labels)), value.at)
    return {key: _Page(dict(families), *times[key]) for key, families in pages.items() if key != ("", "")}


def _target(labels: Mapping[str, str]) -> _Target:
    return labels.get("job", ""), labels.get("instance", "")


def _pod(labels: Mapping[str, str]) -> tuple[str, str]:
    pod = next((value for label in _POD_LABELS if (value := labels.get(label))), "")
    namespace = next((value for label in _NAMESPACE_LABELS if (value := labels.get(label))), "")
    return (namespace, pod) if pod else ("", "")
