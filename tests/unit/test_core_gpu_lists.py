"""GPUs chosen, ordered and grouped."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.gpu_lists import GROUPINGS, ORDERS, RANK, GpuFilter, grouped, load_of, ordered, short_product
from backend.core.views import GpuState
from tests.fakes.gpu_room import room

ROOM = room(256)


def kept(typed: str) -> set[str]:
    return {gpu.key for gpu in ROOM.gpus if GpuFilter(typed).keeps(gpu)}


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("state:idle", {gpu.key for gpu in ROOM.gpus if gpu.state is GpuState.IDLE}),
        ("node:gpu-00*", {gpu.key for gpu in ROOM.gpus if gpu.node.startswith("gpu-00")}),
        ("type:A100", {gpu.key for gpu in ROOM.gpus if "A100" in gpu.product}),
        ("service:llm-prod/mistral-0", {gpu.key for gpu in ROOM.gpus if gpu.service == "mistral-0"}),
        ("team:", {gpu.key for gpu in ROOM.gpus if not gpu.team}),
        ("xid", {gpu.key for gpu in ROOM.gpus if gpu.error}),
        ("!state:busy !state:free !state:idle !state:unknown", {gpu.key for gpu in ROOM.gpus if gpu.error}),
        ("state:idle gpu-002", {gpu.key for gpu in ROOM.gpus if gpu.node == "gpu-002"}),
        ("gpu-00[12]$ ", set()),
        ("", {gpu.key for gpu in ROOM.gpus}),
    ],
)
def test_words_and_expressions_choose(typed: str, expected: set[str]) -> None:
    assert kept(typed) == expected


def test_what_names_nothing_is_told() -> None:
    assert "idel" in GpuFilter("state:idel").problem and "fault" in GpuFilter("state:idel").problem
    assert GpuFilter("(").literal == ("(",) and not GpuFilter("(").problem
    assert not GpuFilter("state:i*").problem
    # What looks like a field and is none, such as a digest, is an expression.
    assert kept("sha256:") == {gpu.key for gpu in ROOM.gpus if gpu.image_digest}


@given(st.text(max_size=40))
def test_whatever_is_typed_filters(typed: str) -> None:
    assert kept(typed) <= {gpu.key for gpu in ROOM.gpus}


@pytest.mark.parametrize("order", sorted(ORDERS))
def test_every_order_keeps_every_gpu(order: str) -> None:
    forwards, backwards = ordered(ROOM.gpus, order), ordered(ROOM.gpus, order, inverted=True)
    assert {gpu.key for gpu in forwards} == {gpu.key for gpu in backwards} == {gpu.key for gpu in ROOM.gpus}


def test_the_worst_comes_first_and_what_is_not_measured_last() -> None:
    ranks = [RANK[gpu.state] for gpu in ordered(ROOM.gpus)]
    assert ranks == sorted(ranks)
    waste = [gpu.wasted_hours for gpu in ordered(ROOM.gpus, "waste") if gpu.wasted_hours is not None]
    assert waste == sorted(waste, reverse=True)
    loads = [load_of(gpu) for gpu in ordered(ROOM.gpus, "load")]
    assert loads[-1] is None
    assert all((one or 0) >= (other or 0) for one, other in pairwise(loads))


@pytest.mark.parametrize("by", GROUPINGS)
def test_groups_hold_every_gpu_once(by: str) -> None:
    groups = grouped(ROOM.gpus, by)
    assert sorted(gpu.key for group in groups for gpu in group.gpus) == sorted(gpu.key for gpu in ROOM.gpus)
    assert len({group.key for group in groups}) == len(groups)
    assert any(gpu.state is GpuState.FAULT for gpu in groups[0].gpus)


def test_a_group_sums_what_is_known_and_nothing_else() -> None:
    none = [msgspec.structs.replace(gpu, age=None) for gpu in ROOM.gpus[:8]]
    (group,) = grouped(none, "node")
    assert (group.load, group.power, group.memory, group.wasted_hours) == (None, None, None, None)
    idle = next(group for group in grouped(ROOM.gpus, "service") if group.number(GpuState.IDLE))
    assert idle.wasted_hours == pytest.approx(sum(gpu.wasted_hours or 0 for gpu in idle.gpus))
    assert idle.load == 0.0


@pytest.mark.parametrize(
    ("product", "short"),
    [("NVIDIA H100 80GB HBM3", "H100"), ("NVIDIA-A100-SXM4-80GB", "A100"), ("", ""), ("Tesla T4", "T4")],
)
def test_short_products(product: str, short: str) -> None:
    assert short_product(product) == short


def test_nodes_of_the_same_name_in_two_clusters_are_two_groups() -> None:
    here = ROOM.gpus[:8]
    there = [msgspec.structs.replace(gpu, context="prod-us1", key=f"us/{gpu.key}") for gpu in here]
    groups = grouped([*here, *there], "node")
    assert sorted(group.name for group in groups) == ["prod-eu1/gpu-001", "prod-us1/gpu-001"]
    assert [group.name for group in grouped(here, "node")] == ["gpu-001"]
