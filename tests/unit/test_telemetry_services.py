"""What the replicas of a service do together."""

from __future__ import annotations

import pytest

from backend.core.views import GpuState, GpuView, ServiceMetricsView
from backend.telemetry.exposition import ExpositionParser
from backend.telemetry.model_servers import ModelServer, ServerMetrics
from backend.telemetry.services import SERVER_STALE_AFTER, Replica, Silent, server_view, service_views


def page(*, done: int, failed: int = 0, slow: int = 0, tokens: int = 0, running: int = 0, cache: float = 0.0) -> bytes:
    """A vLLM's page: requests done, of them slow (5 s to the first token, the others 0.3 s) and failed."""
    stem = "vllm:time_to_first_token_seconds_bucket"
    return f"""vllm:num_requests_running {running}
vllm:num_requests_waiting 1
vllm:kv_cache_usage_perc {cache}
vllm:prompt_tokens_total {tokens * 4}
vllm:generation_tokens_total {tokens}
vllm:prefix_cache_hits_total {tokens}
vllm:prefix_cache_queries_total {tokens * 4}
vllm:request_success_total{{finished_reason="stop"}} {done - failed}
vllm:request_success_total{{finished_reason="error"}} {failed}
{stem}{{le="0.5"}} {done - slow}
{stem}{{le="10.0"}} {done}
{stem}{{le="+Inf"}} {done}
""".encode()


def metrics(*pages: bytes, every: float = 10.0) -> ServerMetrics:
    server, parser = ModelServer(), ExpositionParser()
    found = [server.update(parser.parse(text, "x"), every * number) for number, text in enumerate(pages)]
    last = found[-1]
    assert last is not None
    return last


def replica(pod: str, said: ServerMetrics | None, age: float | None = 0.0, failure: str = "") -> Replica:
    return Replica("llm-prod", pod, "llama", said, age, failure)


def gpu(pod: str, power: float | None, key: str = "") -> GpuView:
    return GpuView(
        key=key or f"GPU-{pod}", node="n", index=0, uuid=key or f"GPU-{pod}", product="", state=GpuState.BUSY,
        utilisation=None, engine_active=None, memory_used=None, memory_total=None, power=power, temperature=None,
        namespace="llm-prod", pod=pod, service="llama", source="dcgm", age=0,
    )  # fmt: skip


def only(views: list[ServiceMetricsView]) -> ServiceMetricsView:
    (view,) = views
    return view


def test_replicas_are_summed_and_their_latencies_are_of_all_requests() -> None:
    fast = metrics(page(done=0), page(done=98, tokens=1000, running=3, cache=0.2))
    slow = metrics(page(done=0), page(done=2, slow=2, failed=1, tokens=500, running=1, cache=0.9))
    view = only(service_views([replica("a", fast), replica("b", slow, age=4)], [gpu("a", 500), gpu("b", 250)], "prod"))
    assert view.key == "prod/llm-prod/llama"
    assert (view.replicas, view.pods, view.engine) == (2, ("a", "b"), "vllm")
    assert (view.running, view.waiting, view.kv_cache) == (4, 2, 0.9)
    assert (view.requests_per_second, view.errors_per_second, view.error_rate) == (10, 0.1, 0.01)
    assert (view.prompt_tokens_per_second, view.generation_tokens_per_second) == (600, 150)
    assert view.prefix_hits == 0.25
    assert view.tokens_per_joule == pytest.approx(150 / 750)
    assert view.ttft is not None
    assert view.ttft.p95 < 0.5 < view.ttft.p99
    assert view.end_to_end is None
    assert (view.age, view.note) == (4, "")


def test_no_traffic_is_no_traffic() -> None:
    view = only(service_views([replica("a", metrics(page(done=9, tokens=5), page(done=9, tokens=5)))], [], ""))
    assert (view.ttft, view.error_rate, view.requests_per_second, view.note) == (None, None, 0, "no traffic")
    assert view.tokens_per_joule is None


def test_a_replica_that_is_silent_is_told_and_counts_no_more() -> None:
    said = metrics(page(done=0), page(done=10, tokens=100))
    silent = replica("b", said, age=SERVER_STALE_AFTER + 1, failure="its metrics do not answer")
    view = only(service_views([replica("a", said), silent], [gpu("a", 100), gpu("b", 100)], ""))
    assert (view.replicas, view.requests_per_second, view.tokens_per_joule) == (1, 1, None)
    assert view.note == "1 of 2 replicas do not tell: its metrics do not answer"
    view = only(service_views([silent], [], ""))
    assert (view.replicas, view.requests_per_second, view.note, view.age) == (
        0,
        None,
        "its metrics do not answer",
        None,
    )
    assert only(service_views([replica("a", None, None)], [], "")).note == "not read yet"


def test_a_gpu_without_its_power_leaves_the_joules_unknown() -> None:
    said = metrics(page(done=0), page(done=10, tokens=100))
    assert (
        only(service_views([replica("a", said)], [gpu("a", 100), gpu("a", None, "GPU-2")], "")).tokens_per_joule is None
    )


def test_what_one_server_says() -> None:
    said = metrics(page(done=0), page(done=10, tokens=100, running=2, cache=0.5))
    view = server_view(replica("a", said), "prod")
    assert (view.context, view.engine, view.running, view.kv_cache) == ("prod", "vllm", 2, 0.5)
    assert (view.prefix_hits, view.requests_per_second, view.note) == (0.25, 1, "")
    silent = server_view(replica("a", None, None, "no metrics found"), "prod")
    assert (silent.engine, silent.running, silent.note) == ("", None, "no metrics found")


def test_what_a_request_spends_its_time_in_and_whether_the_server_sleeps() -> None:
    def text(done: int, awake: int) -> bytes:
        stems = {"queue": 2, "prefill": 1, "decode": 5}
        lines = ["vllm:num_requests_running 1", f"vllm:num_preemptions_total {done}"]
        lines.append(f'vllm:engine_sleep_state{{sleep_state="awake"}} {awake}')
        for stem, seconds in stems.items():
            lines.append(f'vllm:request_{stem}_time_seconds_bucket{{le="+Inf"}} {done}')
            lines.append(f"vllm:request_{stem}_time_seconds_sum {done * seconds}")
        return "\n".join(lines).encode() + b"\n"

    view = server_view(replica("a", metrics(text(0, 1), text(20, 1))), "")
    assert (view.queue_time, view.prefill_time, view.decode_time, view.preemptions_per_second) == (2, 1, 5, 2)
    asleep = server_view(replica("a", metrics(text(0, 0))), "")
    assert asleep.note.startswith("asleep")
    assert (asleep.queue_time, asleep.preemptions_per_second) == (None, None)


def test_views_of_servers_that_never_told_anything_are_made_once() -> None:
    def told(failure: str) -> Replica:
        return replica("a", None, None, failure)

    silent, said = Silent("prod"), replica("b", metrics(page(done=9, tokens=5), page(done=9, tokens=5)))
    first = told("no metrics found")
    views, services = silent.servers([first]), silent.services([first], [])
    assert silent.servers([first])[0] is views[0]
    assert silent.services([first], [])[0] is services[0]
    # Another failure is told, and so is what one of them says at last.
    assert silent.servers([told("not allowed")])[0].note == "not allowed"
    assert silent.services([told("not allowed")], [])[0].note == "not allowed"
    assert list(silent.services([first, said], [])) == service_views([first, said], [], "prod")
    assert list(silent.servers([first, said])) == [server_view(one, "prod") for one in (first, said)]
    assert silent.services([], []) == ()
