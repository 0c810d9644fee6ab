"""What is wrong with GPUs and services, and what of it cannot be told."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.errors import MalformedDataError
from backend.core.views import (
    GpuSnapshotView,
    GpuState,
    GpuView,
    LatencyView,
    ModelServerView,
    ObjectiveView,
    PendingView,
    ServiceMetricsView,
    ServiceView,
    Verdict,
)
from backend.telemetry import alertmanager, xid
from backend.telemetry.alert_config import AlertKind, ObjectiveConfig, Severity
from backend.telemetry.bottleneck import bottleneck_of
from backend.telemetry.conditions import Condition, findings
from backend.telemetry.judging import Judge

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
GPU = GpuView(
    key="gpu-03/4", context="prod", node="gpu-03", index=4, uuid="GPU-4", product="H100", state=GpuState.BUSY,
    utilisation=90, engine_active=90, memory_used=1, memory_total=2, power=600, temperature=70, source="dcgm", age=3.0,
    namespace="llm-prod", pod="qwen-vl-0", service="qwen-vl",
)  # fmt: skip
SERVICE = ServiceView(
    context="prod", namespace="llm-prod", name="qwen-vl", verdict=Verdict.DEGRADED, reason="a pod is lost",
    next_step="", since=NOW, ready_replicas=1, wanted_replicas=2, gpus=8,
)  # fmt: skip
SERVER = ModelServerView(
    context="prod", namespace="llm-prod", pod="qwen-vl-0", service="qwen-vl", engine="vllm", running=8, waiting=0,
    kv_cache=0.4, ttft_p95=0.3, inter_token_p95=0.02, prompt_tokens_per_second=100, generation_tokens_per_second=900,
    age=2,
)  # fmt: skip


def gpu(**changes: Any) -> GpuView:
    return msgspec.structs.replace(GPU, **changes)


def snapshot(*gpus: GpuView, **more: Any) -> GpuSnapshotView:
    return GpuSnapshotView(**{"at": NOW, "gpus": gpus, "servers": (), "notes": (), **more})


def found(*gpus: GpuView, **more: Any) -> list[Condition]:
    return list(findings(snapshot(*gpus, **more), (), NOW).conditions)


def test_an_xid_tells_its_class_its_node_and_whom_it_hits() -> None:
    hurt = gpu(state=GpuState.FAULT, xid=79, xid_class=xid.HARDWARE, xid_at=NOW - timedelta(minutes=2), cordoned=False)
    (told,) = findings(snapshot(hurt), (SERVICE,), NOW).conditions
    assert (told.kind, told.object, told.services) == (
        AlertKind.GPU_FAULT, "prod/gpu-03 GPU 4", ("prod/llm-prod/qwen-vl",),
    )  # fmt: skip
    assert told.summary == (
        "XID 79: the GPU has fallen off the bus (hardware); node not cordoned; hits llm-prod/qwen-vl,"
        " 1 of 2 replicas serve"
    )
    assert told.since == NOW - timedelta(minutes=2)


def test_an_error_of_an_application_matters_less_and_not_for_long() -> None:
    hurt = gpu(xid=31, xid_class=xid.APPLICATION, xid_at=NOW - timedelta(minutes=2))
    assert found(hurt)[0].severity is Severity.WARNING
    assert not found(gpu(xid=31, xid_class=xid.APPLICATION, xid_at=NOW - timedelta(minutes=11)))
    assert not found(gpu(xid=31, xid_class=xid.APPLICATION)), "one that was there when we began to look is no news"


def test_idle_gpus_of_one_service_are_one_thing() -> None:
    since = NOW - timedelta(hours=26)
    idle = [
        gpu(index=number, state=GpuState.IDLE, idle_since=since, wasted_hours=26.0, idle_cost=65.0, team="nlp")
        for number in range(8)
    ]
    (told,) = found(*idle)
    assert (told.kind, told.object, told.since) == (AlertKind.GPU_IDLE, "prod/llm-prod/qwen-vl", since)
    assert told.summary == "holds 8 GPUs on gpu-03 and does nothing, nlp, 208 GPU hours so far (about 520)"
    begun = gpu(state=GpuState.IDLE, idle_since=NOW, wasted_hours=0.01, idle_cost=0.03, currency="USD")
    (told,) = found(begun)
    assert told.summary == "holds 1 GPU on gpu-03 and does nothing", "hours and money below one are no news"
    (told,) = found(msgspec.structs.replace(begun, wasted_hours=4.0, idle_cost=11.8))
    assert told.summary.endswith("4 GPU hours so far (about 12 USD)")


def test_mig_instances_of_one_gpu_are_told_apart() -> None:
    one, two = (
        gpu(key=f"GPU-1/{number}", index=7, mig_profile="2g.20gb", state=GpuState.FAULT, error="gone")
        for number in (1, 2)
    )
    assert [told.object for told in found(one, two)] == ["prod/gpu-03 GPU 7:1 2g.20gb", "prod/gpu-03 GPU 7:2 2g.20gb"]


def test_a_power_cap_in_full_work_is_no_alert_and_heat_is() -> None:
    assert not found(gpu(throttle=("power cap",)))
    (told,) = found(gpu(throttle=("thermal", "power cap"), temperature=91.0))
    assert told.summary == "clocks of 1 GPU on gpu-03 are held down: thermal, up to 91 °C"


def test_what_is_not_measured_is_told_and_ends_no_fault() -> None:
    result = findings(snapshot(gpu(age=400.0), gpu(index=5)), (), NOW)
    (told,) = result.conditions
    assert told.summary == "what 1 of its 2 GPUs do is not known: last measured 400 s ago"
    assert (AlertKind.GPU_FAULT, "prod/gpu-03 GPU 4") in result.unknown


def test_a_context_whose_gpus_are_lost_ends_no_alert_on_them_while_another_answers() -> None:
    lost = gpu(age=400.0, state=GpuState.UNKNOWN)
    other = gpu(context="test", node="gpu-09", key="gpu-09/0")
    told = findings(snapshot(lost, other), (), NOW)
    assert told.dark == {"prod"}
    assert told.cannot_tell(AlertKind.GPU_IDLE, "prod/llm-prod/qwen-vl", ())
    assert not told.cannot_tell(AlertKind.GPU_IDLE, "test/llm-prod/qwen-vl", ())
    assert not findings(snapshot(lost, gpu(index=5), other), (), NOW).dark


def test_without_a_cluster_nothing_is_found_and_nothing_is_called_fine() -> None:
    away = snapshot(unreached="no route to host")
    assert findings(away, None, NOW).blind == frozenset(AlertKind)
    assert findings(None, None, NOW).blind == frozenset(AlertKind)


def test_a_pod_that_waits_for_gpus_is_told_with_where_they_are() -> None:
    waits = PendingView(
        context="prod", namespace="llm-prod", pod="big-0", service="big", resource="nvidia.com/gpu", gpus=8,
        since=NOW, sentence="8 GPUs: 11 free, no node has more than 5",
    )  # fmt: skip
    (told,) = found(pending=(waits,))
    assert (told.kind, told.object, told.summary) == (AlertKind.GPU_PENDING, "prod/llm-prod/big-0", waits.sentence)


def objective(measured: float | None, met: bool | None, **more: Any) -> ServiceMetricsView:
    view = ObjectiveView(**{
        "name": "ttft_p95", "promised": 1.0, "measured": measured, "burn": None, "met": met, "sentence": "TTFT", **more
    })  # fmt: skip
    return ServiceMetricsView(context="prod", namespace="llm-prod", service="llama", replicas=1, objectives=(view,))


def test_a_missed_objective_is_over_only_well_below_its_limit() -> None:
    assert [one.standing for one in found(services=(objective(1.2, False),))] == [False]
    assert [one.standing for one in found(services=(objective(0.95, True),))] == [True]
    assert found(services=(objective(0.8, True),)) == []
    assert found(services=(objective(None, None),)) == []


def test_a_service_that_is_down_or_runs_unapproved_is_told() -> None:
    failed = msgspec.structs.replace(SERVICE, verdict=Verdict.FAILED, reason="crash loop", approved=False)
    kinds = [one.kind for one in findings(snapshot(), (failed, SERVICE), NOW).conditions]
    assert kinds == [AlertKind.SERVICE_DOWN, AlertKind.UNAPPROVED]


def test_services_of_a_namespace_that_run_unapproved_are_one_alert_and_those_that_run_nothing_are_none() -> None:
    unapproved = [
        msgspec.structs.replace(SERVICE, name=name, namespace=namespace, approved=False, verdict=verdict)
        for name, namespace, verdict in (
            ("a", "llm-dev", Verdict.SERVING),
            ("b", "llm-dev", Verdict.STARTING),
            ("c", "llm-prod", Verdict.SERVING),
            ("d", "llm-prod", Verdict.STOPPED),
        )
    ]
    told = findings(snapshot(), unapproved, NOW).conditions
    assert [(one.object, one.summary.partition(":")[0]) for one in told] == [
        ("prod/llm-dev", "2 services run unapproved"), ("prod/llm-prod", "c runs unapproved"),
    ]  # fmt: skip
    assert told[0].services == ("prod/llm-dev/a", "prod/llm-dev/b")


@given(st.integers(0, 10_000))
def test_every_xid_has_at_most_one_class_and_a_sentence(number: int) -> None:
    assert xid.class_of(number) in {"", xid.APPLICATION, xid.HARDWARE}
    assert xid.sentence(number).startswith(f"XID {number}")
    assert bool(xid.meaning_of(number)) is bool(xid.class_of(number))


@pytest.mark.parametrize(
    ("server", "gpus", "name"),
    [
        ({"waiting": 41, "kv_cache": 0.97}, {}, "KV cache"),
        ({"waiting": 41, "kv_cache": 0.4}, {}, "queue"),
        ({"waiting": 41, "kv_cache": None}, {}, "queue"),
        ({"running": 0, "generation_tokens_per_second": 0.0}, {}, "asleep"),
        ({"running": 0, "generation_tokens_per_second": None}, {}, ""),
        ({"running": None, "waiting": None}, {}, ""),
        ({}, {"tensor_active": 60.0, "dram_active": 20.0}, "prefill"),
        ({}, {"tensor_active": 12.0, "dram_active": 70.0}, "decode"),
        ({}, {"tensor_active": 50.0, "dram_active": 45.0}, ""),
        ({}, {"tensor_active": 12.0, "dram_active": 70.0, "engine_active": 20.0}, ""),
        ({}, {"tensor_active": None, "dram_active": 70.0}, ""),
    ],
)
def test_the_bottleneck_is_told_with_its_numbers_or_not_at_all(
    server: dict[str, Any], gpus: dict[str, Any], name: str
) -> None:
    told = bottleneck_of(msgspec.structs.replace(SERVER, **server), [gpu(**gpus)])
    assert told.name == name
    assert bool(told.evidence) is bool(name)


def test_a_sample_is_judged_whole() -> None:
    slow = ServiceMetricsView(
        context="prod", namespace="llm-prod", service="qwen-vl", replicas=1, requests_per_second=3.0,
        ttft=LatencyView(p50=1, p95=3, p99=4),
    )  # fmt: skip
    judge = Judge([ObjectiveConfig.model_validate({"services": ["llm-prod/*"], "ttft_p95": "1s"})])
    told = judge.judge(
        snapshot(
            gpu(xid=79, tensor_active=10.0, dram_active=80.0), servers=(SERVER,), services=(slow,)
        ),
        {}, NOW,
    )  # fmt: skip
    assert (told.gpus[0].xid_class, told.servers[0].bottleneck) == (xid.HARDWARE, "decode")
    assert told.services[0].slow == "TTFT p95 3.0 s (objective 1.0 s)"


# What Alertmanager 0.27 answers to GET /api/v2/alerts, shortened.
PAGE = [
    {
        "annotations": {"summary": "GPU memory of \x1b[31mgpu-03 is remapped"},
        "endsAt": "2026-11-20T12:04:00.000Z", "fingerprint": "6ef0d1b3b1b0b1a5",
        "receivers": [{"name": "pager"}], "startsAt": "2026-11-20T11:30:00.000Z",
        "status": {"inhibitedBy": [], "silencedBy": [], "state": "active"}, "updatedAt": "2026-11-20T12:00:00.000Z",
        "generatorURL": "", "labels": {"alertname": "GpuRemap", "severity": "critical", "node": "gpu-03"},
    },
    {
        "annotations": {}, "fingerprint": "ab", "startsAt": "not a time", "status": {"state": "active"},
        "labels": {"alertname": "Slow", "namespace": "llm-prod", "inferenceservice": "llama"},
    },
    {"labels": {"alertname": "Hushed"}, "status": {"state": "suppressed"}, "fingerprint": "cd", "startsAt": ""},
]  # fmt: skip


def test_alertmanagers_alerts_are_read_with_what_they_are_about() -> None:
    first, second = alertmanager.read(msgspec.json.encode(PAGE), "am:9093", "prod", NOW)
    assert (first.object, first.severity, first.source) == ("GpuRemap gpu-03", "critical", "am:9093")
    assert "\x1b" not in first.summary
    assert first.since == datetime(2026, 11, 20, 11, 30, tzinfo=UTC)
    assert (second.since, second.services, second.severity) == (NOW, ("prod/llm-prod/llama",), "info")


@pytest.mark.parametrize("page", [b"", b"<html>", b"{}", b'[{"labels": 5}]', b"\xff\xfe", b"[1]"])
def test_another_answer_is_no_list_of_alerts(page: bytes) -> None:
    with pytest.raises(MalformedDataError, match="is that an Alertmanager"):
        alertmanager.read(page, "am:9093", "prod", NOW)


@given(st.binary(max_size=300))
def test_whatever_is_answered_is_read_or_refused(page: bytes) -> None:
    with contextlib.suppress(MalformedDataError):
        alertmanager.read(page, "am:9093", "prod", NOW)
