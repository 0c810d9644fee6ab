"""What each model server calls its metrics. Engines rename them between versions: every name ever used counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from backend.telemetry.exposition import Families, total_of


class Kind(StrEnum):
    """What is counted, or measured in seconds a request."""

    PROMPT = "prompt tokens"
    GENERATED = "generated tokens"
    REQUESTS = "requests"
    ERRORS = "errors"
    HITS = "prompt tokens found in the cache"
    QUERIES = "prompt tokens looked for in the cache"
    PREEMPTIONS = "preemptions"
    TTFT = "time to first token"
    INTER_TOKEN = "inter-token latency"  # noqa: S105 - a latency and no password
    END_TO_END = "end-to-end latency"
    QUEUE = "time in the queue"
    PREFILL = "time of prefill"
    DECODE = "time of decode"


class Engine(NamedTuple):
    """The names of one engine; of several the first that a page has counts, of requests and errors all.

    Attributes:
        name: as `ModelServerView.engine` tells it.
        signs: a page that has one of these is this engine's.
        cache: share of the KV cache in use, 0 to 1.
        hits: gauges of the share of prompt tokens found in the cache, 0 to 1.
        asleep: a gauge that says whether the server gave its GPUs' memory back, by its label `sleep_state`.
        counters: by what they count.
        histograms: stems of histograms in seconds.
        failed: values of a counter's label `finished_reason` that tell of a request that failed.
    """

    name: str
    signs: tuple[str, ...]
    running: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    cache: tuple[str, ...] = ()
    hits: tuple[str, ...] = ()
    asleep: str = ""
    counters: Mapping[Kind, tuple[str, ...]] = {}
    histograms: Mapping[Kind, tuple[str, ...]] = {}
    failed: tuple[str, ...] = ()


def _vllm(name: str, prefix: str) -> Engine:
    """vLLM's names of all versions (0.8 to 0.33); NIM 1.x has them without the prefix."""

    def named(*stems: str) -> tuple[str, ...]:
        return tuple(prefix + stem for stem in stems)

    return Engine(
        name=name,
        signs=named("num_requests_running", "time_to_first_token_seconds_count"),
        running=named("num_requests_running"),
        waiting=named("num_requests_waiting"),
        cache=named("kv_cache_usage_perc", "gpu_cache_usage_perc"),
        hits=named("gpu_prefix_cache_hit_rate"),
        asleep=prefix + "engine_sleep_state",
        counters={
            Kind.PROMPT: named("prompt_tokens_total"),
            Kind.GENERATED: named("generation_tokens_total"),
            Kind.REQUESTS: named("request_success_total", "request_failure_total"),
            Kind.ERRORS: named("request_success_total", "request_failure_total"),
            Kind.HITS: named("prefix_cache_hits_total", "gpu_prefix_cache_hits_total"),
            Kind.QUERIES: named("prefix_cache_queries_total", "gpu_prefix_cache_queries_total"),
            Kind.PREEMPTIONS: named("num_preemptions_total"),
        },
        histograms={
            Kind.TTFT: named("time_to_first_token_seconds"),
            Kind.INTER_TOKEN: named("inter_token_latency_seconds", "time_per_output_token_seconds"),
            Kind.END_TO_END: named("e2e_request_latency_seconds"),
            Kind.QUEUE: named("request_queue_time_seconds"),
            Kind.PREFILL: named("request_prefill_time_seconds"),
            Kind.DECODE: named("request_decode_time_seconds"),
        },
        failed=("error", "abort"),
    )


ENGINES: Final = (
    _vllm("vllm", "vllm:"),
    Engine(
        name="sglang",
        signs=("sglang:num_running_reqs", "sglang:token_usage"),
        running=("sglang:num_running_reqs",),
        waiting=("sglang:num_queue_reqs",),
        cache=("sglang:token_usage",),
        hits=("sglang:cache_hit_rate",),
        counters={
            Kind.PROMPT: ("sglang:prompt_tokens_total",),
            Kind.GENERATED: ("sglang:generation_tokens_total",),
            Kind.REQUESTS: ("sglang:num_requests_total",),
            Kind.ERRORS: ("sglang:num_aborted_requests_total",),
        },
        histograms={
            Kind.TTFT: ("sglang:time_to_first_token_seconds",),
            Kind.INTER_TOKEN: ("sglang:inter_token_latency_seconds", "sglang:time_per_output_token_seconds"),
            Kind.END_TO_END: ("sglang:e2e_request_latency_seconds",),
            Kind.QUEUE: ("sglang:queue_time_seconds",),
        },
    ),
    Engine(
        name="trtllm",
        signs=(
            "trtllm_num_requests_running",
            "trtllm_kv_cache_utilization",
            "trtllm_time_to_first_token_seconds_count",
        ),
        running=("trtllm_num_requests_running",),
        waiting=("trtllm_num_requests_waiting",),
        cache=("trtllm_kv_cache_utilization",),
        hits=("trtllm_kv_cache_hit_rate",),
        counters={
            Kind.PROMPT: ("trtllm_prompt_tokens_total",),
            Kind.GENERATED: ("trtllm_generation_tokens_total",),
            Kind.REQUESTS: ("trtllm_request_success_total", "trtllm_request_error_total"),
            Kind.ERRORS: ("trtllm_request_error_total",),
        },
        histograms={
            Kind.TTFT: ("trtllm_time_to_first_token_seconds",),
            Kind.INTER_TOKEN: ("trtllm_time_per_output_token_seconds",),
            Kind.END_TO_END: ("trtllm_e2e_request_latency_seconds",),
            Kind.QUEUE: ("trtllm_request_queue_time_seconds",),
        },
    ),
    Engine(
        name="tgi",
        signs=("tgi_batch_current_size", "tgi_queue_size"),
        running=("tgi_batch_current_size",),
        waiting=("tgi_queue_size",),
        counters={
            Kind.PROMPT: ("tgi_request_input_length_sum",),
            Kind.GENERATED: ("tgi_request_generated_tokens_sum",),
            Kind.REQUESTS: ("tgi_request_count",),
            Kind.ERRORS: ("tgi_request_failure",),
        },
        histograms={
            Kind.INTER_TOKEN: ("tgi_request_mean_time_per_token_duration",),
            Kind.END_TO_END: ("tgi_request_duration",),
            Kind.QUEUE: ("tgi_request_queue_duration",),
        },
    ),
    # Triton's own metrics; its TensorRT-LLM back end tells requests and cache by a label, read in `_triton`.
    Engine(
        name="triton",
        signs=("nv_trt_llm_request_metrics", "nv_inference_request_success"),
        counters={
            Kind.REQUESTS: ("nv_inference_request_success", "nv_inference_request_failure"),
            Kind.ERRORS: ("nv_inference_request_failure",),
        },
    ),
    _vllm("nim", ""),
)


_PARTS: Final = ("bucket", "sum")
_TRITON: Final = ("nv_trt_llm_request_metrics", "nv_trt_llm_kv_cache_block_metrics")


class Gauges(NamedTuple):
    """What a server is doing now; None: it does not tell.

    Attributes:
        cache, hits: shares of 0 to 1. asleep: it gave its GPUs' memory back until it is woken.
    """

    running: float | None
    waiting: float | None
    cache: float | None
    hits: float | None = None
    asleep: bool | None = None


def engine_of(families: Families) -> Engine | None:
    """The engine whose page this is; None: none that is known."""
    return next((engine for engine in ENGINES if any(sign in families for sign in engine.signs)), None)


def gauges_of(engine: Engine, families: Families) -> Gauges:
    """The gauges of a page, summed over its series (data-parallel engines have several); of the cache the fullest."""
    if engine.name == "triton":
        return _triton(families)
    return Gauges(
        running=_gauge(families, engine.running),
        waiting=_gauge(families, engine.waiting),
        cache=_share(families, engine.cache, max),
        hits=_share(families, engine.hits, min),
        asleep=_asleep(families, engine.asleep),
    )


def _share(families: Families, names: tuple[str, ...], of: Callable[[Iterable[float]], float]) -> float | None:
    """The largest or smallest of the shares that the page tells; None: none, or it cannot be a share."""
    found = [value for name in names for _, value in families.get(name, ())]
    return share if found and 0 <= (share := of(found)) <= 1 else None


def _asleep(families: Families, name: str) -> bool | None:
    samples = families.get(name)
    if not samples:
        return None
    awake = [value for labels, value in samples if labels.get("sleep_state") == "awake"]
    return not any(awake) if awake else None


def _gauge(families: Families, names: tuple[str, ...]) -> float | None:
    """A number of requests; None: the page tells none, or one that cannot be."""
    total = first_total(families, names)
    return total if total is not None and total >= 0 else None


def first_total(families: Families, names: tuple[str, ...]) -> float | None:
    """The sum over the series of the first name that the page has; None: it has none of them."""
    return next((total for name in names if (total := total_of(families, name)) is not None), None)


def _triton(families: Families) -> Gauges:
    """By tensorrtllm_backend's documentation of `request_type` and `kv_cache_block_type`."""
    requests = _by_label(families, _TRITON[0], "request_type")
    blocks = _by_label(families, _TRITON[1], "kv_cache_block_type")
    used, most = blocks.get("used"), blocks.get("max")
    return Gauges(
        running=requests.get("active"),
        waiting=requests.get("waiting"),
        cache=used / most if used is not None and most and 0 <= used <= most else None,
    )


def _by_label(families: Families, name: str, label: str) -> dict[str, float]:
    totals: dict[str, float] = {}
    for labels, value in families.get(name, ()):
        kind = labels.get(label, "")
        totals[kind] = totals.get(kind, 0.0) + value
    return totals


def metrics_of(engine: Engine) -> list[str]:
    """The names under which a Prometheus has what is read of an engine."""
    gauges = (*engine.running, *engine.waiting, *engine.cache, *engine.hits, engine.asleep)
    counters = [name for names in engine.counters.values() for name in names]
    histograms = [f"{stem}_{part}" for stems in engine.histograms.values() for stem in stems for part in _PARTS]
    told = (*_TRITON, *counters) if engine.name == "triton" else (*gauges, *counters, *histograms, *engine.signs)
    return sorted({name for name in told if name})
