"""What all parts of the demo's control plane share: the time, what is due when, the store and the events."""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from backend.demo.objects import Object, ObjectStore
from backend.demo.resources import EVENTS, NODES, Resource
from backend.demo.workloads_images import Found, Images, find_image
from backend.demo.workloads_nodes import gpu_uuid
from backend.demo.workloads_pods import Pod, owned, stamp
from backend.demo.workloads_quantities import quantity

#: Events that are kept; real clusters forget them after an hour.
_KEPT_EVENTS = 1200
_NAMES = "bcdfghjklmnpqrstvwxz2456789"


class Subject(NamedTuple):
    """What an event is about."""

    resource: Resource
    namespace: str
    name: str
    uid: str


class _EventKey(NamedTuple):
    uid: str
    reason: str
    message: str


class World:
    """The state that the demo's controllers, scheduler and kubelets share.

    Args:
        store: where the objects are.
        images: what can be pulled; `registry_host` its `host:port`.
        seed: what GPUs and names follow from.
        now: seconds since 1970.
        keep_after: events older than this are not written; seconds since 1970.

    Attributes:
        speed: durations are divided by it.
        dirty: InferenceServices to reconcile, in the order in which they changed; dirty_llm: LLMInferenceServices.
        pods: by namespace and name.
    """

    def __init__(
        self, store: ObjectStore, *, images: Images, registry_host: str, seed: int, now: float, keep_after: float = 0.0
    ) -> None:
        self.store = store
        self.images = images
        self.registry_host = registry_host
        self.seed = seed
        self.now = now
        self.keep_after = keep_after
        self.speed = 1.0
        self.dirty: dict[tuple[str, str], None] = {}
        self.dirty_llm: dict[tuple[str, str], None] = {}
        self.pods: dict[tuple[str, str], Pod] = {}
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._events: OrderedDict[_EventKey, Object] = OrderedDict()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Have `action` called when that many seconds, divided by the speed, have passed."""
        heapq.heappush(self._agenda, (self.now + seconds / self.speed, next(self._order), action))

    def after_turn(self, seconds: float, pod: Pod, action: Callable[[Pod], None]) -> None:
        """Have `action` called with the pod later, unless the pod left its stage or is gone by then."""
        turn = pod.turn

        def act() -> None:
            if pod.turn == turn and self.pods.get((pod.namespace, pod.name)) is pod:
                action(pod)

        self.after(seconds, act)

    def next_due(self) -> float | None:
        """When the next transition is due, in seconds since 1970; None when nothing is."""
        return self._agenda[0][0] if self._agenda else None

    def take_due(self, until: float) -> Callable[[], None] | None:
        """The next transition that is due by `until`, with the time moved to when it was due; None when none is."""
        if not self._agenda or self._agenda[0][0] > until:
            return None
        due, _, action = heapq.heappop(self._agenda)
        self.now = max(self.now, due)
        return action

    def find_image(self, reference: str) -> Found | None:
        """What a pull gives, or None."""
        return find_image(self.images, self.registry_host, reference)

    def gpu_memory(self, node: str) -> float:
        """GiB of memory of each GPU of a node; 0 for a node without GPUs."""
        stored = self.store.stored(NODES, None, node)
        if stored is None:
            return 0.0
        return quantity((stored.content["metadata"].get("labels") or {}).get("nvidia.com/gpu.memory", 0)) / 1024

    def gpu_uuid(self, node: str, index: int) -> str:
        """The UUID of a GPU."""
        return gpu_uuid(self.seed, node, index)

    def token(self, *parts: object, length: int) -> str:
        """Letters and digits that follow from the seed and `parts`."""
        return hashlib.sha256("/".join(str(part) for part in (self.seed, *parts)).encode()).hexdigest()[:length]

    def pod_suffix(self, *parts: object) -> str:
        """The last five letters of a pod's name, in Kubernetes' alphabet."""
        digits = self.token("pod", *parts, length=10)
        return "".join(_NAMES[int(digits[index : index + 2], 16) % len(_NAMES)] for index in range(0, 10, 2))

    def record(self, subject: Subject, kind: str, reason: str, message: str, component: str, host: str = "") -> None:
        """Write an event, or count it up when it was told before of the same object.

        Args:
            subject: what it is about.
            kind: Normal or Warning.
            reason, message: as in the event.
            component: who tells, such as `kubelet`; `host`: on which node.
        """
        if self.now < self.keep_after:
            return
        key = _EventKey(subject.uid, reason, message)
        event = self._events.pop(key, None)
        at = stamp(self.now)
        if event is not None and self.store.stored(EVENTS, event["metadata"]["namespace"], event["metadata"]["name"]):
            event["count"] += 1
            event["lastTimestamp"] = at
        else:
            event = _event(subject, kind, reason, message, component, host, at)
            event["metadata"]["managedFields"] = owned(component, "v1", self.now, "involvedObject", "reason", "message")
            event["metadata"]["name"] += self.token(*key, self.now, length=16)
        self._events[key] = event
        self.store.put(EVENTS, event, manager=component)
        while len(self._events) > _KEPT_EVENTS:
            _, oldest = self._events.popitem(last=False)
            self.store.delete(EVENTS, oldest["metadata"]["namespace"], oldest["metadata"]["name"])


def _event(subject: Subject, kind: str, reason: str, message: str, component: str, host: str, at: str) -> Object:
    namespace = subject.namespace or "default"
    involved = {
        "kind": subject.resource.kind,
        "namespace": subject.namespace,
        "name": subject.name,
        "uid": subject.uid,
        "apiVersion": subject.resource.api_version,
    }
    return {
        "metadata": {"name": f"{subject.name}.", "namespace": namespace, "creationTimestamp": at},
        "involvedObject": {name: value for name, value in involved.items() if value},
        "reason": reason,
        "message": message,
        "source": {"component": component, **({"host": host} if host else {})},
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
        "type": kind,
        "eventTime": None,
        "reportingComponent": component,
        "reportingInstance": host,
    }
