"""Where pods fit, what they wait for and what would have to go: held against trying every placement there is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import combinations, product
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.cluster.objects import Node, Pod, Taint, Toleration
from backend.telemetry.fit import barred, check, tolerated
from backend.telemetry.fit_inputs import amounts_of, amounts_of_pod, ask_of_pod, hosts_of, tenants_of, why_pending
from backend.telemetry.fit_room import by_idleness, evict
from backend.telemetry.fit_types import UNIT, Ask, Host, Spread, Tenant, memory_of
from backend.telemetry.fit_words import fragmentation

GPU = "nvidia.com/gpu"


def _host(name: str, gpus: int, cpu: int = 64, *, size: int = 8, **more: Any) -> Host:
    return Host(
        name=name,
        allocatable={GPU: size * UNIT, "cpu": 64 * UNIT},
        free={GPU: gpus * UNIT, "cpu": cpu * UNIT},
        **more,
    )


def _ask(gpus: int, pods: int = 1, cpu: int = 1, **more: Any) -> Ask:
    return Ask(pods=pods, amounts={GPU: gpus * UNIT, "cpu": cpu * UNIT}, resource=GPU, **more)


def _tenant(name: str, node: str, gpus: int, priority: int = 0, hours: int = 0, cpu: int = 0) -> Tenant:
    idle = timedelta(hours=hours) if hours else None
    amounts = {GPU: gpus * UNIT, "cpu": cpu * UNIT}
    return Tenant(namespace="n", pod=name, node=node, service=name, amounts=amounts, priority=priority, idle=idle)


# ------------------------------------------------------------ against an oracle


def _placements(pods: int, hosts: int) -> Iterator[tuple[int, ...]]:
    return (counts for counts in product(range(pods + 1), repeat=hosts) if sum(counts) <= pods)


def _holds(ask: Ask, host: Host, count: int) -> bool:
    if count and barred(ask, host):
        return False
    return all(host.free.get(key, 0) >= count * amount for key, amount in ask.amounts.items() if count)


def _most(ask: Ask, hosts: list[Host]) -> int:
    """As many pods as any placement holds."""
    return max(
        sum(counts)
        for counts in _placements(ask.pods, len(hosts))
        if all(_holds(ask, host, count) for host, count in zip(hosts, counts, strict=True))
    )


_HOSTS = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 8), st.booleans(), st.sampled_from(["a", "b", "c"])),
    min_size=1,
    max_size=3,
).map(
    lambda rows: [
        _host(f"n{number}", gpus, cpu, cordoned=cordoned, labels={"zone": zone})
        for number, (gpus, cpu, cordoned, zone) in enumerate(rows)
    ]
)
_ASKS = st.builds(_ask, st.integers(0, 5), st.integers(1, 4), st.integers(1, 4))


@given(_ASKS, _HOSTS)
def test_as_many_pods_fit_as_the_best_placement_holds(ask: Ask, hosts: list[Host]) -> None:
    found = check(ask, hosts)
    assert found.fitting == _most(ask, hosts)
    assert found.sentence
    assert found.now == (found.fitting == ask.pods)


@given(_ASKS, _HOSTS, st.integers(1, 2))
def test_a_hard_spread_is_held_to_at_every_pod(ask: Ask, hosts: list[Host], skew: int) -> None:
    """Against every order in which a scheduler could place the pods one after the other."""
    asked = msgspec.structs.replace(ask, spread=(Spread(key="zone", skew=skew),))
    zones = sorted({host.labels["zone"] for host in hosts})

    def best(counts: tuple[int, ...]) -> int:
        in_zone = {
            zone: sum(n for n, host in zip(counts, hosts, strict=True) if host.labels["zone"] == zone) for zone in zones
        }
        most = sum(counts)
        if most == asked.pods:
            return most
        for number, host in enumerate(hosts):
            more = tuple(count + (place == number) for place, count in enumerate(counts))
            zone = host.labels["zone"]
            if _holds(asked, host, more[number]) and in_zone[zone] + 1 - min(in_zone.values()) <= skew:
                most = max(most, best(more))
        return most

    assert check(asked, hosts).fitting == best((0,) * len(hosts))


_TENANTS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 4), st.integers(0, 2), st.integers(0, 3), st.integers(0, 2)), max_size=5
).map(
    lambda rows: [
        _tenant(f"t{number}", f"n{node}", gpus, priority, hours, cpu)
        for number, (node, gpus, priority, hours, cpu) in enumerate(rows)
    ]
)


def _without(hosts: list[Host], gone: list[Tenant]) -> list[Host]:
    found = []
    for host in hosts:
        free = dict(host.free)
        for tenant in gone:
            if tenant.node == host.name:
                for key, amount in tenant.amounts.items():
                    free[key] = free.get(key, 0) + amount
        found.append(msgspec.structs.replace(host, free=free))
    return found


@given(_ASKS, _HOSTS, _TENANTS)
def test_what_has_to_go_is_enough_and_none_of_it_too_much(ask: Ask, hosts: list[Host], tenants: list[Tenant]) -> None:
    hosts = [msgspec.structs.replace(host, cordoned=False) for host in hosts]
    tenants = [tenant for tenant in tenants if tenant.node in {host.name for host in hosts}]
    gone = list(evict(ask, hosts, tenants, by_idleness))
    possible = any(
        _most(ask, _without(hosts, list(some))) >= ask.pods
        for count in range(len(tenants) + 1)
        for some in combinations(tenants, count)
    )
    if not gone:
        assert not possible or _most(ask, hosts) >= ask.pods
        return
    assert _most(ask, _without(hosts, gone)) >= ask.pods
    for spared in gone:
        assert _most(ask, _without(hosts, [each for each in gone if each is not spared])) < ask.pods


@given(st.integers(1, 16), st.dictionaries(st.text(max_size=3), st.integers(0, 8), max_size=5))
def test_fragmentation_is_told_exactly_when_no_node_has_enough(gpus: int, free: dict[str, int]) -> None:
    told = fragmentation(GPU, gpus, free)
    assert bool(told) == all(count < gpus for count in free.values())


# ------------------------------------------------------------ sentences


def test_the_sentence_tells_fragmentation() -> None:
    hosts = [_host("n1", 5), _host("n2", 3), _host("n3", 3)]
    assert check(_ask(8), hosts).sentence == "8 GPUs: 11 free, no node has more than 5"
    assert check(_ask(8), hosts[1:2]).sentence == "8 GPUs: 3 free"
    assert check(_ask(1), [_host("n1", 0)]).sentence == "1 GPU: none free"
    assert check(_ask(16), hosts).sentence == "16 GPUs: no node has more than 8 in all"
    assert check(_ask(16), hosts).never
    assert check(_ask(1), []).sentence == "the cluster shows no nodes"


def test_the_sentence_tells_of_free_gpus_that_are_shut_away() -> None:
    hosts = [_host("n1", 1), _host("n2", 8, cordoned=True)]
    assert check(_ask(4), hosts).sentence == "4 GPUs: 1 free; 8 more on n2: it is cordoned"


def test_the_sentence_tells_which_other_resource_lacks() -> None:
    hosts = [_host("n1", 8, cpu=2), _host("n2", 8, cpu=3)]
    assert check(_ask(1, cpu=4), hosts).sentence == "4 CPU: no more than 3 CPU left on any of the 2 nodes that take it"


def test_the_sentence_tells_why_no_node_takes_the_pods() -> None:
    taint = Taint(key="dedicated", value="x", effect="NoSchedule")
    hosts = [_host("n1", 8, taints=(taint,)), _host("n2", 8, labels={"gpu": "a"})]
    told = check(_ask(1, node_selector={"gpu": "b"}), hosts).sentence
    assert "n1: it has no label gpu" in told
    assert "n2: its label gpu is 'a', not 'b'" in told
    assert "taint dedicated=x is not tolerated" in check(_ask(1), hosts[:1]).sentence
    other = Ask(pods=1, amounts={"nvidia.com/mig-1g.10gb": UNIT}, resource="nvidia.com/mig-1g.10gb")
    assert check(other, hosts).sentence == "no node has nvidia.com/mig-1g.10gb"


def test_what_several_nodes_have_in_common_is_said_of_all() -> None:
    hosts = [_host("n1", 8, cordoned=True), _host("n2", 8, cordoned=True), _host("n3", 8, gpu_memory=8 << 30)]
    told = check(_ask(1, gpu_memory=9 << 30), hosts).sentence
    assert told == (
        "no node takes it: n1 and n2: they are cordoned; n3: its GPUs hold 8 GiB each, and 9 GiB are needed"
    )


def test_several_pods_are_counted_together() -> None:
    hosts = [_host("n1", 5), _host("n2", 4)]
    found = check(_ask(4, pods=3), hosts)
    assert (found.fitting, found.now) == (2, False)
    assert found.sentence == "2 of 3 pods fit; the next waits: 4 GPUs: 1 free"
    assert [place.host.name for place in check(_ask(4, pods=2), hosts).places] == ["n1", "n2"]
    assert check(_ask(4, pods=2), hosts).now


def test_the_pods_that_are_replaced_make_room() -> None:
    hosts, tenants = [_host("n1", 0)], [_tenant("chat", "n1", 8)]
    assert not check(_ask(8), hosts, tenants).now
    assert check(_ask(8, replaces="n/chat"), hosts, tenants).now


def test_idle_services_go_first_and_the_scheduler_pushes_out_lower_priorities() -> None:
    hosts = [_host("n1", 0)]
    tenants = [_tenant("busy", "n1", 4, priority=5), _tenant("idle", "n1", 4, priority=9, hours=3)]
    found = check(_ask(4, priority=5), hosts, tenants)
    assert ([each.pod for each in found.leaving], found.preempted) == (["idle"], ())
    found = check(_ask(4, priority=7), hosts, tenants)
    assert ([each.pod for each in found.preempted], found.leaving) == (["busy"], ())
    found = check(_ask(4, priority=7, preempts=False), hosts, tenants)
    assert ([each.pod for each in found.leaving], found.preempted) == (["idle"], ())


def test_gpus_too_small_for_the_model_are_told() -> None:
    hosts = [_host("n1", 8, gpu_memory=40 << 30)]
    told = check(_ask(1, gpu_memory=60 << 30), hosts)
    assert "its GPUs hold 40 GiB each, and 60 GiB are needed" in told.sentence
    assert memory_of("nvidia.com/mig-3g.40gb", None) == 40 << 30
    assert memory_of("nvidia.com/mig-1c.3g.40gb", None) == 40 << 30
    assert memory_of("nvidia.com/mig-x", 1) is None


@pytest.mark.parametrize(
    ("toleration", "right"),
    [
        (Toleration(operator="Exists"), True),
        (Toleration(key="k", operator="Exists"), True),
        (Toleration(key="k", operator="Exists", effect="NoExecute"), False),
        (Toleration(key="k", value="v"), True),
        (Toleration(key="k", value="w"), False),
        (Toleration(key="", value="v"), False),
    ],
)
def test_taints_are_tolerated_by_kubernetes_rules(toleration: Toleration, right: bool) -> None:
    assert tolerated(Taint(key="k", value="v", effect="NoSchedule"), [toleration]) is right


# ------------------------------------------------------------ from the cluster's objects


def _pod(name: str, node: str = "", gpus: str = "1", **spec: Any) -> Pod:
    return msgspec.convert(
        {
            "metadata": {"name": name, "namespace": "n"},
            "spec": {
                "nodeName": node,
                "containers": [
                    {"name": "c", "resources": {"limits": {GPU: gpus, "memory": "1Gi"}, "requests": {"cpu": "500m"}}}
                ],
                "initContainers": [{"name": "i", "resources": {"requests": {"cpu": "2"}}}],
                **spec,
            },
            "status": {"phase": "Running" if node else "Pending"},
        },
        Pod,
    )


def _node(name: str, **spec: Any) -> Node:
    return msgspec.convert(
        {
            "metadata": {"name": name, "labels": {"nvidia.com/gpu.memory": "81559"}},
            "spec": spec,
            "status": {
                "allocatable": {GPU: "8", "cpu": "190", "memory": "1000Ki"},
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        },
        Node,
    )


def test_pods_hold_what_kubernetes_counts() -> None:
    assert amounts_of_pod(_pod("p")) == {GPU: UNIT, "memory": (1 << 30) * UNIT, "cpu": 2 * UNIT, "pods": UNIT}
    assert amounts_of({"cpu": "100m", "memory": "nonsense", "x": "1e400"}) == {"cpu": 100}


def test_a_pod_that_waits_is_explained_from_the_clusters_objects() -> None:
    taint = {"key": GPU, "value": "true", "effect": "NoSchedule"}
    nodes = [_node("n1", taints=[taint])]
    running = [_pod("a", "n1", "6")]
    hosts = hosts_of(nodes, tenants_of(running))
    assert hosts[0].free[GPU] == 2 * UNIT
    assert hosts[0].gpu_memory == 81559 << 20
    assert "taint nvidia.com/gpu=true is not tolerated" in why_pending(_pod("b"), hosts)
    tolerant = [{"key": GPU, "operator": "Exists"}]
    assert why_pending(_pod("b", gpus="4", tolerations=tolerant, overhead={}), hosts).startswith("no node takes it")
    big = msgspec.structs.replace(hosts[0], allocatable={**hosts[0].allocatable, "memory": 1 << 60})
    roomy = [msgspec.structs.replace(big, free={**big.free, "memory": 1 << 60})]
    assert why_pending(_pod("b", gpus="4", tolerations=tolerant), roomy) == "4 GPUs: 2 free"
    assert why_pending(_pod("b", gpus="2", tolerations=tolerant), roomy).startswith("there is room for it now")
    assert ask_of_pod(_pod("b", priority=7, preemptionPolicy="Never")).preempts is False


def test_what_is_free_on_a_node_that_is_too_small_counts_as_free() -> None:
    small, large = _host("a", 4, size=4), _host("b", 1)
    found = check(_ask(8), [small, large])
    assert found.sentence.startswith("8 GPUs: 5 free")
