"""What holds a replica back, with the numbers that say so. Pure.

The order: a replica without work is asleep; requests that wait are held by the KV cache where it is full, else by the
limit of concurrent requests; without a queue the phase that the GPU works for is told by what it works with: prefill
computes (tensor cores), decode reads weights and cache (memory).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from backend.core.views import GpuView, ModelServerView

#: Share of the KV cache from which on new requests wait for it: vLLM preempts near its end.
FULL_CACHE: Final = 0.95
#: Percent of a GPU's engine from which on it has no time left.
_BUSY: Final = 80.0
#: How many times more percent one unit must be in use than the other, to stand out.
_STANDS_OUT: Final = 1.5


class Bottleneck(NamedTuple):
    """`name`: queue, KV cache, prefill, decode or asleep; both empty when nothing stands out or it cannot be told."""

    name: str
    evidence: str


NOTHING: Final = Bottleneck("", "")


def bottleneck_of(server: ModelServerView, gpus: Sequence[GpuView]) -> Bottleneck:
    """What holds back the replica that this server and these GPUs are."""
    running, waiting, cache = server.running, server.waiting, server.kv_cache
    if running is None and waiting is None:
        return NOTHING
    if waiting:
        of_cache = f", {cache * 100:.0f} % of the KV cache in use" if cache is not None else ""
        told = f"{waiting:g} wait, {running or 0:g} run{of_cache}"
        if server.queue_time:
            told += f", {server.queue_time:.1f} s in the queue on the average"
        if server.preemptions_per_second:
            told += f", {server.preemptions_per_second:.1f} a second give their place up"
        full = cache is not None and cache >= FULL_CACHE
        return Bottleneck("KV cache" if full or server.preemptions_per_second else "queue", told)
    if not running:
        rate = server.generation_tokens_per_second
        return (
            NOTHING if rate is None or rate > 0 else Bottleneck("asleep", "no request runs or waits, no token is made")
        )
    return _phase(server, gpus)


def _phase(server: ModelServerView, gpus: Sequence[GpuView]) -> Bottleneck:
    engine, tensor, memory = (
        _mean([gpu.engine_active for gpu in gpus]),
        _mean([gpu.tensor_active for gpu in gpus]),
        _mean([gpu.dram_active for gpu in gpus]),
    )
    if engine is None or engine < _BUSY:
        return NOTHING
    if tensor is None or memory is None:
        return _phase_by_time(server, engine)
    rates = ""
    if server.prompt_tokens_per_second is not None and server.generation_tokens_per_second is not None:
        rates = (
            f"; {server.prompt_tokens_per_second:.0f} tokens/s read,"
            f" {server.generation_tokens_per_second:.0f} tokens/s made"
        )
    told = f"engine {engine:.0f} %, tensor cores {tensor:.0f} %, memory {memory:.0f} %{rates}"
    if tensor > memory * _STANDS_OUT:
        return Bottleneck("prefill", told)
    if memory > tensor * _STANDS_OUT:
        return Bottleneck("decode", told)
    return NOTHING


def _phase_by_time(server: ModelServerView, engine: float) -> Bottleneck:
    """Where exporters do not profile: by what a request spends its time in."""
    prefill, decode = server.prefill_time, server.decode_time
    if prefill is None or decode is None:
        return NOTHING
    told = f"engine {engine:.0f} %, a request spends {prefill:.1f} s in prefill and {decode:.1f} s in decode"
    if prefill > decode * _STANDS_OUT:
        return Bottleneck("prefill", told)
    return Bottleneck("decode", told) if decode > prefill * _STANDS_OUT else NOTHING


def _mean(values: Sequence[float | None]) -> float | None:
    told = [value for value in values if value is not None]
    return sum(told) / len(told) if told and len(told) == len(values) else None
