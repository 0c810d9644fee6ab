"""Whose GPUs are whose, by nodes and pods alone."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.cluster.objects import Pod
from backend.telemetry.inventory import assign, claims_of, node_view, nodes_with_gpus, slots
from backend.telemetry.readings import GpuReading, Holder
from tests.fakes.telemetry import node, pod

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def gpu(index: int, *holders: Holder, activity: float = 0, instance: str = "", profile: str = "") -> GpuReading:
    return GpuReading(
        uuid=f"GPU-{index}", node="gpu-01", index=index, product="H100", source="dcgm", engine_active=activity,
        instance=instance, mig_profile=profile, holders=holders,
    )  # fmt: skip


def test_nodes_tell_what_they_give_out_and_what_they_hold_back() -> None:
    found = nodes_with_gpus(
        [node("gpu-02", 7, capacity=8), node("gpu-01", 2, resource="nvidia.com/mig-1g.10gb"), node("cpu", 0)]
    )
    assert [(each.name, each.counts, each.unhealthy) for each in found] == [
        ("gpu-01", {"nvidia.com/mig-1g.10gb": 2}, {}),
        ("gpu-02", {"nvidia.com/gpu": 7}, {"nvidia.com/gpu": 1}),
    ]
    assert found[1].memory == 81559 << 20
    assert found[1].ready


def test_a_node_tells_its_pool_and_the_taints_that_are_no_state_of_it() -> None:
    taints = [
        {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"},
        {"key": "batch", "effect": "NoExecute"},
        {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
    ]
    held = node("gpu-01")
    held = msgspec.structs.replace(
        held,
        metadata=msgspec.structs.replace(held.metadata, labels={"eks.amazonaws.com/nodegroup": "h100"}),
        spec=msgspec.convert({"taints": taints, "unschedulable": True}, type(held.spec)),
    )
    view = node_view(nodes_with_gpus([held])[0], "prod")
    assert (view.context, view.name, view.pool, view.ready, view.cordoned) == ("prod", "gpu-01", "h100", True, True)
    assert view.taints == ("nvidia.com/gpu=present:NoSchedule", "batch:NoExecute")


def test_claims_are_of_pods_that_have_a_node_and_live() -> None:
    pods = [
        pod("serving", gpus=2, service="llama", image_id=f"docker-pullable://registry.example/vllm@{B}"),
        pod("done", gpus=1, phase="Succeeded"),
        pod("broken", gpus=1, phase="Failed"),
        pod("pending", "", gpus=1, phase="Pending"),
        pod("no-gpu"),
    ]
    (claim,) = claims_of(pods)
    assert (claim.pod, claim.count, claim.service, claim.holder) == ("serving", 2, "llama", "llm-prod/serving")
    assert claim.digests == (A, B)


@pytest.mark.parametrize("quantity", ["x", "-1", "1.5", "1e3", "", "9999999999999"])
def test_a_quantity_that_is_no_count_is_no_gpu(quantity: str) -> None:
    odd = msgspec.structs.replace(
        pod("odd", gpus=1),
        spec=msgspec.convert(
            {"nodeName": "n", "containers": [{"resources": {"limits": {"nvidia.com/gpu": quantity}}}]},
            type(pod("x").spec),
        ),
    )
    assert claims_of([odd]) == []


def test_what_the_exporter_says_counts() -> None:
    claims = claims_of([pod("p", gpus=1, service="s"), pod("q", gpus=1)])
    held, guessed = assign([gpu(0, Holder("llm-prod", "q")), gpu(1), gpu(2, Holder("llm-prod", "p"))], claims)
    assert {key: claim.pod for key, claim in held.items()} == {"GPU-0": "q", "GPU-2": "p"}
    assert held["GPU-2"].service == "s"
    assert not guessed


def test_a_holder_that_may_not_be_listed_is_shown_by_name() -> None:
    held, guessed = assign([gpu(0, Holder("secret", "p", "c"))], [])
    assert (held["GPU-0"].holder, held["GPU-0"].service) == ("secret/p", "")
    assert not guessed


def test_where_the_exporter_is_silent_the_working_gpus_go_to_the_claims_and_that_is_a_guess() -> None:
    held, guessed = assign([gpu(0), gpu(1, activity=90), gpu(2, activity=80)], claims_of([pod("p", gpus=2)]))
    assert set(held) == {"GPU-1", "GPU-2"}
    assert guessed


def test_a_claim_to_all_that_is_left_is_no_guess() -> None:
    held, guessed = assign([gpu(0), gpu(1)], claims_of([pod("p", gpus=2)]))
    assert len(held) == 2
    assert not guessed


def test_instances_go_to_claims_of_their_profile_or_to_whole_claims_where_all_are_instances() -> None:
    instances = [gpu(n, instance=str(n), profile="1g.10gb") for n in range(2)]
    mixed = claims_of([pod("p", gpus=1, resource="nvidia.com/mig-1g.10gb"), pod("q", gpus=1)])
    held, _ = assign([*instances, gpu(5)], mixed)
    assert {claim.pod for claim in held.values()} == {"p", "q"}
    assert held["GPU-5"].pod == "q"
    single, _ = assign(instances, claims_of([pod("q", gpus=2)]))
    assert len(single) == 2


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4)), max_size=4),
    st.lists(st.none() | st.integers(0, 5), max_size=8),
)
def test_nobody_gets_more_than_they_claim_beyond_what_the_exporter_says(
    wanted: list[tuple[int, int]], told: list[int | None]
) -> None:
    claims = claims_of([pod(f"p{name}", gpus=count) for name, count in dict(wanted).items()])
    readings = [gpu(n, *([] if name is None else [Holder("llm-prod", f"p{name}")])) for n, name in enumerate(told)]
    held, _ = assign(readings, claims)
    for claim in claims:
        said = sum(name is not None and claim.pod == f"p{name}" for name in told)
        assert sum(each.pod == claim.pod for each in held.values()) <= max(claim.count, said)
    free = len(readings) - len(held)
    assert free == 0 or sum(claim.count for claim in claims) <= len(held) + sum(n is not None for n in told)


def test_slots_of_a_node_that_nothing_measures() -> None:
    (found,) = nodes_with_gpus([node("gpu-01", 3, capacity=4)])
    rows = slots(found, claims_of([pod("p", gpus=2)]))
    assert [(claim.pod if claim else None, healthy) for _, claim, healthy in rows] == [
        ("p", True), ("p", True), (None, True), (None, False),
    ]  # fmt: skip


def test_a_node_that_gave_out_more_than_it_says_now_shows_all_that_it_gave() -> None:
    (found,) = nodes_with_gpus([node("gpu-01", 1, capacity=2)])
    assert sum(claim is not None for _, claim, _ in slots(found, claims_of([pod("p", gpus=2)]))) == 2


@given(st.binary(max_size=60))
def test_no_pod_breaks_the_claims(raw: bytes) -> None:
    try:
        decoded = msgspec.json.decode(raw, type=Pod)
    except msgspec.DecodeError:
        return
    assert claims_of([decoded]) == []
