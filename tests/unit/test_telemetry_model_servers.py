"""Model servers of every name: gauges, rates and latencies between scrapes."""

from __future__ import annotations

import pytest

from backend.telemetry.engines import Kind, engine_of, gauges_of
from backend.telemetry.exposition import ExpositionParser, Families
from backend.telemetry.model_servers import WINDOW, ModelServer
from backend.telemetry.quantiles import Quantile

BOUNDS = (0.1, 0.5, 1.0)


def page(text: str) -> Families:
    return ExpositionParser().parse(text.encode() + b"\n", "x")


def vllm(
    prompt: float = 0,
    generated: float = 0,
    ttft: tuple[float, ...] = (0, 0, 0, 0),
    *,
    prefix: str = "vllm:",
    labels: str = 'model_name="m"',
) -> Families:
    bounds = [*map(str, BOUNDS), "+Inf"]
    lines = [
        f"{prefix}num_requests_running{{{labels}}} 3",
        f"{prefix}num_requests_waiting{{{labels}}} 1",
        f"{prefix}prompt_tokens_total{{{labels}}} {prompt}",
        f"{prefix}generation_tokens_total{{{labels}}} {generated}",
        *(
            f'{prefix}time_to_first_token_seconds_bucket{{le="{bound}",{labels}}} {count}'
            for bound, count in zip(bounds, ttft, strict=True)
        ),
    ]
    return page("\n".join(lines))


@pytest.mark.parametrize(
    ("text", "engine", "running", "waiting", "cache"),
    [
        ('vllm:num_requests_running{engine="0"} 3\nvllm:num_requests_running{engine="1"} 2\n'
         'vllm:num_requests_waiting 1\n'
         'vllm:kv_cache_usage_perc{engine="0"} 0.4\nvllm:kv_cache_usage_perc{engine="1"} 0.9', "vllm", 5, 1, 0.9),
        ("vllm:num_requests_running 3\nvllm:gpu_cache_usage_perc 0.4", "vllm", 3, None, 0.4),
        ("num_requests_running 3\nnum_requests_waiting 0\ngpu_cache_usage_perc 0.25", "nim", 3, 0, 0.25),
        ("sglang:num_running_reqs 2\nsglang:num_queue_reqs 7\nsglang:token_usage 0.5", "sglang", 2, 7, 0.5),
        ("trtllm_num_requests_running 2\ntrtllm_num_requests_waiting 0\ntrtllm_kv_cache_utilization 1",
         "trtllm", 2, 0, 1),
        ("tgi_batch_current_size 4\ntgi_queue_size 2", "tgi", 4, 2, None),
        ('nv_trt_llm_request_metrics{request_type="active"} 4\nnv_trt_llm_request_metrics{request_type="waiting"} 2\n'
         'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="used"} 5\n'
         'nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max"} 20', "triton", 4, 2, 0.25),
        ('nv_inference_request_success{model="x"} 4', "triton", None, None, None),
        ("vllm:num_requests_running 3\nvllm:kv_cache_usage_perc 97", "vllm", 3, None, None),
    ],
)  # fmt: skip
def test_every_engine_is_known_by_its_names(
    text: str, engine: str, running: float | None, waiting: float | None, cache: float | None
) -> None:
    families = page(text)
    found = engine_of(families)
    assert found is not None
    assert found.name == engine
    assert gauges_of(found, families)[:3] == (running, waiting, cache)


def test_numbers_that_cannot_be_are_not_told() -> None:
    families = page("vllm:num_requests_running -3\nvllm:num_requests_waiting NaN\nvllm:kv_cache_usage_perc -0.5")
    found = engine_of(families)
    assert found is not None
    assert gauges_of(found, families)[:3] == (None, None, None)


def test_a_series_that_stands_there_twice_counts_once() -> None:
    families = page('vllm:num_requests_running{a="1",b="2"} 3\nvllm:num_requests_running{a="1",b="2"} 3')
    found = engine_of(families)
    assert found is not None
    assert gauges_of(found, families).running == 3


def test_a_page_that_is_cut_off_makes_no_tokens() -> None:
    server, parser = ModelServer(), ExpositionParser()
    text = b"vllm:num_requests_running 1\nvllm:generation_tokens_total 123456\n"
    server.update(parser.parse(text, "x"), 0)
    metrics = server.update(parser.parse(text[:-4], "x"), 2)
    assert metrics is not None
    assert metrics.generation_rate in (None, 0)


def test_the_order_of_labels_changes_nothing() -> None:
    server = ModelServer()
    server.update(vllm(generated=100, labels='model_name="m",engine="0"'), 0)
    metrics = server.update(vllm(generated=300, labels='engine="0",model_name="m"'), 2)
    assert metrics is not None
    assert metrics.generation_rate == 100


def test_other_pages_are_no_model_servers() -> None:
    assert ModelServer().update(page("python_info 1\nprocess_cpu_seconds_total 3"), 0) is None


def test_the_first_scrape_tells_no_rates() -> None:
    metrics = ModelServer().update(vllm(1000, 500, (1, 2, 3, 4)), 10)
    assert metrics is not None
    assert metrics.gauges[:2] == (3, 1)
    assert (metrics.ttft_p95, metrics.prompt_rate, metrics.generation_rate, metrics.token_rate) == (None,) * 4


@pytest.mark.parametrize("prefix", ["vllm:", ""])
def test_rates_and_latencies_come_from_the_difference(prefix: str) -> None:
    server = ModelServer()
    server.update(vllm(1000, 500, (100, 100, 100, 100), prefix=prefix), 10)
    metrics = server.update(vllm(1400, 520, (100, 200, 200, 200), prefix=prefix), 14)
    assert metrics is not None
    assert (metrics.prompt_rate, metrics.generation_rate, metrics.token_rate) == (100, 5, 105)
    assert metrics.ttft_p95 is not None
    assert metrics.ttft_p95.value == pytest.approx(0.1 + 0.4 * 0.95)


def test_no_traffic_is_no_latency() -> None:
    server = ModelServer()
    server.update(vllm(1000, 500, (1, 2, 3, 4)), 10)
    metrics = server.update(vllm(1000, 500, (1, 2, 3, 4)), 12)
    assert metrics is not None
    assert metrics.ttft_p95 is None
    assert metrics.generation_rate == 0


def test_latencies_are_of_the_last_half_minute() -> None:
    server = ModelServer()
    slow = (0, 0, 10, 10)
    server.update(vllm(ttft=(0, 0, 0, 0)), 0)
    for second in range(2, int(WINDOW), 2):
        metrics = server.update(vllm(ttft=slow), second)
        assert metrics is not None
        assert metrics.ttft_p95 is not None
    metrics = server.update(vllm(ttft=slow), WINDOW + 10)
    assert metrics is not None
    assert metrics.ttft_p95 is None


def test_beyond_the_highest_bound_the_bound_is_told_as_the_least() -> None:
    server = ModelServer()
    server.update(vllm(ttft=(0, 0, 0, 0)), 0)
    metrics = server.update(vllm(ttft=(0, 0, 1, 100)), 2)
    assert metrics is not None
    assert metrics.ttft_p95 == Quantile(1.0, at_least=True)


@pytest.mark.parametrize(
    ("restarted", "prompt", "generated", "ttft"),
    [
        (vllm(10, 500), 5, 250, None),
        (vllm(1000, 4, (0, 0, 1, 1)), 500, 2, 1.0),
        (vllm(1000, 500, (0, 0, 1, 1)), 500, 250, 1.0),
    ],
)
def test_after_a_restart_what_is_counted_is_what_happened(
    restarted: Families, prompt: float, generated: float, ttft: float | None
) -> None:
    server = ModelServer()
    server.update(vllm(1000, 500, (5, 5, 5, 5)), 0)
    metrics = server.update(restarted, 2)
    assert metrics is not None
    assert (metrics.prompt_rate, metrics.generation_rate) == (prompt, generated)
    assert metrics.ttft_p95 is None if ttft is None else metrics.ttft_p95 is not None
    # What was counted before the restart is still of the last half minute.
    again = server.update(vllm(1000, 600, (0, 0, 1, 1)), 4)
    assert again is not None
    assert again.window.counts[Kind.GENERATED] == generated * 2 + (
        600 - restarted["vllm:generation_tokens_total"][0][1]
    )


def test_a_server_says_itself_that_it_started_anew() -> None:
    server = ModelServer()
    page_of = "vllm:num_requests_running 1\nprocess_start_time_seconds %s\nvllm:generation_tokens_total %s\n"
    server.update(page(page_of % (1000, 50)), 0)
    metrics = server.update(page(page_of % (2000, 90)), 2)
    assert metrics is not None
    assert metrics.generation_rate == 45


def test_other_bounds_start_over() -> None:
    server = ModelServer()
    bucket = 'vllm:num_requests_running 1\nvllm:time_to_first_token_seconds_bucket{le="%s"} %s\n'
    bucket += 'vllm:time_to_first_token_seconds_bucket{le="+Inf"} %s\n'
    server.update(page(bucket % (1, 0, 0)), 0)
    server.update(page(bucket % (1, 9, 9)), 2)
    metrics = server.update(page(bucket % (2, 1, 1)), 4)
    assert metrics is not None
    assert metrics.ttft_p95 is None


def test_failed_requests_are_told_from_others() -> None:
    server = ModelServer()
    text = (
        'vllm:num_requests_running 1\nvllm:request_success_total{finished_reason="stop"} %s\n'
        'vllm:request_success_total{finished_reason="abort"} %s\n'
    )
    server.update(page(text % (100, 5)), 0)
    metrics = server.update(page(text % (116, 9)), 10)
    assert metrics is not None
    assert (metrics.window.rate(Kind.REQUESTS), metrics.window.rate(Kind.ERRORS)) == (2, 0.4)
    triton = ModelServer()
    text = "nv_inference_request_success %s\nnv_inference_request_failure %s\n"
    triton.update(page(text % (0, 0)), 0)
    metrics = triton.update(page(text % (30, 10)), 10)
    assert metrics is not None
    assert (metrics.window.rate(Kind.REQUESTS), metrics.window.rate(Kind.ERRORS)) == (4, 1)


def test_prefix_hits_are_counted_or_told() -> None:
    server = ModelServer()
    text = "vllm:num_requests_running 1\nvllm:gpu_prefix_cache_hits_total %s\nvllm:gpu_prefix_cache_queries_total %s\n"
    server.update(page(text % (10, 100)), 0)
    metrics = server.update(page(text % (40, 200)), 2)
    assert metrics is not None
    assert metrics.prefix_hits == 0.3
    sglang = ModelServer().update(page("sglang:num_running_reqs 1\nsglang:cache_hit_rate 0.25\n"), 0)
    assert sglang is not None
    assert sglang.prefix_hits == 0.25


def test_a_server_asleep_says_so() -> None:
    state = 'vllm:num_requests_running 0\nvllm:engine_sleep_state{sleep_state="awake"} %s\n'
    assert [
        metrics.gauges.asleep
        for awake in (0, 1)
        if (metrics := ModelServer().update(page(state % awake), 0)) is not None
    ] == [True, False]


def test_a_series_that_appears_counts_from_then_on() -> None:
    server = ModelServer()
    server.update(vllm(ttft=(0, 0, 0, 0)), 0)
    metrics = server.update(vllm(ttft=(0, 0, 900, 900), labels='model_name="new"'), 2)
    assert metrics is not None
    assert metrics.ttft_p95 is None
