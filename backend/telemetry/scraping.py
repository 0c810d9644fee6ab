"""Reads the pages of exporters and model servers, one object a pod; each remembers what it last learned."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from backend.cluster.kserve_objects import service_of
from backend.cluster.objects import Pod
from backend.core.errors import AccessDeniedError, MalformedDataError, ModelyardError, NotFoundError, UnreachableError
from backend.core.ports import Clock
from backend.telemetry.dcgm import read_page
from backend.telemetry.exposition import ExpositionParser, Families
from backend.telemetry.following import Followed, Measured
from backend.telemetry.model_servers import ModelServer, ServerMetrics
from backend.telemetry.services import Replica
from backend.telemetry.sources import EXPORTER_PORT, MetricsCluster

_LARGE_PAGE: Final = 1 << 20
#: Seconds until a pod without a known page of metrics is asked again.
_ASK_AGAIN: Final = 60.0
_ASK_AGAIN_STARTING: Final = 10.0
#: Why a server does not tell that does not serve yet, or fails: what its service's verdict is about.
NOT_READY: Final = "its pod is not ready"
_NEEDED: Final = "`get` on `pods/proxy`"
#: Servers that tell nothing unless they are asked to, by what their command names, and by which option.
_ASKED: Final = (("sglang", "--enable-metrics"),)
#: Where vLLM, SGLang, TGI, NIM 1.x, Triton and trtllm-serve have their metrics, on their own ports or KServe's.
_ROUTES: Final = (
    (8000, "/metrics"),
    (8080, "/metrics"),
    (8000, "/v1/metrics"),
    (8002, "/metrics"),
    (8000, "/prometheus/metrics"),
    (30000, "/metrics"),
    (3000, "/metrics"),
)


class ExporterScrape:
    """One dcgm-exporter.

    Attributes:
        failure: why its last page could not be read; empty: it could.
        was_read: it was, at least once.
    """

    def __init__(self, pod: Pod) -> None:
        self.pod = pod
        self.node = pod.spec.node_name
        self.failure = ""
        self._parser = ExpositionParser()
        self.was_read = False
        self._followed = Followed()

    async def scrape(self, cluster: MetricsCluster, clock: Clock) -> None:
        """Read the exporter's page once. Raises nothing that a user can meet: `failure` tells it."""
        meta = self.pod.metadata
        if self.pod.status.phase != "Running":
            self.failure = f"it is {self.pod.status.phase or 'not running'}"
            return
        try:
            page = await cluster.pod_proxy(meta.namespace, meta.name, EXPORTER_PORT, "/metrics")
            families = await _parse(self._parser, page, f"exporter {meta.namespace}/{meta.name}")
        except AccessDeniedError as error:
            self.failure = f"{error.why}; it needs {_NEEDED} in {meta.namespace}"
            return
        except ModelyardError as error:
            self.failure = error.why
            return
        readings = read_page(families, self.node)
        self._followed.update(readings, clock.monotonic(), clock.now())
        self.was_read = True
        self.failure = "" if readings else "its page tells of no GPU"

    def measured(self, now: float) -> list[Measured]:
        """The readings with their ages at `now`, in monotonic seconds."""
        return self._followed.measured(now)


class ServerScrape:
    """The model server of one pod.

    Attributes:
        metrics: as last read; None: never.
        read_at: when that was, in monotonic seconds.
        failure: why it was not read the last time; empty: it was.
    """

    __slots__ = ("_ask_again_at", "_reading", "_route", "_silent", "failure", "metrics", "pod", "read_at")

    def __init__(self, pod: Pod) -> None:
        self.pod = pod
        self.metrics: ServerMetrics | None = None
        self.read_at: float | None = None
        self.failure = ""
        #: Made when there is a page to read: most of thousands of pods may never show one.
        self._reading: tuple[ExpositionParser, ModelServer] | None = None
        self._route: tuple[int, str] | None = None
        self._ask_again_at = float("-inf")
        self._silent: Replica | None = None

    def follow(self, pod: Pod) -> None:
        """The pod is this one now."""
        if pod is not self.pod:
            self.pod, self._silent = pod, None

    def replica(self, now: float) -> Replica:
        """What it says, and how old that is at `now`, in monotonic seconds; the same object while it says nothing."""
        if self.metrics is None and self._silent is not None and self._silent.failure == self.failure:
            return self._silent
        meta = self.pod.metadata
        age = None if self.read_at is None else max(0.0, now - self.read_at)
        replica = Replica(meta.namespace, meta.name, service_of(meta), self.metrics, age, self.failure)
        self._silent = replica if self.metrics is None else None
        return replica

    async def scrape(self, cluster: MetricsCluster, clock: Clock) -> None:
        """Read the server's page once; find out first where it is. Raises nothing that a user can meet."""
        if clock.monotonic() < self._ask_again_at:
            return
        routes = [self._route] if self._route is not None else _routes_of(self.pod)
        try:
            for route in routes:
                if await self._try(cluster, clock, route):
                    self._route, self.failure = route, ""
                    return
        except AccessDeniedError as error:
            self.failure = (
                f"reading metrics is not allowed: {error.why}; it needs {_NEEDED} in {self.pod.metadata.namespace}"
            )
            self._ask_again_at = clock.monotonic() + _ASK_AGAIN
            return
        if self._route is not None:
            # It answered before: it restarts, or moves.
            self.failure, self._route = "its metrics do not answer", None
            return
        starting = not any(c.type == "Ready" and c.status == "True" for c in self.pod.status.conditions or ())
        nothing = "no metrics found on the ports of the known model servers" + _advice(self.pod)
        self.failure = NOT_READY if starting else nothing
        self._ask_again_at = clock.monotonic() + (_ASK_AGAIN_STARTING if starting else _ASK_AGAIN)

    async def _try(self, cluster: MetricsCluster, clock: Clock, route: tuple[int, str]) -> bool:
        meta = self.pod.metadata
        try:
            page = await cluster.pod_proxy(meta.namespace, meta.name, *route)
            parser, server = self._reading = self._reading or (ExpositionParser(), ModelServer())
            families = await _parse(parser, page, f"metrics of {meta.namespace}/{meta.name}")
        except (NotFoundError, UnreachableError, MalformedDataError):
            # Another port or path may be the right one; `failure` tells when none is.
            return False
        at = clock.monotonic()
        metrics = server.update(families, at)
        if metrics is None:
            return False
        self.metrics, self.read_at = metrics, at
        return True


def _advice(pod: Pod) -> str:
    """What may keep a server from telling anything; empty: nothing is known to."""
    for container in pod.spec.containers:
        started = " ".join((container.image, *(container.args or ())))
        for server, option in _ASKED:
            if server in started and option not in started:
                return f"; {server} tells of itself when it is started with {option}"
    return ""


async def _parse(parser: ExpositionParser, page: bytes, where: str) -> Families:
    if len(page) > _LARGE_PAGE:
        return await asyncio.to_thread(parser.parse, page, where)
    return parser.parse(page, where)


def _routes_of(pod: Pod) -> Sequence[tuple[int, str]]:
    """Where the pod's metrics may be: where it says so itself, else where engines have them."""
    annotation: Callable[[str], str] = pod.metadata.annotation
    told = _port(annotation("prometheus.io/port"))
    first = [(told, annotation("prometheus.io/path") or "/metrics")] if told else []
    for container in pod.spec.containers:
        arguments = list(container.args or ())
        for index, argument in enumerate(arguments):
            name, equals, value = argument.partition("=")
            if name == "--port" and (port := _port(value if equals else "".join(arguments[index + 1 : index + 2]))):
                first.append((port, "/metrics"))
    return list(dict.fromkeys([*(route for route in first if route[1].startswith("/")), *_ROUTES]))


def _port(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 6 and 0 < int(text) < 65536 else 0
