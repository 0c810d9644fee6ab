"""The metrics pages of model servers, in the Prometheus text format 0.0.4.

vLLM: names, labels and help texts of its V1 engine (0.12 and later), at `/metrics`. NIM 1.x: the unprefixed names of
the vLLM that it bundles, at `/v1/metrics`. Counters are integrals of the traffic, so two scrapes differ by just what
happened between them, and an idle server's counters stand still.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from backend.demo.exporters import escaped
from backend.demo.gpus import Traffic, traffic_of
from backend.demo.workloads_faults import argument, main_container, model_of
from backend.demo.workloads_pods import Pod

#: Tokens that a request generates, and tokens of its prompt.
_GENERATED, _PROMPT = 220.0, 870.0
_TTFT = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0)
_ITL = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0)
_E2E = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0)
_TOKENS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0, 20000.0)


class Population(NamedTuple):
    """So many observations around a median with a log-normal spread."""

    number: float
    median: float
    spread: float

    def below(self, bound: float) -> float:
        """How many of them are at most `bound`."""
        return self.number * 0.5 * math.erfc(-math.log(bound / self.median) / (self.spread * math.sqrt(2)))

    @property
    def total(self) -> float:
        """Their sum."""
        return self.number * self.median * math.exp(self.spread**2 / 2)


class ServerState(NamedTuple):
    """A model server at one time: gauges, and what it has done since it started.

    Attributes:
        cache: share of the KV cache in use, 0 to 1.
        fast, slow: requests that were answered at once, and those that waited in line.
    """

    running: int
    waiting: int
    cache: float
    fast: float
    slow: float
    generated: float
    prompted: float


def server_state(pod: Pod, traffic: Traffic, now: float) -> ServerState:
    """What the server of a pod that serves has done up to `now`, in seconds since 1970."""
    since = pod.ready if pod.ready is not None else now
    generated = traffic.past_tokens + traffic.capacity * traffic.activity.integral(since, now)
    slow = traffic.capacity * traffic.slow.integral(since, now) / _GENERATED
    activity = traffic.activity.value(now)
    waiting = traffic.slow.value(now)
    if traffic.stuck:
        # It took requests in and will never answer them.
        return ServerState(3, 0, 0.08, generated / _GENERATED, 0.0, generated, generated * _PROMPT / _GENERATED)
    return ServerState(
        running=round(activity * (28 if traffic.model.parameters > 3 else 9)),
        waiting=max(0, round((waiting - 0.06) * 80)),
        cache=min(0.995, activity * (0.62 + 0.7 * waiting)),
        fast=max(0.0, generated / _GENERATED - slow),
        slow=slow,
        generated=generated,
        prompted=generated * _PROMPT / _GENERATED,
    )


def served_name(pod: Pod) -> str:
    """The model's name as the server's clients give it."""
    container = main_container(pod.spec)
    return argument(container, "--served-model-name") or model_of(pod.spec).name


def engine_page(pod: Pod, seed: int, now: float) -> str:
    """The metrics page of a pod that serves: NIM's names for a NIM, vLLM's for all others."""
    traffic = traffic_of(pod, seed)
    state = server_state(pod, traffic, now)
    page = _Page("" if pod.engine == "nim" else "vllm:", pod.engine != "nim", served_name(pod))
    _gauges(page, state)
    _counters(page, state)
    _histograms(page, state, traffic)
    if pod.engine != "nim":
        page.info("cache_config_info", "Information of the LLMEngine CacheConfig", _cache_config(traffic))
    page.process(pod.started or now, now)
    return page.text()


class _Page:
    """Collects families in the order in which they are added; `current` tells vLLM's names since 0.12."""

    def __init__(self, prefix: str, numbered: bool, model: str) -> None:
        self._prefix = prefix
        self.current = bool(prefix)
        self._labels = {**({"engine": "0"} if numbered else {}), "model_name": model}
        self._lines: list[str] = []

    def family(self, name: str, kind: str, help_text: str) -> str:
        full = self._prefix + name
        self._lines += [f"# HELP {full} {help_text}", f"# TYPE {full} {kind}"]
        return full

    def sample(self, name: str, value: float, more: Mapping[str, str] | None = None) -> None:
        labels = sorted({**self._labels, **(more or {})}.items())
        text = ",".join(f'{label}="{escaped(content)}"' for label, content in labels)
        self._lines.append(f"{name}{{{text}}} {float(value)}")

    def single(self, name: str, kind: str, help_text: str, value: float) -> None:
        self.sample(self.family(name, kind, help_text), value)

    def histogram(self, name: str, help_text: str, bounds: Iterable[float], populations: list[Population]) -> None:
        full = self.family(name, "histogram", help_text)
        for bound in bounds:
            within = sum(math.floor(population.below(bound)) for population in populations)
            self.sample(f"{full}_bucket", within, {"le": str(bound)})
        count = sum(math.floor(population.number) for population in populations)
        self.sample(f"{full}_bucket", count, {"le": "+Inf"})
        self.sample(f"{full}_count", count)
        self.sample(f"{full}_sum", round(sum(population.total for population in populations), 6))

    def info(self, name: str, help_text: str, labels: Mapping[str, str]) -> None:
        self.sample(self.family(name, "gauge", help_text), 1.0, labels)

    def process(self, started: float, now: float) -> None:
        self._lines += [
            "# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.",
            "# TYPE process_start_time_seconds gauge",
            f"process_start_time_seconds {started:.2f}",
            "# HELP process_cpu_seconds_total Total user and system CPU time spent in seconds.",
            "# TYPE process_cpu_seconds_total counter",
            f"process_cpu_seconds_total {(now - started) * 0.31 + 84:.2f}",
        ]

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"


def _gauges(page: _Page, state: ServerState) -> None:
    cache = "kv_cache_usage_perc" if page.current else "gpu_cache_usage_perc"
    page.single("num_requests_running", "gauge", "Number of requests in model execution batches.", state.running)
    page.single("num_requests_waiting", "gauge", "Number of requests waiting to be processed.", state.waiting)
    page.single(cache, "gauge", "KV-cache usage. 1 means 100 percent usage.", round(state.cache, 6))


def _counters(page: _Page, state: ServerState) -> None:
    page.single(
        "prefix_cache_queries_total",
        "counter",
        "Prefix cache queries, in terms of number of queried tokens.",
        math.floor(state.prompted),
    )
    page.single(
        "prefix_cache_hits_total",
        "counter",
        "Prefix cache hits, in terms of number of cached tokens.",
        math.floor(state.prompted * 0.37),
    )
    page.single(
        "num_preemptions_total",
        "counter",
        "Cumulative number of preemption from the engine.",
        math.floor(state.slow * 0.02),
    )
    page.single("prompt_tokens_total", "counter", "Number of prefill tokens processed.", math.floor(state.prompted))
    page.single(
        "generation_tokens_total", "counter", "Number of generation tokens processed.", math.floor(state.generated)
    )
    name = page.family("request_success_total", "counter", "Count of successfully processed requests.")
    done = state.fast + state.slow
    for reason, share in (("stop", 0.905), ("length", 0.09), ("abort", 0.005)):
        page.sample(name, math.floor(done * share), {"finished_reason": reason})


def _histograms(page: _Page, state: ServerState, traffic: Traffic) -> None:
    pace = max(0.006, 0.011 * (traffic.model.parameters / max(1, traffic.model.gpus) / 8.0) ** 0.7)
    fast, slow = state.fast, state.slow

    def both(median: float, slow_median: float, spread: float, each: float = 1.0) -> list[Population]:
        return [Population(fast * each, median, spread), Population(slow * each, slow_median, spread)]

    page.histogram(
        "time_to_first_token_seconds", "Histogram of time to first token in seconds.", _TTFT, both(0.11, 2.4, 0.45)
    )
    inter_token = "inter_token_latency_seconds" if page.current else "time_per_output_token_seconds"
    page.histogram(
        inter_token, "Histogram of inter-token latency in seconds.", _ITL, both(pace, pace * 2.6, 0.3, _GENERATED)
    )
    whole = 0.11 + pace * _GENERATED
    page.histogram(
        "e2e_request_latency_seconds",
        "Histogram of e2e request latency in seconds.",
        _E2E,
        both(whole, 2.3 + whole * 2.4, 0.4),
    )
    page.histogram(
        "request_queue_time_seconds",
        "Histogram of time spent in WAITING phase for request.",
        _E2E,
        both(0.004, 2.2, 0.5),
    )
    page.histogram(
        "request_prefill_time_seconds",
        "Histogram of time spent in PREFILL phase for request.",
        _E2E,
        both(0.1, 0.16, 0.4),
    )
    page.histogram(
        "request_decode_time_seconds",
        "Histogram of time spent in DECODE phase for request.",
        _E2E,
        both(pace * _GENERATED, pace * _GENERATED * 2.4, 0.4),
    )
    page.histogram("request_prompt_tokens", "Number of prefill tokens processed.", _TOKENS, both(_PROMPT, _PROMPT, 0.6))
    page.histogram(
        "request_generation_tokens",
        "Number of generation tokens processed.",
        _TOKENS,
        both(_GENERATED, _GENERATED, 0.5),
    )


def _cache_config(traffic: Traffic) -> dict[str, str]:
    free = max(1.0, 0.9 * 79.65 - traffic.model.weights - 2.9)
    return {
        "block_size": "16",
        "cache_dtype": "auto",
        "enable_prefix_caching": "True",
        "gpu_memory_utilization": "0.9",
        "num_gpu_blocks": str(int(free / traffic.model.cache_per_token / 16)),
    }
