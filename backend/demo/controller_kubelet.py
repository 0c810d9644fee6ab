"""The demo's scheduler and kubelets: they carry a pod from its creation to serving, or to the failure it asks for."""

from __future__ import annotations

from collections.abc import Callable

from backend.demo.controller_world import Subject, World
from backend.demo.gpus import GpuBank
from backend.demo.resources import NODES, PODS
from backend.demo.workloads_faults import Failure, load_failure, main_container, storage_failure
from backend.demo.workloads_nodes import Node, node_of, place
from backend.demo.workloads_pods import End, Pod, Stage, back_off_seconds, render
from backend.demo.workloads_quantities import device_of, quantity, requests_of
from backend.demo.workloads_template import INITIALIZER

_SCHEDULING, _PULLING, _PRESENT, _FETCHING, _LOADING, _EXITED = 0.5, 2.0, 0.3, 1.5, 3.0, 1.0
_FIRST_PULL_BACK_OFF, _LAST_PULL_BACK_OFF = 10.0, 300.0


class Kubelet:
    """Schedules pods and runs their containers.

    Args:
        world: the shared state.
        gpus: who holds which GPU.
        changed: called with a pod after each of its transitions.
    """

    def __init__(self, world: World, gpus: GpuBank, changed: Callable[[Pod], None]) -> None:
        self._world = world
        self._gpus = gpus
        self._changed = changed
        self._present: set[tuple[str, str]] = set()
        self._addresses = 0

    def add(self, pod: Pod) -> None:
        """Create a pod and let the scheduler find it."""
        self._world.pods[pod.namespace, pod.name] = pod
        pod.move(Stage.QUEUED, self._world.now)
        self._write(pod)
        self._world.after_turn(_SCHEDULING, pod, self._schedule)

    def remove(self, pod: Pod) -> None:
        """Delete a pod; its GPUs are free at once, and the pods that wait are tried again."""
        if self._world.pods.pop((pod.namespace, pod.name), None) is None:
            return
        if pod.started is not None:
            self._tell(pod, "Normal", "Killing", f"Stopping container {main_container(pod.spec)['name']}")
        self._world.store.delete(PODS, pod.namespace, pod.name)
        self._release(pod)

    def forget(self, namespace: str, name: str) -> Pod | None:
        """Somebody else deleted a pod: give its GPUs back. Returns it when it was one of ours."""
        pod = self._world.pods.pop((namespace, name), None)
        if pod is not None:
            self._release(pod)
        return pod

    def retry_waiting(self) -> None:
        """Try all pods that found no node again, the oldest first, each a moment later."""
        waiting = [pod for pod in self._world.pods.values() if pod.stage is Stage.UNSCHEDULABLE]
        for pod in sorted(waiting, key=lambda pod: (pod.created, pod.name)):
            self._world.after_turn(_SCHEDULING, pod, self._schedule)

    def nodes(self) -> list[Node]:
        """The nodes as the scheduler sees them."""
        nodes = {
            stored.content["metadata"]["name"]: node_of(stored.content, {}) for stored in self._world.store.scan(NODES)
        }
        for pod in self._world.pods.values():
            if pod.node in nodes:
                used = nodes[pod.node].used
                for name, amount in requests_of(pod.spec).items():
                    used[name] = used.get(name, 0.0) + amount
        return list(nodes.values())

    def _release(self, pod: Pod) -> None:
        if pod.node:
            self._gpus.release(pod, self._world.now)
            self.retry_waiting()

    def _schedule(self, pod: Pod) -> None:
        world = self._world
        placement = place(pod.spec, self.nodes())
        if placement.node is None:
            if pod.stage is Stage.UNSCHEDULABLE and pod.message == placement.message:
                return  # nothing new to tell
            pod.message = placement.message
            pod.move(Stage.UNSCHEDULABLE, world.now)
            self._tell(pod, "Warning", "FailedScheduling", placement.message, "default-scheduler")
            self._write(pod)
            return
        pod.node, pod.message, pod.scheduled = placement.node, "", world.now
        self._addresses += 1
        index = [node.name for node in self.nodes()].index(pod.node)
        pod.address = f"10.244.{index}.{self._addresses % 250 + 4}"
        pod.gpus = self._gpus.take(pod, *device_of(pod.spec), world.now)
        pod.gpu_uuids = tuple(world.gpu_uuid(pod.node, gpu) for gpu in pod.gpus)
        where = f"Successfully assigned {pod.namespace}/{pod.name} to {pod.node}"
        self._tell(pod, "Normal", "Scheduled", where, "default-scheduler")
        self._pull(pod)

    def _pull(self, pod: Pod) -> None:
        pod.move(Stage.PULLING, self._world.now)
        present = (pod.node, pod.image) in self._present and self._world.find_image(pod.image) is not None
        if not present:
            self._tell(pod, "Normal", "Pulling", f'Pulling image "{pod.image}"')
        self._write(pod)
        self._world.after_turn(_PRESENT if present else _PULLING, pod, self._pulled)

    def _pulled(self, pod: Pod) -> None:
        world = self._world
        image = world.find_image(pod.image)
        if image is None:
            pod.attempts += 1
            pod.message = (
                f'rpc error: code = NotFound desc = failed to pull and unpack image "{pod.image}": '
                f'failed to resolve reference "{pod.image}": {pod.image}: not found'
            )
            self._tell(pod, "Warning", "Failed", f'Failed to pull image "{pod.image}": {pod.message}')
            self._tell(pod, "Warning", "Failed", "Error: ErrImagePull")
            pod.move(Stage.PULL_FAILED, world.now)
            self._write(pod)
            world.after_turn(_EXITED, pod, self._pull_back_off)
            return
        if (pod.node, pod.image) in self._present:
            self._tell(pod, "Normal", "Pulled", f'Container image "{pod.image}" already present on machine')
        else:
            took = f"{_PULLING:.3f}s"
            text = f'Successfully pulled image "{pod.image}" in {took} ({took} including waiting).'
            self._tell(pod, "Normal", "Pulled", text)
            self._present.add((pod.node, pod.image))
        # Container runtimes differ in which digest they report; the nodes of the demo do too.
        even = [node.name for node in self.nodes()].index(pod.node) % 2 == 0
        pod.image_id = f"{image.repository}@{image.digest if even else image.platform_digest}"
        pod.pulled, pod.message, pod.attempts = world.now, "", 0
        if pod.spec.get("initContainers"):
            self._fetch(pod)
        else:
            self._start(pod)

    def _pull_back_off(self, pod: Pod) -> None:
        self._tell(pod, "Normal", "BackOff", f'Back-off pulling image "{pod.image}"')
        self._tell(pod, "Warning", "Failed", "Error: ImagePullBackOff")
        pod.move(Stage.PULL_BACK_OFF, self._world.now)
        self._write(pod)
        wait = min(_LAST_PULL_BACK_OFF, _FIRST_PULL_BACK_OFF * 2.0 ** min(pod.attempts - 1, 10))
        self._world.after_turn(wait, pod, self._pull)

    def _fetch(self, pod: Pod) -> None:
        pod.move(Stage.FETCHING, self._world.now)
        self._tell(pod, "Normal", "Started", f"Started container {INITIALIZER}")
        self._write(pod)
        self._world.after_turn(_FETCHING, pod, self._fetched)

    def _fetched(self, pod: Pod) -> None:
        failure = storage_failure(pod.spec)
        if failure is None:
            pod.restarts = 0
            self._start(pod)
        else:
            self._end(pod, failure, self._fetch)

    def _start(self, pod: Pod) -> None:
        name = main_container(pod.spec)["name"]
        pod.started = self._world.now
        pod.move(Stage.LOADING, self._world.now)
        self._tell(pod, "Normal", "Created", f"Created container: {name}")
        self._tell(pod, "Normal", "Started", f"Started container {name}")
        self._write(pod)
        self._world.after_turn(_LOADING / 2, pod, self._probe)

    def _probe(self, pod: Pod) -> None:
        probe = main_container(pod.spec).get("startupProbe") or main_container(pod.spec).get("readinessProbe")
        if probe:
            check = probe.get("httpGet") or {}
            address = f"{pod.address}:{check.get('port', 8000)}"
            kind = "Startup" if main_container(pod.spec).get("startupProbe") else "Readiness"
            text = f'Get "http://{address}{check.get("path", "/")}": dial tcp {address}: connect: connection refused'
            self._tell(pod, "Warning", "Unhealthy", f"{kind} probe failed: {text}")
        self._world.after_turn(_LOADING / 2, pod, self._loaded)

    def _loaded(self, pod: Pod) -> None:
        memory = self._world.gpu_memory(pod.node) if pod.gpus else 0.0
        failure = load_failure(pod.spec, memory)
        if failure is not None:
            if failure.kind == "out-of-memory":
                self._tell_killed(pod)
            self._end(pod, failure, self._start)
            return
        pod.ready = self._world.now
        pod.move(Stage.READY, self._world.now)
        self._write(pod)

    def _end(self, pod: Pod, failure: Failure, restart: Callable[[Pod], None]) -> None:
        """The process ended: show it, then wait out the back-off and start again."""
        pod.ends = [*pod.ends[-1:], End(failure, pod.since, self._world.now)]
        pod.move(Stage.EXITED, self._world.now)
        self._write(pod)

        def again(pod: Pod) -> None:
            pod.restarts += 1
            restart(pod)

        def back_off(pod: Pod) -> None:
            wait = back_off_seconds(pod.restarts)
            if not wait:
                again(pod)
                return
            fetching = failure.kind == "missing-storage"
            name = INITIALIZER if fetching else main_container(pod.spec)["name"]
            where = f"pod {pod.name}_{pod.namespace}({pod.uid})"
            self._tell(pod, "Warning", "BackOff", f"Back-off restarting failed container {name} in {where}")
            pod.move(Stage.FETCH_BACK_OFF if fetching else Stage.CRASH_BACK_OFF, self._world.now)
            self._write(pod)
            self._world.after_turn(wait, pod, again)

        self._world.after_turn(_EXITED, pod, back_off)

    def _tell_killed(self, pod: Pod) -> None:
        node = self._world.store.stored(NODES, None, pod.node)
        if node is None:
            return
        subject = Subject(NODES, "", pod.node, str(node.content["metadata"]["uid"]))
        victim = 20000 + int(self._world.token(pod.name, pod.restarts, length=4), 16) % 40000
        resident = int(memory_limit(pod) / 1024)
        text = (
            f"Memory cgroup out of memory: Killed process {victim} (VLLM::EngineCor) total-vm:{resident * 9}kB, "
            f"anon-rss:{resident}kB, file-rss:8192kB, shmem-rss:0kB, UID:0 pgtables:{resident // 400}kB "
            "oom_score_adj:985"
        )
        self._world.record(subject, "Warning", "OOMKilling", text, "kernel-monitor", pod.node)

    def _tell(self, pod: Pod, kind: str, reason: str, message: str, component: str = "kubelet") -> None:
        subject = Subject(PODS, pod.namespace, pod.name, pod.uid)
        self._world.record(subject, kind, reason, message, component, pod.node if component == "kubelet" else "")

    def _write(self, pod: Pod) -> None:
        stored = self._world.store.put(PODS, render(pod), manager="kubelet")
        pod.uid = stored["metadata"]["uid"]
        self._gpus.settle(pod, self._world.now)
        self._changed(pod)


def memory_limit(pod: Pod) -> float:
    """Bytes that the container may use; 0 without a limit."""
    return quantity(((main_container(pod.spec).get("resources") or {}).get("limits") or {}).get("memory", 0))
