"""What each model server calls its metrics. Engines rename them between versions: every name ever used counts."""

from __future__ import annotations

from typing import Final, NamedTuple

from backend.telemetry.exposition import Families, total_of


class Engine(NamedTuple):
    """The names of one engine; of several the first that a page has counts.

    Attributes:
        name: as `ModelServerView.engine` tells it.
        signs: a page that has one of these is this engine's.
        cache: share of the KV cache in use, 0 to 1.
        prompt, generated: counters of tokens.
        ttft, inter_token: stems of histograms in seconds.
    """

    name: str
    signs: tuple[str, ...]
    running: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    cache: tuple[str, ...] = ()
    prompt: tuple[str, ...] = ()
    generated: tuple[str, ...] = ()
    ttft: tuple[str, ...] = ()
    inter_token: tuple[str, ...] = ()


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
        prompt=named("prompt_tokens_total"),
        generated=named("generation_tokens_total"),
        ttft=named("time_to_first_token_seconds"),
        inter_token=named("inter_token_latency_seconds", "time_per_output_token_seconds"),
    )


ENGINES: Final = (
    _vllm("vllm", "vllm:"),
    Engine(
        name="sglang",
        signs=("sglang:num_running_reqs", "sglang:token_usage"),
        running=("sglang:num_running_reqs",),
        waiting=("sglang:num_queue_reqs",),
        cache=("sglang:token_usage",),
        prompt=("sglang:prompt_tokens_total",),
        generated=("sglang:generation_tokens_total",),
        ttft=("sglang:time_to_first_token_seconds",),
        inter_token=("sglang:inter_token_latency_seconds", "sglang:time_per_output_token_seconds"),
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
        prompt=("trtllm_prompt_tokens_total",),
        generated=("trtllm_generation_tokens_total",),
        ttft=("trtllm_time_to_first_token_seconds",),
        inter_token=("trtllm_time_per_output_token_seconds",),
    ),
    Engine(
        name="tgi",
        signs=("tgi_batch_current_size", "tgi_queue_size"),
        running=("tgi_batch_current_size",),
        waiting=("tgi_queue_size",),
        prompt=("tgi_request_input_length_sum",),
        generated=("tgi_request_generated_tokens_sum",),
        inter_token=("tgi_request_mean_time_per_token_duration",),
    ),
    # Triton's own metrics; its TensorRT-LLM back end tells requests and cache by a label, read in `_triton`.
    Engine(name="triton", signs=("nv_trt_llm_request_metrics", "nv_inference_request_success")),
    _vllm("nim", ""),
)


class Gauges(NamedTuple):
    """What a server is doing now; None: it does not tell."""

    running: float | None
    waiting: float | None
    cache: float | None


def engine_of(families: Families) -> Engine | None:
    """The engine whose page this is; None: none that is known."""
    return next((engine for engine in ENGINES if any(sign in families for sign in engine.signs)), None)


def gauges_of(engine: Engine, families: Families) -> Gauges:
    """The gauges of a page, summed over its series (data-parallel engines have several); of the cache the fullest."""
    if engine.name == "triton":
        return _triton(families)
    cache = [value for name in engine.cache for _, value in families.get(name, ())]
    fullest = max(cache, default=None)
    return Gauges(
        running=first_total(families, engine.running),
        waiting=first_total(families, engine.waiting),
        cache=fullest if fullest is not None and 0 <= fullest <= 1 else None,
    )


def first_total(families: Families, names: tuple[str, ...]) -> float | None:
    """The sum over the series of the first name that the page has; None: it has none of them."""
    return next((total for name in names if (total := total_of(families, name)) is not None), None)


def _triton(families: Families) -> Gauges:
    """By tensorrtllm_backend's documentation of `request_type` and `kv_cache_block_type`."""
    requests = _by_label(families, "nv_trt_llm_request_metrics", "request_type")
    blocks = _by_label(families, "nv_trt_llm_kv_cache_block_metrics", "kv_cache_block_type")
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
