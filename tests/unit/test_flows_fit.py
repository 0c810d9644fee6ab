"""What a fit is made from when parts of the cluster cannot be seen, and what the form offers of the nodes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from backend.cluster.client import ClusterClient
from backend.cluster.objects import Node, Pod, Taint
from backend.cluster.platform_objects import PriorityClass
from backend.cluster.reader import Look, Sight
from backend.cluster.resources import NODES, PODS, PRIORITY_CLASSES, RESOURCE_QUOTAS
from backend.core.errors import NotFoundError
from backend.core.views import GpuSnapshotView, GpuState, GpuView
from backend.flows.fit import Fits, Ground
from backend.flows.forms import offered_taints
from backend.flows.foundation import Foundation
from backend.flows.lookup import Lookup
from backend.serving.deployment import DeploymentFile
from backend.telemetry.fit_types import Host

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
FORBIDDEN: Look[Any] = Look(sight=Sight.FORBIDDEN, why="viewer may not list it")


class _Client:
    """A cluster of which only what is given can be seen."""

    context = "east"

    def __init__(self, seen: dict[Any, Any]) -> None:
        self._seen = seen
        self.asked: list[tuple[str, str | None]] = []

    async def look(self, resource: Any, namespace: str | None = None, *, label_selector: str = "") -> Look[Any]:
        self.asked.append((resource.plural, namespace))
        found = self._seen.get((resource, namespace), self._seen.get(resource, FORBIDDEN))
        return found if isinstance(found, Look) else Look(sight=Sight.READ, objects=tuple(found))


class _Library:
    async def image(self, reference: str) -> Any:
        raise NotFoundError("image", "the library has none such", "synchronise it first")


def _fits(sampled: GpuSnapshotView | None = None, namespaces: tuple[str, ...] = ()) -> Fits:
    clock = SimpleNamespace(monotonic=lambda: 1.0)
    clusters = SimpleNamespace(link=lambda _context: SimpleNamespace(namespaces=namespaces))
    foundation = cast(Foundation, SimpleNamespace(clock=clock, clusters=clusters))
    return Fits(foundation, cast(Lookup, _Library()), lambda: sampled)


def _client(seen: dict[Any, Any]) -> ClusterClient:
    return cast(ClusterClient, _Client(seen))


def _file(**more: Any) -> DeploymentFile:
    base = {"name": "chat", "namespace": "n", "image": f"r.example/vllm@sha256:{'4f' * 32}", "resources": {"gpu": 8}}
    return DeploymentFile.model_validate({**base, **more})


def _node(name: str) -> Node:
    status = {"allocatable": {"nvidia.com/gpu": "8"}, "conditions": [{"type": "Ready", "status": "True"}]}
    return msgspec.convert({"metadata": {"name": name}, "status": status}, Node)


def _pod(name: str, namespace: str = "n", service: str = "old") -> Pod:
    raw = {
        "metadata": {
            "name": name, "namespace": namespace, "labels": {"serving.kserve.io/inferenceservice": service},
        },
        "spec": {"nodeName": "a", "containers": [{"resources": {"limits": {"nvidia.com/gpu": "8"}}}]},
        "status": {"phase": "Running"},
    }  # fmt: skip
    return msgspec.convert(raw, Pod)


async def test_without_nodes_nothing_is_told() -> None:
    fit = (await _fits().advice(_client({}), _file())).fit
    assert (fit.verdict, fit.sentence) == ("unknown", "it cannot be told: the cluster shows no nodes")
    assert "nodes: viewer may not list it" in fit.notes


async def test_pods_that_cannot_be_seen_are_told_of() -> None:
    seen = {NODES: [_node("a")], (PODS, "n"): [_pod("p")], PRIORITY_CLASSES: [], RESOURCE_QUOTAS: []}
    fit = (await _fits(namespaces=("n",)).advice(_client(seen), _file())).fit
    assert fit.verdict == "waits"
    assert [(room.name, room.gpus) for room in fit.goes] == [("old", 8)]
    assert fit.notes == ("only pods of these namespaces can be seen (n): nodes may have less room than is told",)


async def test_what_is_idle_is_told_with_since_when() -> None:
    def gpu(index: int, idle: datetime | None) -> GpuView:
        return GpuView(
            key=f"a/{index}", node="a", index=index, uuid="", product="", state=GpuState.IDLE, utilisation=None,
            engine_active=None, memory_used=None, memory_total=None, power=None, temperature=None, namespace="n",
            pod="p", idle_since=idle, source="dcgm", age=1.0,
        )  # fmt: skip

    seen = {NODES: [_node("a")], PODS: [_pod("p")], PRIORITY_CLASSES: [], RESOURCE_QUOTAS: []}
    for since, told in ((NOW - timedelta(hours=3), "idle for 3 h, priority 0"), (None, "priority 0")):
        gpus = (gpu(0, NOW - timedelta(hours=5)), gpu(1, since))
        fits = _fits(GpuSnapshotView(at=NOW, gpus=gpus, servers=(), notes=()))
        assert (await fits.advice(_client(seen), _file())).fit.goes[0].reason == told


async def test_a_revision_beside_the_old_one_finds_its_room_taken() -> None:
    seen = {NODES: [_node("a")], PODS: [_pod("p", service="chat")], PRIORITY_CLASSES: [], RESOURCE_QUOTAS: []}
    assert (await _fits().advice(_client(seen), _file())).fit.verdict == "now"
    fit = (await _fits().advice(_client(seen), _file(mode="Knative"))).fit
    assert fit.verdict == "waits"
    assert "beside the old one" in fit.notes[0]


async def test_an_unknown_priority_class_is_told_and_the_nodes_are_read_once_in_a_while() -> None:
    known = msgspec.convert({"metadata": {"name": "high"}, "value": 1}, PriorityClass)
    client = _Client({NODES: [_node("a")], PODS: [], PRIORITY_CLASSES: [known], RESOURCE_QUOTAS: []})
    fits = _fits()
    for name, noted in (("high", False), ("low", True)):
        fit = (await fits.advice(cast(ClusterClient, client), _file(priorityClass=name))).fit
        assert any("priority class low is not known" in note for note in fit.notes) is noted
    assert [plural for plural, _ in client.asked].count("nodes") == 1


def test_taints_that_keep_pods_away_are_offered() -> None:
    taints = (
        Taint(key="nvidia.com/gpu", value="true", effect="NoSchedule"),
        Taint(key="node.kubernetes.io/not-ready", effect="NoExecute"),
        Taint(key="dedicated", value="llm", effect="NoSchedule"),
        Taint(key="soft", effect="PreferNoSchedule"),
    )
    hosts = tuple(Host(name=name, allocatable={}, free={}, taints=taints) for name in "ab")
    ground = Ground(at=0.0, hosts=hosts, tenants=(), priorities=(), notes=())
    assert [(offer.value, offer.note) for offer in offered_taints(ground)] == [("dedicated=llm:NoSchedule", "2 nodes")]
