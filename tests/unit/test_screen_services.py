"""Rows of services with what their model servers measure."""

from __future__ import annotations

from datetime import timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from backend.core.views import LatencyView, ServiceMetricsView, StepView, Verdict
from tests.fakes import screen_data as data
from tui.document import plain
from tui.panes.deployments.bulk import traffic_line
from tui.panes.deployments.columns import image_name, service_columns
from tui.panes.deployments.detail_model import service_sections
from tui.panes.deployments.view_model import WorstFirst, look, metrics_key, reason_cell, worst_first
from tui.service_tally import ServiceTally, slow_keys, verdict_counts

SLOW = ServiceMetricsView(
    namespace="llm-prod", service="mistral", replicas=2, requests_per_second=23.4,
    ttft=LatencyView(p50=1.1, p95=2.9, p99=4.0), slow="TTFT p95 2.9s, objective 0.8s; queue 41",
)  # fmt: skip
SERVING = data.service("llm-prod", "mistral", Verdict.SERVING)
WELL = data.service("llm-prod", "aaa", Verdict.SERVING)


def test_a_service_that_misses_its_objective_is_slow_beside_its_verdict() -> None:
    assert look(SERVING, SLOW)[:2] == ("!", "SLOW")
    assert look(SERVING)[1] == "SERVING"
    assert plain(reason_cell(SERVING, SLOW)) == SLOW.slow
    failed = data.service("llm-prod", "mistral", Verdict.FAILED, "crash loop")
    assert look(failed, SLOW)[1] == "FAILED"
    slow = slow_keys({SERVING.key: SERVING, WELL.key: WELL}, {SERVING.key: SLOW})
    assert slow == {SERVING.key}
    assert worst_first([WELL, SERVING], slow) == [SERVING, WELL]
    assert worst_first([WELL, SERVING]) == [WELL, SERVING]


def test_columns_show_what_is_measured_and_nothing_where_nothing_is() -> None:
    measured = {SERVING.key: SLOW}
    columns = {column.key: column for column in service_columns(lambda: data.NOW, measured=measured.get)}
    assert (plain(columns["rate"].cell(SERVING)), plain(columns["ttft"].cell(SERVING))) == ("23.4", "2.9s")
    assert (plain(columns["rate"].cell(WELL)), plain(columns["ttft"].cell(WELL))) == ("", "")
    assert image_name(SERVING).startswith("nim/meta/mistral@")
    for column in columns.values():
        if column.sort is not None:
            sorted([SERVING, WELL], key=column.sort)  # type: ignore[arg-type]


def test_model_servers_are_found_by_name_whatever_kind_runs_them() -> None:
    llm = data.service("llm-prod", "qwen", Verdict.SERVING, kind="LLMInferenceService")
    assert metrics_key(llm) == "prod-eu1/llm-prod/qwen"
    assert metrics_key(data.service("", "x", Verdict.SERVING, kind="LocalModelCache")) == ""


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(list(Verdict)), st.integers(0, 8), st.booleans()),
        max_size=12,
    )
)
def test_an_order_that_is_kept_up_is_the_order_sorted_anew(
    changes: list[tuple[int, Verdict, int, bool]],
) -> None:
    kept, services = WorstFirst(), {}
    for number, verdict, gpus, is_slow in changes:
        view = msgspec.structs.replace(SERVING, name=f"s{number}", verdict=verdict, gpus=gpus)
        services[view.key] = view
        slow = frozenset({view.key}) if is_slow else frozenset()
        assert kept.of(services, slow) == worst_first(services.values(), slow)
    services.clear()
    assert kept.of(services) == []


@given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from(list(Verdict)), st.booleans(), st.booleans()), max_size=12)
)
def test_counts_that_are_kept_up_are_those_counted_anew(changes: list[tuple[int, Verdict, bool, bool]]) -> None:
    kept, services = ServiceTally(), {}
    for number, verdict, approved, goes in changes:
        proposal = "back to 3" if number % 2 and approved else ""
        view = msgspec.structs.replace(
            SERVING, name=f"s{number}", verdict=verdict, approved=approved, proposal=proposal, context=f"c{number % 3}"
        )
        if goes:
            services.pop(view.key, None)
        else:
            services[view.key] = view
        kept.look(services)
        assert kept.verdicts == verdict_counts(services.values())
        assert kept.proposed == sum(bool(one.proposal) for one in services.values())
        assert set(kept.contexts) == {one.context for one in services.values()}


def test_what_several_that_stop_are_asked_is_told_as_far_as_it_is_known() -> None:
    stale = msgspec.structs.replace(SLOW, age=900.0)
    idle = msgspec.structs.replace(SLOW, requests_per_second=0.0)
    assert plain(traffic_line([SLOW, SLOW])) == "They get 46.8 requests a second, which nothing answers then."
    assert plain(traffic_line([SLOW, None, stale])).endswith("nothing answers then; of 2 services it is not known.")
    assert plain(traffic_line([stale, None])) == "The requests of 2 services are not known."
    assert plain(traffic_line([idle])).startswith("They get 0.0 requests")


def test_a_start_says_how_long_ago_it_was() -> None:
    begun = data.NOW - timedelta(days=9)
    steps = (StepView(name="created", at=begun, seconds=None),)
    detail = msgspec.structs.replace(data.detail(SERVING), timeline=steps)
    (start,) = [one for one in service_sections(SERVING, detail, None, data.NOW) if one.title == "Start"]
    assert start.note == "9d ago"
