"""The demo's control plane: brings InferenceServices up in seconds, lets some fail as real ones do, answers for pods.

Everything follows from the objects, the seed and the order of the writes. Between transitions nothing runs and nothing
is written: a watch stays silent while nothing happens.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from backend.demo.controller_kubelet import Kubelet
from backend.demo.controller_llm import LlmController
from backend.demo.controller_services import ServiceController
from backend.demo.controller_world import World
from backend.demo.exporters import CONTENT_TYPE, answers, collected_at, dcgm_page
from backend.demo.exporters_engine import engine_page, served_name
from backend.demo.gpus import GpuBank
from backend.demo.objects import Object, ObjectStore
from backend.demo.resources import (
    CLUSTER_SERVING_RUNTIMES,
    INFERENCE_SERVICES,
    LLM_INFERENCE_SERVICES,
    NODES,
    PODS,
    RESOURCE_QUOTAS,
    SERVING_RUNTIMES,
    Resource,
)
from backend.demo.scenario import Scenario, build_scenario
from backend.demo.scenario_nodes import CUT, EXPORTER_PORT, exporter_node, products, with_instances
from backend.demo.workloads_answers import SLOW, Answer, answer_to, manner
from backend.demo.workloads_images import Images
from backend.demo.workloads_logs import container_log, port_of
from backend.demo.workloads_pods import Pod
from backend.demo.workloads_quantities import quota_status

#: More reconciliations in a row than this without the time moving is a mistake in this program.
_MAX_ROUNDS = 10_000
#: Seconds between two looks at a log that is followed.
_FOLLOWING = 1.0


class Timekeeper(Protocol):
    """Where the time comes from."""

    def now(self) -> float:
        """Seconds since 1970."""


class _WallTime:
    def now(self) -> float:
        return time.time()


class DemoCluster:
    """Controllers, scheduler, kubelets and exporters over an object store; the pods' side of the API server.

    Args:
        store: the cluster's objects.
        seed: names, GPUs and load follow from it.
        images: what the demo's registry serves.
        registry_host: its `host:port`, as images are named.
        speed: phases and back-offs take this many times less.
        timekeeper: where the time comes from; the machine's clock unless given.
        seeded: whether to begin with the scenario's services, or with nodes and namespaces alone.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        seed: int,
        images: Images,
        registry_host: str,
        speed: float = 1.0,
        timekeeper: Timekeeper | None = None,
        seeded: bool = True,
    ) -> None:
        self._store = store
        self._seed = seed
        self._speed = speed
        self._time = timekeeper or _WallTime()
        self._seeded = seeded
        self._began = now = self._time.now()
        self._world = World(
            store, images=images, registry_host=registry_host, seed=seed, now=now, keep_after=now - 3600.0
        )
        self._services = ServiceController(self._world)
        self._gpus = GpuBank(seed, self._world.gpu_uuid, now - 30 * 86400.0)
        self._llm = LlmController(self._world)
        self._kubelet = Kubelet(self._world, self._gpus, self._pod_changed)
        self._services.kubelet = self._llm.kubelet = self._kubelet
        self._seen: dict[tuple[Resource, str, str], object] = {}
        self._uncounted: set[str] = set()
        self._live = False
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], None] | None = None

    async def start(self) -> None:
        """Put the scenario in place, in the state in which it has settled, and follow the store from then on."""
        self.prepare()
        self._task = asyncio.create_task(self._run(), name="demo cluster")

    async def close(self) -> None:
        """Stop following the store. May be called twice. Raises what the loop ended with, if it failed."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        if self._task is not None:
            self._task.cancel()
            (outcome,) = await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            if isinstance(outcome, Exception):
                raise outcome

    def prepare(self) -> None:
        """What `start` does before the loop: the same machinery runs through the scenario's past at once."""
        world, now = self._world, self._time.now()
        scenario = build_scenario(self._seed, world.images, world.registry_host, now)
        self._place_nodes(scenario)
        self._unsubscribe = self._store.listen(
            lambda change: self._changed(change.type, change.resource, change.current.content)
        )
        if self._seeded:
            world.now = min((write.at for write in scenario.writes), default=now)
            for write in sorted(scenario.writes, key=lambda write: write.at):
                self._run_until(write.at)
                self._store.put(write.resource, write.obj, manager=write.manager)
                self._settle()
            for event in scenario.events:
                self._store.put(event.resource, event.obj, manager=event.manager)
        self._run_until(now)
        world.speed, self._live = self._speed, True

    def run_due(self) -> float | None:
        """Do all that is due by now. Gives the seconds until the next transition, None when none is to come."""
        self._run_until(self._time.now())
        due = self._world.next_due()
        return None if due is None else max(0.0, due - self._time.now())

    def logs(
        self, namespace: str, pod: str, container: str | None, previous: bool, tail_lines: int | None
    ) -> list[str] | None:
        """The log lines of a container, oldest first; None when there is no such log.

        Args:
            container: its name, None for the one that serves.
            previous: of the process before the current one.
            tail_lines: at most so many of the last lines.
        """
        found = self._world.pods.get((namespace, pod))
        if found is None:
            return self._exporter_log(namespace, pod) if not previous else None
        lines = container_log(
            found,
            container,
            previous,
            seed=self._seed,
            gpu_memory=self._world.gpu_memory(found.node),
            now=self._time.now(),
        )
        if lines is None or tail_lines is None:
            return lines
        return lines[-tail_lines:] if tail_lines > 0 else []

    async def follow_logs(self, namespace: str, pod: str, container: str | None) -> AsyncIterator[str]:
        """The lines that a container writes from now on, until its process or its pod ends."""
        found = self._world.pods.get((namespace, pod))
        known = self.logs(namespace, pod, container, False, None)
        process = found.started if found else None
        while found is not None and known is not None:
            await asyncio.sleep(_FOLLOWING / self._speed)
            same = self._world.pods.get((namespace, pod)) is found and found.started == process
            lines = self.logs(namespace, pod, container, False, None) if same else None
            if lines is None:
                return
            last = known[-1] if known else None
            start = len(lines) - lines[::-1].index(last) if last in lines else 0
            for line in lines[start:]:
                yield line
            known = lines

    def proxy(self, namespace: str, pod: str, port: int, path: str) -> Answer:
        """What a pod answers to GET `path` on `port`, or what the API server says of it.

        Returns:
            Status, content type, body; 404 when there is no such pod, 503 when nothing listens there.
        """
        if self._store.stored(PODS, namespace, pod) is None:
            return _failure(404, "NotFound", f'pods "{pod}" not found')
        path = "/" + path.partition("?")[0].lstrip("/")
        node = exporter_node(self._store, namespace, pod)
        if node is not None and port == EXPORTER_PORT:
            if path != "/metrics":
                return (200, "text/plain", b"KO\n") if path == "/health" else (404, "text/plain", b"404 not found\n")
            if self._seeded and not answers(node, self._time.now() - self._began):
                return _failure(503, "ServiceUnavailable", "error trying to reach service: context deadline exceeded")
            page = dcgm_page(self._gpus.samples(node, collected_at(self._time.now())))
            return 200, CONTENT_TYPE, page.encode()
        found = self._listening(namespace, pod, port)
        return self._server(found, path) if isinstance(found, Pod) else found

    async def ask(self, namespace: str, pod: str, port: int, path: str, body: bytes) -> Answer:
        """What a pod answers to a POST of `body`; otherwise like `proxy`."""
        found = self._listening(namespace, pod, port)
        if not isinstance(found, Pod):
            return found
        if manner(found) == "slow":
            await asyncio.sleep(SLOW / self._speed)
        return answer_to(found, "/" + path.partition("?")[0].lstrip("/"), body, self._time.now())

    def _listening(self, namespace: str, pod: str, port: int) -> Pod | Answer:
        """The pod that listens on a port, or what the API server says of one that does not."""
        found = self._world.pods.get((namespace, pod))
        if found is not None and found.is_ready and port == port_of(found):
            return found
        address = f"{found.address if found else '10.244.0.2'}:{port}"
        text = f"error trying to reach service: dial tcp {address}: connect: connection refused"
        return _failure(503, "ServiceUnavailable", text)

    def _server(self, pod: Pod, path: str) -> Answer:
        metrics = "/v1/metrics" if pod.engine == "nim" else "/metrics"
        if path == metrics:
            return 200, CONTENT_TYPE, engine_page(pod, self._seed, self._time.now()).encode()
        if path in ("/health", "/v1/health/ready", "/v1/health/live", "/v2/health/ready", "/v2/health/live"):
            return 200, "application/json", b""
        if path == "/v1/models":
            models = {"object": "list", "data": [{"id": served_name(pod), "object": "model", "owned_by": "vllm"}]}
            return 200, "application/json", json.dumps(models).encode()
        return 404, "application/json", b'{"detail":"Not Found"}'

    def _exporter_log(self, namespace: str, pod: str) -> list[str] | None:
        node = exporter_node(self._store, namespace, pod)
        if node is None:
            return None
        return [
            'time=2026-11-20T08:00:01.214Z level=INFO msg="Starting dcgm-exporter" Version=4.4.1-4.6.0',
            'time=2026-11-20T08:00:02.871Z level=INFO msg="DCGM successfully initialized!"',
            f'time=2026-11-20T08:00:03.406Z level=INFO msg="Kubernetes metrics collection enabled!" node={node}',
            'time=2026-11-20T08:00:03.552Z level=INFO msg="Starting webserver" address=[::]:9400',
        ]

    def _place_nodes(self, scenario: Scenario) -> None:
        for write in scenario.ground:
            cut = self._seeded and write.resource == NODES
            self._store.put(write.resource, with_instances(write.obj) if cut else write.obj, manager=write.manager)
        for node, (product, count) in products().items():
            self._gpus.add_node(node, product, count)
        if self._seeded:
            self._gpus.cut(*CUT)
        for node, index, xid in scenario.faults if self._seeded else ():
            self._gpus.add_fault(node, index, xid)
        for node, index in scenario.hot if self._seeded else ():
            self._gpus.add_heat(node, index)

    def _changed(self, change: str, resource: Resource, obj: Object) -> None:
        """React to a write of whomever; our own writes of pods and statuses change nothing that is watched here."""
        metadata = obj["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        if resource in (INFERENCE_SERVICES, LLM_INFERENCE_SERVICES):
            wanted = (metadata["uid"], metadata.get("generation"), metadata.get("annotations"), metadata.get("labels"))
            if change != "DELETED" and self._seen.get((resource, *key)) == wanted:
                return
            self._seen[resource, *key] = wanted
            if change == "DELETED":
                del self._seen[resource, *key]
            self._catch_up()
            world = self._world
            (world.dirty if resource == INFERENCE_SERVICES else world.dirty_llm)[key] = None
        elif resource in (SERVING_RUNTIMES, CLUSTER_SERVING_RUNTIMES):
            self._catch_up()
            for user in self._services.users_of(key[1]):
                self._world.dirty[user] = None
        elif resource == RESOURCE_QUOTAS:
            self._uncounted.add(key[0])
        elif resource == PODS:
            self._uncounted.add(key[0])
            if change != "DELETED" or key not in self._world.pods:
                return
            self._catch_up()
            lost = self._kubelet.forget(*key)
            if lost is not None and not self._llm.pod_lost(lost):
                self._services.pod_lost(lost)
        elif resource == NODES:
            self._catch_up()
            self._kubelet.retry_waiting()
        else:
            return
        self._wake.set()

    def _pod_changed(self, pod: Pod) -> None:
        if not self._llm.pod_changed(pod):
            self._services.pod_changed(pod)

    def _catch_up(self) -> None:
        """Somebody changed something just now, not when the last transition was."""
        if self._live:
            self._world.now = max(self._world.now, self._time.now())

    def _run_until(self, now: float) -> None:
        """Do all that is due by `now`, each at its own time and in order, then what changed since."""
        while (action := self._world.take_due(now)) is not None:
            action()
            self._settle()
        self._world.now = max(self._world.now, now)
        self._settle()

    def _settle(self) -> None:
        self._reconcile_all()
        while self._uncounted:
            namespace = self._uncounted.pop()
            for stored in list(self._store.scan(RESOURCE_QUOTAS, namespace)):
                self._store.patch_status(
                    RESOURCE_QUOTAS, namespace, stored.key[1], quota_status(stored.content, self._world.pods.values())
                )
            # Counting is a write of a quota, which does not ask for another count.
            self._uncounted.discard(namespace)

    def _reconcile_all(self) -> None:
        rounds = 0
        while self._world.dirty or self._world.dirty_llm:
            for dirty, reconcile in (
                (self._world.dirty, self._services.reconcile),
                (self._world.dirty_llm, self._llm.reconcile),
            ):
                key = next(iter(dirty), None)
                if key is not None:
                    del dirty[key]
                    reconcile(key)
            rounds += 1
            if rounds > _MAX_ROUNDS:
                raise RuntimeError(f"the demo's controller does not come to rest over {self._world.dirty}")

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            wait = self.run_due()
            try:
                await asyncio.wait_for(self._wake.wait(), wait)
            except TimeoutError:
                continue


def _failure(code: int, reason: str, message: str) -> Answer:
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }
    return code, "application/json", json.dumps(status).encode()
