"""Devices that the cluster names one by one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from backend.cluster.capacity_objects import ResourceClaim, ResourceSlice
from backend.cluster.objects import Node
from backend.core.errors import AccessDeniedError
from backend.core.views import GpuState
from backend.telemetry.collector import Collector
from backend.telemetry.devices import allocated_by_claims, devices_of
from tests.fakes.ports import FixedClock
from tests.fakes.telemetry import SmallCluster, dcgm_page, exporter, node, pod

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def device(name: str, uuid: str, **more: str) -> dict[str, Any]:
    attributes = {"type": "gpu", "uuid": uuid, "productName": "NVIDIA H100 80GB HBM3", **more}
    return {
        "name": name,
        "attributes": {key: {"string": value} for key, value in attributes.items()},
        "capacity": {"memory": {"value": "80Gi"}},
    }


def published(
    node_name: str, *devices: dict[str, Any], generation: int = 1, driver: str = "gpu.nvidia.com"
) -> ResourceSlice:
    spec = {
        "driver": driver, "nodeName": node_name, "devices": devices,
        "pool": {"name": node_name, "generation": generation, "resourceSliceCount": 1},
    }  # fmt: skip
    return msgspec.convert({"metadata": {"name": f"{node_name}-{generation}"}, "spec": spec}, ResourceSlice)


def claim(pod_name: str, *devices: tuple[str, str], driver: str = "gpu.nvidia.com") -> ResourceClaim:
    results = [{"request": "gpu", "driver": driver, "pool": pool, "device": name} for pool, name in devices]
    status = {
        "allocation": {"devices": {"results": results}},
        "reservedFor": [{"resource": "pods", "name": pod_name, "uid": f"uid-{pod_name}"}],
    }
    return msgspec.convert(
        {"metadata": {"name": f"claim-{pod_name}", "namespace": "llm-prod"}, "status": status}, ResourceClaim
    )


def bare_node(name: str) -> Node:
    return node(name, 0)


def test_only_the_newest_generation_of_a_pool_counts() -> None:
    found = devices_of(
        [
            published("gpu-01", device("gpu-0", "GPU-old"), device("gpu-1", "GPU-gone"), generation=1),
            published("gpu-01", device("gpu-0", "GPU-new"), generation=2),
            published("gpu-02", device("gpu-0", "GPU-2")),
            published("gpu-03", device("nic-0", "x"), driver="net.example.org"),
        ]
    )
    assert [(each.node, each.uuid) for each in found] == [("gpu-01", "GPU-new"), ("gpu-02", "GPU-2")]
    assert found[0].memory == 80 << 30


def test_names_of_attributes_may_have_their_domain() -> None:
    qualified = {"name": "mig-0", "attributes": {
        "gpu.nvidia.com/uuid": {"string": "MIG-1"}, "gpu.nvidia.com/type": {"string": "mig"},
        "gpu.nvidia.com/profile": {"string": "1g.10gb"}, "gpu.nvidia.com/parentUUID": {"string": "GPU-a"},
        "index": {"int": 3}, "driverVersion": {"version": "580.1.0"},
    }}  # fmt: skip
    (found,) = devices_of([published("gpu-01", qualified)])
    assert (found.uuid, found.profile, found.parent, found.memory) == ("MIG-1", "1g.10gb", "GPU-a", None)


def test_claims_of_other_drivers_and_pools_hold_nothing() -> None:
    devices = devices_of([published("gpu-01", device("gpu-0", "GPU-a"))])
    claims = [
        claim("a", ("gpu-01", "gpu-0")), claim("b", ("gpu-01", "gpu-7")), claim("c", ("gpu-01", "gpu-0"), driver="x"),
        msgspec.convert({"metadata": {"name": "open", "namespace": "llm-prod"}}, ResourceClaim),
    ]  # fmt: skip
    assert [(one.pod, one.device) for one in allocated_by_claims(claims, devices)] == [("a", "GPU-a")]


async def test_without_an_exporter_it_is_known_which_pod_holds_which_device() -> None:
    cluster = SmallCluster([bare_node("gpu-01")], [pod("llama-0", service="llama", labels={"team": "search"})])
    cluster.slices = [published("gpu-01", device("gpu-0", "GPU-a"), device("gpu-1", "GPU-b"))]
    cluster.resource_claim_list = [claim("llama-0", ("gpu-01", "gpu-1"))]
    collector = Collector(cluster, clock=FixedClock(NOON))
    free, held = (await collector.sample()).gpus
    await collector.close()
    assert (free.uuid, free.state, free.memory_total) == ("GPU-a", GpuState.FREE, 80 << 30)
    assert (held.uuid, held.state, held.service, held.team) == ("GPU-b", GpuState.UNKNOWN, "llama", "search")
    assert held.product == "NVIDIA H100 80GB HBM3"


async def test_an_exporter_that_names_no_pods_is_joined_by_uuid() -> None:
    busy = {"DEV_GPU_UTIL": 90, "PROF_GR_ENGINE_ACTIVE": 0.8}
    page = dcgm_page({"gpu": "0", "UUID": "GPU-a", **busy}, {"gpu": "1", "UUID": "GPU-b", **busy})
    cluster = SmallCluster(
        [bare_node("gpu-01")], [exporter("gpu-01"), pod("llama-0", service="llama")],
        {"gpu-operator/dcgm-gpu-01:9400/metrics": page},
    )  # fmt: skip
    cluster.slices = [published("gpu-01", device("gpu-0", "GPU-a"), device("gpu-1", "GPU-b"))]
    cluster.resource_claim_list = [claim("llama-0", ("gpu-01", "gpu-1"))]
    collector = Collector(cluster, clock=FixedClock(NOON))
    snapshot = await collector.sample()
    await collector.close()
    assert [gpu.service for gpu in snapshot.gpus] == ["", "llama"]
    assert snapshot.notes == ()


async def test_a_device_that_its_kubelet_finds_unwell_is_a_fault_and_its_pod_is_known_by_it() -> None:
    told = {
        "name": "kserve-container",
        "allocatedResourcesStatus": [
            {"name": "nvidia.com/gpu", "resources": [{"resourceID": "GPU-b", "health": "Unhealthy"}]}
        ],
    }
    holder = pod("llama-0", gpus=1, service="llama")
    status = msgspec.structs.replace(
        holder.status, container_statuses=(msgspec.convert(told, type(holder.status.container_statuses[0])),)
    ) if holder.status.container_statuses else holder.status  # fmt: skip
    busy = {"DEV_GPU_UTIL": 90, "PROF_GR_ENGINE_ACTIVE": 0.8}
    page = dcgm_page({"gpu": "0", "UUID": "GPU-a", **busy}, {"gpu": "1", "UUID": "GPU-b", **busy})
    cluster = SmallCluster(
        [node("gpu-01", 2)], [exporter("gpu-01"), msgspec.structs.replace(holder, status=status)],
        {"gpu-operator/dcgm-gpu-01:9400/metrics": page},
    )  # fmt: skip
    collector = Collector(cluster, clock=FixedClock(NOON))
    snapshot = await collector.sample()
    await collector.close()
    assert [(gpu.pod, gpu.state) for gpu in snapshot.gpus] == [("", GpuState.BUSY), ("llama-0", GpuState.FAULT)]
    assert "unhealthy" in snapshot.gpus[1].error
    assert snapshot.notes == ()


async def test_what_may_not_be_listed_is_told_with_what_it_needs() -> None:
    cluster = SmallCluster([node("gpu-01", 1)])
    cluster.failing["slices"] = AccessDeniedError("x", "may not", "ask")
    collector = Collector(cluster, clock=FixedClock(NOON))
    snapshot = await collector.sample()
    await collector.close()
    assert any("resourceslices.resource.k8s.io" in note for note in snapshot.notes)
    assert len(snapshot.gpus) == 1


async def test_a_pod_that_waits_for_gpus_is_told_with_what_keeps_it() -> None:
    waiting = pod("big-0", "", 8, service="big", phase="Pending", creationTimestamp="2026-11-20T11:55:00Z")
    cluster = SmallCluster(
        [node(name, 8) for name in ("gpu-01", "gpu-02")],
        [waiting, pod("a", "gpu-01", 3), pod("b", "gpu-02", 2), pod("cpu", "", phase="Pending")],
    )
    collector = Collector(cluster, clock=FixedClock(NOON), context="prod")
    (told,) = (await collector.sample()).pending
    await collector.close()
    assert (told.context, told.service, told.gpus, told.resource) == ("prod", "big", 8, "nvidia.com/gpu")
    assert told.since == datetime(2026, 11, 20, 11, 55, tzinfo=UTC)
    assert told.sentence == "8 GPUs: 11 free, no node has more than 6"
