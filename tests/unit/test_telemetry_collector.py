"""GPUs joined from all sources, and what happens when one of them does not answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from backend.cluster.objects import NodeSpec
from backend.core.errors import AccessDeniedError, UnreachableError
from backend.core.views import GpuSnapshotView, GpuState, GpuView
from backend.telemetry.collector import Collector
from backend.telemetry.readings import GpuReading, LocalGpus, Process
from backend.telemetry.rows import STALE_AFTER
from tests.fakes.demo_controller import Cluster
from tests.fakes.ports import FixedClock
from tests.fakes.telemetry import DemoClock, DemoSource, SmallCluster, dcgm_page, exporter, node, pod

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64
BUSY = {"DEV_GPU_UTIL": 90, "PROF_GR_ENGINE_ACTIVE": 0.8, "DEV_TOTAL_ENERGY_CONSUMPTION": 1000}
QUIET = {"DEV_GPU_UTIL": 0, "PROF_GR_ENGINE_ACTIVE": 0.0, "DEV_TOTAL_ENERGY_CONSUMPTION": 1000}
LLAMA = {"namespace": "llm-prod", "pod": "llama-0", "container": "kserve-container"}
VLLM = "vllm:num_requests_running 0\nvllm:num_requests_waiting 0\nvllm:generation_tokens_total %s\n"


def page(*gpus: dict[str, Any]) -> bytes:
    return dcgm_page(*({"gpu": str(n), "UUID": f"GPU-{n}", **gpu} for n, gpu in enumerate(gpus)))


def small(*gpus: dict[str, Any], **more: Any) -> SmallCluster:
    pods = [exporter("gpu-01"), pod("llama-0", gpus=1, service="llama")]
    return SmallCluster(
        [node("gpu-01", len(gpus))], pods, {"gpu-operator/dcgm-gpu-01:9400/metrics": page(*gpus), **more}
    )


async def sampled(cluster: SmallCluster | None, **options: Any) -> GpuSnapshotView:
    collector = Collector(cluster, clock=options.pop("clock", FixedClock(NOON)), **options)
    try:
        return await collector.sample()
    finally:
        await collector.close()


def states(snapshot: GpuSnapshotView) -> list[GpuState]:
    return [gpu.state for gpu in snapshot.gpus]


async def test_a_row_joins_gpu_pod_service_image_and_approval() -> None:
    cluster = small({**BUSY, **LLAMA}, QUIET)
    snapshot = await sampled(cluster, approved=lambda digests: digests == (DIGEST,))
    held, free = snapshot.gpus
    assert (held.key, held.node, held.state, held.pod, held.service) == (
        "GPU-0",
        "gpu-01",
        GpuState.BUSY,
        "llama-0",
        "llama",
    )
    assert (held.image_digest, held.approved, held.engine_active, held.age) == (DIGEST, True, 80, 0)
    assert (free.state, free.pod, free.approved, free.idle_since) == (GpuState.FREE, "", None, None)
    assert snapshot.notes == ()


async def test_idle_is_told_with_its_start_and_tokens_with_their_pod() -> None:
    clock = FixedClock(NOON)
    cluster = small({**QUIET, **LLAMA})
    cluster.pages["llm-prod/llama-0:8000/metrics"] = (VLLM % 100).encode()
    collector = Collector(cluster, clock=clock)
    await collector.sample()
    clock.advance(seconds=10)
    (gpu,) = (await collector.sample()).gpus
    assert (gpu.state, gpu.idle_since, gpu.tokens_per_second) == (GpuState.IDLE, NOON, 0)
    clock.advance(seconds=10)
    cluster.pages["llm-prod/llama-0:8000/metrics"] = (VLLM % 600).encode()
    snapshot = await collector.sample()
    (gpu,), (server,) = snapshot.gpus, snapshot.servers
    assert (gpu.state, gpu.idle_since, gpu.tokens_per_second) == (GpuState.BUSY, None, 50)
    assert (server.pod, server.service, server.engine, server.age) == ("llama-0", "llama", "vllm", 0)
    assert server.generation_tokens_per_second == 50
    await collector.close()


async def test_tokens_of_a_pod_are_shared_by_its_gpus() -> None:
    clock = FixedClock(NOON)
    cluster = small({**BUSY, **LLAMA}, {**BUSY, **LLAMA})
    cluster.pod_list[1] = pod("llama-0", gpus=2, service="llama")
    collector = Collector(cluster, clock=clock)
    for total in (0, 1000):
        cluster.pages["llm-prod/llama-0:8000/metrics"] = (VLLM % total).encode()
        snapshot = await collector.sample()
        clock.advance(seconds=10)
    assert [gpu.tokens_per_second for gpu in snapshot.gpus] == [50, 50]
    await collector.close()


async def test_hardware_errors_are_faults_and_those_of_programs_are_told() -> None:
    snapshot = await sampled(small({**BUSY, **LLAMA, "DEV_XID_ERRORS": 79}, {**QUIET, "DEV_XID_ERRORS": 31}))
    assert [(gpu.state, gpu.error) for gpu in snapshot.gpus] == [
        (GpuState.FAULT, "XID 79: the GPU has fallen off the bus (hardware)"),
        (GpuState.FREE, "XID 31: memory page fault (application)"),
    ]  # fmt: skip


async def test_exporters_are_found_by_both_labels_and_each_gpu_counts_once() -> None:
    cluster = small(BUSY)
    cluster.pod_list = [exporter("gpu-01"), exporter("gpu-02", current=False)]
    cluster.pages["gpu-operator/dcgm-gpu-02:9400/metrics"] = dcgm_page(
        {"gpu": "0", "UUID": "GPU-0", **BUSY}, {"gpu": "0", "UUID": "GPU-9", **QUIET}
    )
    snapshot = await sampled(cluster)
    assert [(gpu.key, gpu.node) for gpu in snapshot.gpus] == [("GPU-0", "gpu-01"), ("GPU-9", "gpu-02")]


async def test_without_an_exporter_the_cluster_tells_who_holds_what_and_a_note_what_is_missing() -> None:
    cluster = SmallCluster([node("gpu-01", 2, capacity=3)], [pod("llama-0", gpus=1, service="llama")])
    snapshot = await sampled(cluster)
    assert states(snapshot) == [GpuState.UNKNOWN, GpuState.FREE, GpuState.FAULT]
    assert snapshot.gpus[0].service == "llama"
    assert all(gpu.utilisation is None and gpu.age is None for gpu in snapshot.gpus)
    assert "no dcgm-exporter on gpu-01" in snapshot.notes[0]


@pytest.mark.parametrize(
    ("what", "text"), [("nodes", "it needs `list` on `nodes`"), ("pods", "it needs `list` on `pods`")]
)
async def test_a_missing_right_is_named(what: str, text: str) -> None:
    cluster = small(BUSY)
    cluster.failing[what] = AccessDeniedError("list", "may not", "ask")
    snapshot = await sampled(cluster)
    assert any(text in note for note in snapshot.notes)


async def test_a_cluster_that_does_not_answer_is_told_once_and_asked_again_later() -> None:
    clock = FixedClock(NOON)
    cluster = small(BUSY)
    cluster.failing["nodes"] = UnreachableError("api", "connection refused", "look")
    collector = Collector(cluster, clock=clock, inventory_every=10)
    assert (await collector.sample()).notes == ("the cluster does not answer: connection refused",)
    cluster.failing.clear()
    clock.advance(seconds=5)
    assert (await collector.sample()).gpus == ()
    clock.advance(seconds=5)
    snapshot = await collector.sample()
    assert (len(snapshot.gpus), snapshot.notes) == (1, ())
    await collector.close()


async def test_an_exporter_that_stops_answering_grows_old_and_holds_up_nobody() -> None:
    clock = FixedClock(NOON)
    cluster = small({**BUSY, **LLAMA})
    cluster.pod_list.append(exporter("gpu-02"))
    cluster.pages["gpu-operator/dcgm-gpu-02:9400/metrics"] = dcgm_page({"gpu": "0", "UUID": "GPU-9", **QUIET})
    collector = Collector(cluster, clock=clock, patience=0.05)
    assert states(await collector.sample()) == [GpuState.BUSY, GpuState.FREE]
    never = asyncio.Event()

    async def hang() -> bytes:
        await never.wait()
        return b""

    cluster.pages["gpu-operator/dcgm-gpu-01:9400/metrics"] = hang
    for second in range(1, 4):
        clock.advance(seconds=30)
        cluster.pages["gpu-operator/dcgm-gpu-02:9400/metrics"] = dcgm_page(
            {"gpu": "0", "UUID": "GPU-9", **QUIET, "DEV_TOTAL_ENERGY_CONSUMPTION": 1000 + second}
        )
        held, other = (await collector.sample()).gpus
        assert (held.age, other.age, held.state) == (30 * second, 0, GpuState.BUSY)
    clock.advance(seconds=STALE_AFTER)
    held, _ = (await collector.sample()).gpus
    assert (held.state, held.utilisation) == (GpuState.UNKNOWN, 90)
    await collector.close()


async def test_the_first_sample_waits_longer_since_there_is_nothing_to_show_before() -> None:
    class Slow(SmallCluster):
        async def nodes(self) -> Any:
            await asyncio.sleep(0.2)
            return self.node_list

    cluster = Slow([node("gpu-01", 2)])
    assert len((await sampled(cluster, patience=0.1)).gpus) == 2


async def test_an_exporter_that_repeats_itself_grows_old() -> None:
    clock = FixedClock(NOON)
    collector = Collector(small({**BUSY, **LLAMA}), clock=clock)
    await collector.sample()
    clock.advance(seconds=40)
    (gpu,) = (await collector.sample()).gpus
    assert (gpu.age, gpu.state) == (40, GpuState.BUSY)
    clock.advance(seconds=60)
    (gpu,) = (await collector.sample()).gpus
    assert (gpu.age, gpu.state) == (100, GpuState.UNKNOWN)
    await collector.close()


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (UnreachableError("x", "connection refused", "look"), "connection refused"),
        (AccessDeniedError("x", "may not get pods/proxy", "ask"), "may not get pods/proxy"),
        (b"<html></html>", "not a page of metrics"),
    ],
)
async def test_an_exporter_that_fails_is_named_with_its_node(answer: Any, text: str) -> None:
    cluster = small(BUSY)
    cluster.pages["gpu-operator/dcgm-gpu-01:9400/metrics"] = answer
    snapshot = await sampled(cluster)
    assert any(note.startswith("gpu-01: its dcgm-exporter is not read") and text in note for note in snapshot.notes)
    assert states(snapshot) == [GpuState.UNKNOWN]


async def test_an_exporter_that_is_gone_takes_its_rows_along() -> None:
    clock = FixedClock(NOON)
    cluster = small({**BUSY, **LLAMA})
    collector = Collector(cluster, clock=clock, inventory_every=0)
    assert (await collector.sample()).gpus[0].source == "dcgm"
    del cluster.pod_list[0]
    assert (await collector.sample()).gpus[0].source == "cluster"
    await collector.close()


async def test_model_servers_are_asked_at_their_known_places_and_left_alone_for_a_while_when_silent() -> None:
    clock = FixedClock(NOON)
    cluster = small({**QUIET, **LLAMA})
    cluster.pod_list += [pod("training", gpus=1), pod("starting", gpus=1, service="x", phase="Pending")]
    collector = Collector(cluster, clock=clock)
    (server,) = (await collector.sample()).servers
    assert (server.engine, server.age) == ("", None)
    assert "no metrics found" in server.note
    asked = [address for address in cluster.asked if "llm-prod" in address]
    assert {address.partition(":")[0] for address in asked} == {"llm-prod/llama-0"}
    assert "llm-prod/llama-0:8000/v1/metrics" in asked
    cluster.asked.clear()
    clock.advance(seconds=10)
    await collector.sample()
    assert not [address for address in cluster.asked if "llm-prod" in address]
    cluster.pages["llm-prod/llama-0:8000/v1/metrics"] = b"num_requests_running 2\n"
    clock.advance(seconds=60)
    (server,) = (await collector.sample()).servers
    assert (server.engine, server.running, server.note) == ("nim", 2, "")
    cluster.asked.clear()
    clock.advance(seconds=2)
    await collector.sample()
    assert [address for address in cluster.asked if "llm-prod" in address] == ["llm-prod/llama-0:8000/v1/metrics"]
    await collector.close()


async def test_a_pod_that_says_where_its_metrics_are_is_asked_there_first() -> None:
    cluster = small(QUIET)
    cluster.pod_list[1] = pod(
        "llama-0",
        gpus=1,
        annotations={"prometheus.io/scrape": "true", "prometheus.io/port": "9001", "prometheus.io/path": "/m"},
    )
    cluster.pages["llm-prod/llama-0:9001/m"] = (VLLM % 1).encode()
    snapshot = await sampled(cluster)
    assert [server.engine for server in snapshot.servers] == ["vllm"]
    assert not [address for address in cluster.asked if ":8000" in address]


class Local:
    """This machine, with one GPU or without a driver."""

    def __init__(self, answer: LocalGpus) -> None:
        self.answer = answer
        self.closed = False

    async def sample(self) -> LocalGpus:
        return self.answer

    async def close(self) -> None:
        self.closed = True


OWN = GpuReading(
    uuid="GPU-own",
    node="bastion",
    index=0,
    product="RTX",
    source="nvml",
    utilisation=30,
    processes=(Process(71, "python", 5),),
)


async def test_this_machines_own_gpus_are_rows_too() -> None:
    local = Local(LocalGpus((OWN,), 0.0, "", True))
    snapshot = await sampled(None, local=local)
    assert [(gpu.key, gpu.source, gpu.state) for gpu in snapshot.gpus] == [("GPU-own", "nvml", GpuState.BUSY)]
    assert snapshot.gpus[0].processes == ((71, "python", 5),)
    assert "no cluster is connected" in snapshot.notes[0]
    assert local.closed


async def test_a_machine_without_a_driver_is_no_news_where_the_cluster_has_gpus() -> None:
    absent = Local(LocalGpus((), None, "no NVIDIA driver here", False))
    assert (await sampled(small(BUSY), local=absent)).notes == ()
    assert "this machine: no NVIDIA driver here" in (await sampled(None, local=absent)).notes


async def test_a_mistake_of_ours_is_not_swallowed() -> None:
    class Broken(SmallCluster):
        async def nodes(self) -> Any:
            raise ZeroDivisionError

    collector = Collector(Broken(), clock=FixedClock(NOON))
    await collector.sample()
    with pytest.raises(ZeroDivisionError):
        await collector.sample()
    await collector.close()


async def test_the_demo_clusters_gpus_work_idle_and_fail() -> None:
    demo = Cluster(seeded=True)
    demo.advance(300, 1)
    clock = DemoClock(demo)
    collector = Collector(DemoSource(demo), clock=clock, approved=lambda digests: True)
    for _ in range(3):
        snapshot = await collector.sample()
        demo.advance(2)
    await collector.close()
    counted = Counter(gpu.state for gpu in snapshot.gpus)
    instances = [gpu for gpu in snapshot.gpus if gpu.mig_profile]
    assert len(snapshot.gpus) == 31 + len(instances)
    assert "rerank" in [gpu.service for gpu in instances]
    assert [gpu.service for gpu in snapshot.gpus if "thermal" in gpu.throttle] == ["llama-70b"]
    assert counted[GpuState.BUSY] and counted[GpuState.IDLE] and counted[GpuState.FREE] and counted[GpuState.FAULT]
    busy: list[GpuView] = [gpu for gpu in snapshot.gpus if gpu.state is GpuState.BUSY]
    assert all(gpu.service and gpu.image_digest and gpu.approved for gpu in busy)
    assert any((gpu.tokens_per_second or 0) > 0 for gpu in busy)
    assert {server.engine for server in snapshot.servers} >= {"vllm", "nim"}
    assert clock.now() - snapshot.at == timedelta(seconds=2)


async def test_a_row_tells_where_each_of_its_fields_comes_from_and_how_old_it_is() -> None:
    clock = FixedClock(NOON)
    cluster = small({**BUSY, **LLAMA})
    cluster.pages["llm-prod/llama-0:8000/metrics"] = (VLLM % 100).encode()
    collector = Collector(cluster, clock=clock, context="prod", inventory_every=60)
    await collector.sample()
    clock.advance(seconds=10)
    cluster.pages["llm-prod/llama-0:8000/metrics"] = UnreachableError("x", "gone", "look")
    (gpu,) = (await collector.sample()).gpus
    assert (gpu.context, gpu.source, gpu.age) == ("prod", "dcgm", 10)
    assert {(cell.field, cell.source, cell.age) for cell in gpu.cells} == {
        ("tokens_per_second", "vllm", 10), ("service", "cluster", 10), ("cordoned", "cluster", 10),
    }  # fmt: skip
    await collector.close()


async def test_the_gpus_of_a_replica_stand_side_by_side_by_rank() -> None:
    clock = FixedClock(NOON)
    power = {"DEV_POWER_USAGE": 400}
    cluster = small(*({**BUSY, **LLAMA, **power} for _ in range(2)), {**BUSY, **power})
    cluster.pod_list[1] = pod("llama-0", gpus=2, service="llama", labels={"team": "search"})
    collector = Collector(cluster, clock=clock)
    for total in (0, 8000):
        cluster.pages["llm-prod/llama-0:8000/metrics"] = (VLLM % total).encode()
        snapshot = await collector.sample()
        clock.advance(seconds=10)
    await collector.close()
    assert [(gpu.rank, gpu.team, gpu.tokens_per_joule) for gpu in snapshot.gpus] == [
        (0, "search", 1.0), (1, "search", 1.0), (None, "", None),
    ]  # fmt: skip
    (service,) = snapshot.services
    assert (service.generation_tokens_per_second, service.tokens_per_joule) == (800, 1.0)


async def test_a_gpu_that_is_busy_without_tokens_is_told_after_a_while() -> None:
    clock = FixedClock(NOON)
    cluster = small({**BUSY, **LLAMA, "PROF_PIPE_TENSOR_ACTIVE": 0.001})
    cluster.pages["llm-prod/llama-0:8000/metrics"] = (VLLM % 100).encode()
    collector = Collector(cluster, clock=clock)
    told = []
    for second in range(0, 240, 10):
        cluster.pages["gpu-operator/dcgm-gpu-01:9400/metrics"] = page(
            {**BUSY, **LLAMA, "PROF_PIPE_TENSOR_ACTIVE": 0.001, "DEV_TOTAL_ENERGY_CONSUMPTION": 1000 * second}
        )
        told.append((await collector.sample()).gpus[0].useless)
        clock.advance(seconds=10)
    assert told[:6] == [""] * 6
    assert told[-1] == "80 % busy for 3 min with no tokens and no work for its tensor cores"
    await collector.close()


async def test_what_a_cordoned_node_has_is_told_so_and_idle_hours_count_for_a_slice_as_a_slice() -> None:
    clock = FixedClock(NOON)
    instance = {"GPU_I_PROFILE": "2g.20gb", "GPU_I_ID": "3", "UUID": "GPU-0", **LLAMA, "PROF_GR_ENGINE_ACTIVE": 0.0}
    cluster = small({**instance, "DEV_TOTAL_ENERGY_CONSUMPTION": 1})
    cluster.node_list[0] = msgspec.structs.replace(cluster.node_list[0], spec=NodeSpec(unschedulable=True))
    collector = Collector(cluster, clock=clock)
    for second in range(0, 3601, 60):
        cluster.pages["gpu-operator/dcgm-gpu-01:9400/metrics"] = page(
            {**instance, "DEV_TOTAL_ENERGY_CONSUMPTION": second}
        )
        (gpu,) = (await collector.sample()).gpus
        clock.advance(seconds=60)
    assert (gpu.cordoned, gpu.state) == (True, GpuState.IDLE)
    assert gpu.wasted_hours == pytest.approx(2 / 7)
    await collector.close()


async def test_an_error_keeps_the_time_at_which_it_was_first_seen() -> None:
    clock = FixedClock(NOON)
    cluster = small({**BUSY, "DEV_XID_ERRORS": 0})
    collector = Collector(cluster, clock=clock)
    there = page({**BUSY, "DEV_XID_ERRORS": 31})
    cluster.pages["gpu-operator/dcgm-gpu-01:9400/metrics"] = there
    (gpu,) = (await collector.sample()).gpus
    assert (gpu.xid, gpu.xid_at) == (31, None)
    for energy in (1, 2, 3):
        cluster.pages["gpu-operator/dcgm-gpu-01:9400/metrics"] = page(
            {**BUSY, "DEV_XID_ERRORS": 79, "DEV_TOTAL_ENERGY_CONSUMPTION": energy}
        )
        clock.advance(seconds=10)
        (gpu,) = (await collector.sample()).gpus
    assert (gpu.xid, gpu.xid_at, gpu.age) == (79, NOON + timedelta(seconds=10), 0)
    await collector.close()


async def test_a_clock_that_is_set_makes_nothing_idle_for_longer() -> None:
    clock = FixedClock(NOON)
    cluster = small({**QUIET, **LLAMA})
    collector = Collector(cluster, clock=clock)
    for energy in range(3):
        cluster.pages["gpu-operator/dcgm-gpu-01:9400/metrics"] = page(
            {**QUIET, **LLAMA, "DEV_TOTAL_ENERGY_CONSUMPTION": energy}
        )
        (gpu,) = (await collector.sample()).gpus
        clock.advance(seconds=60)
    assert gpu.wasted_hours == pytest.approx(2 / 60)
    clock.advance(hours=-3)
    (gpu,) = (await collector.sample()).gpus
    assert gpu.wasted_hours == pytest.approx(3 / 60)
    await collector.close()


@pytest.mark.parametrize(
    ("place", "text", "engine"),
    [
        ("8000/metrics", 'vllm:num_requests_running{model_name="m"} 1', "vllm"),
        ("8000/metrics", "vllm:num_requests_running 1\nvllm:gpu_cache_usage_perc 0.1", "vllm"),
        ("8080/metrics", "vllm:num_requests_running 1", "vllm"),
        ("8000/v1/metrics", "num_requests_running 1", "nim"),
        ("8000/v1/metrics", "vllm:num_requests_running 1", "vllm"),
        ("8000/v1/metrics", "sglang:num_running_reqs 1", "sglang"),
        ("8000/prometheus/metrics", "trtllm_num_requests_running 1", "trtllm"),
        ("8002/metrics", 'nv_trt_llm_request_metrics{request_type="active"} 1', "triton"),
        ("30000/metrics", "sglang:num_running_reqs 1", "sglang"),
        ("3000/metrics", "tgi_batch_current_size 1", "tgi"),
    ],
)
async def test_every_server_is_found_where_it_tells_of_itself(place: str, text: str, engine: str) -> None:
    cluster = small({**BUSY, **LLAMA})
    # What answers elsewhere in the pod is no model server.
    cluster.pages |= {
        "llm-prod/llama-0:8000/metrics": b"python_info 1\n", "llm-prod/llama-0:8080/metrics": b"[{\"iter\": 1}]",
        f"llm-prod/llama-0:{place}": text.encode() + b"\n",
    }  # fmt: skip
    (server,) = (await sampled(cluster)).servers
    assert (server.engine, server.running, server.note) == (engine, 1, "")


async def test_what_is_not_allowed_is_told_with_the_verb_that_it_needs() -> None:
    cluster = small({**BUSY, **LLAMA})
    refused = AccessDeniedError("x", "you may not", "ask")
    cluster.pages = dict.fromkeys(["gpu-operator/dcgm-gpu-01:9400/metrics", "llm-prod/llama-0:8000/metrics"], refused)
    snapshot = await sampled(cluster)
    assert any("`get` on `pods/proxy` in gpu-operator" in note for note in snapshot.notes)
    assert "`get` on `pods/proxy` in llm-prod" in snapshot.servers[0].note


async def test_a_server_that_has_to_be_asked_to_tell_is_said_so() -> None:
    cluster = small({**BUSY, **LLAMA})
    cluster.pod_list[1] = pod("llama-0", gpus=1, service="llama", image="lmsysorg/sglang:v0.5")
    (server,) = (await sampled(cluster)).servers
    assert server.note.endswith("sglang tells of itself when it is started with --enable-metrics")


async def test_what_was_idle_before_the_program_was_started_anew_is_idle_since_then() -> None:
    clock = FixedClock(NOON)
    cluster = small({**QUIET, **LLAMA}, {**BUSY, **LLAMA})
    before = await sampled(cluster, clock=clock)
    clock.advance(minutes=10)
    collector = Collector(cluster, clock=clock)
    collector.remember(before)
    idle, busy = (await collector.sample()).gpus
    assert (idle.idle_since, busy.idle_since) == (NOON, None)
    await collector.close()
