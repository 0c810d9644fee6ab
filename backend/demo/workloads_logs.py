"""What the containers of the demo print: the lines of vLLM's V1 engine, of NIM around it, and of their failures."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from backend.demo.exporters_engine import server_state
from backend.demo.gpus import traffic_of
from backend.demo.workloads_faults import (
    Failure,
    Model,
    argument,
    cache_available,
    main_container,
    model_of,
)
from backend.demo.workloads_pods import End, Pod, Stage
from backend.demo.workloads_template import INITIALIZER

_STATS_EVERY = 10.0
_STATS_KEPT = 360
_ENGINE = "(EngineCore_DP0 pid=104)"
_SERVER = "(APIServer pid=1)"


def container_log(
    pod: Pod, container: str | None, previous: bool, *, seed: int, gpu_memory: float, now: float
) -> list[str] | None:
    """The lines of a container, oldest first.

    Args:
        pod: whose.
        container: its name, None for the one that serves.
        previous: of the process before the current one.
        seed: what the traffic follows from.
        gpu_memory: GiB of each GPU of its node.
        now: seconds since 1970.

    Returns:
        None when there is no such container, it has not started, or there was no process before.
    """
    if container == INITIALIZER:
        return _initializer_log(pod, previous, now)
    if container not in (None, main_container(pod.spec)["name"]):
        return _sidecar_log(pod, container, previous, now)
    ends = [end for end in pod.ends if end.failure.kind != "missing-storage"]
    ended = pod.stage in (Stage.EXITED, Stage.CRASH_BACK_OFF)
    if previous:
        before = ends[:-1] if pod.stage is Stage.EXITED else ends
        if pod.stage is Stage.CRASH_BACK_OFF:
            before = ends[:-1] or ends
        return _failed_log(pod, before[-1], gpu_memory) if before else None
    if ended and ends:
        return _failed_log(pod, ends[-1], gpu_memory)
    if not pod.runs or pod.started is None:
        return None
    if pod.stage is Stage.LOADING:
        return [line for at, line in _startup(pod, pod.started, gpu_memory) if at <= now]
    lines = [line for _, line in _startup(pod, pod.started, gpu_memory)]
    lines += [line for _, line in _ready_lines(pod, gpu_memory)]
    return [*lines, *_stats(pod, seed, now)]


def _stamped(at: float, process: str, source: str, text: str, level: str = "INFO") -> tuple[float, str]:
    clock = datetime.fromtimestamp(at, UTC).strftime("%m-%d %H:%M:%S")
    return at, f"{process} {level} {clock} [{source}] {text}"


def _startup(pod: Pod, start: float, gpu_memory: float) -> Iterable[tuple[float, str]]:
    """The lines until the model is loaded, each with its time."""
    container, model = main_container(pod.spec), model_of(pod.spec)
    length = model.max_length or 131072
    said = [
        (0.4, _SERVER, "api_server.py:1977", "vLLM API server version 0.27.1"),
        (
            0.5,
            _SERVER,
            "utils.py:233",
            f"non-default args: {{'model': '{model.name}', 'max_model_len': {length}, "
            f"'tensor_parallel_size': {model.gpus}}}",
        ),
        (0.8, _SERVER, "model.py:1510", f"Using max model len {length}"),
        (
            1.0,
            _ENGINE,
            "core.py:94",
            f"Initializing a V1 LLM engine (v0.27.1) with config: model='{model.name}', "
            f"dtype=torch.bfloat16, max_seq_len={length}, tensor_parallel_size={model.gpus}",
        ),
        (
            1.2,
            _ENGINE,
            "parallel_state.py:1208",
            f"rank 0 in world size {model.gpus} is assigned as DP rank 0, PP rank 0, TP rank 0, EP rank 0",
        ),
        (1.4, _ENGINE, "gpu_model_runner.py:2653", f"Starting to load model {model.name}..."),
        (2.2, _ENGINE, "default_loader.py:267", "Loading weights took 0.71 seconds"),
        (
            2.3,
            _ENGINE,
            "gpu_model_runner.py:2684",
            f"Model loading took {model.weights:.4f} GiB memory and 0.934211 seconds",
        ),
        (
            2.6,
            _ENGINE,
            "gpu_worker.py:298",
            f"Available KV cache memory: {max(0.0, cache_available(container, model, gpu_memory)):.2f} GiB",
        ),
    ]
    return _banner(pod, start, model) + [
        _stamped(start + after, process, source, text) for after, process, source, text in said
    ]


def _banner(pod: Pod, start: float, model: Model) -> list[tuple[float, str]]:
    """What NIM says before the engine that it bundles."""
    if pod.engine != "nim":
        return []
    profile = "4f904d571fe60ff24695b5ee2aa42da58cb460787a968f1e8a09f5a7e862728d"
    return [
        (start, "==========================================="),
        (start, f"== NVIDIA Inference Microservice LLM NIM: {model.name} =="),
        (start, "==========================================="),
        (start + 0.2, "Detected 1 compatible profile(s)."),
        (start + 0.3, f"Valid profile: {profile} (vllm-bf16-tp{model.gpus}-pp1)"),
    ]


def _ready_lines(pod: Pod, gpu_memory: float) -> Iterable[tuple[float, str]]:
    at, model = pod.ready or pod.since, model_of(pod.spec)
    free = max(1.0, cache_available(main_container(pod.spec), model, gpu_memory))
    tokens = int(free / model.cache_per_token) // 16 * 16
    length = model.max_length or 131072
    return [
        _stamped(at - 0.3, _ENGINE, "kv_cache_utils.py:1087", f"GPU KV cache size: {tokens:,} tokens"),
        _stamped(
            at - 0.3,
            _ENGINE,
            "kv_cache_utils.py:1091",
            f"Maximum concurrency for {length:,} tokens per request: {tokens / length:.2f}x",
        ),
        _stamped(at - 0.1, _ENGINE, "core.py:218", "init engine (profile, create kv cache, warmup model) took 0.52 s"),
        _stamped(at, _SERVER, "api_server.py:2052", f"Starting vLLM API server 0 on http://0.0.0.0:{port_of(pod)}"),
        (at, f"{_SERVER} INFO:     Started server process [1]"),
        (at, f"{_SERVER} INFO:     Waiting for application startup."),
        (at, f"{_SERVER} INFO:     Application startup complete."),
    ]


def _stats(pod: Pod, seed: int, now: float) -> list[str]:
    """A line each ten seconds as vLLM's logger writes it; it is silent while nothing happens."""
    traffic = traffic_of(pod, seed)
    ready = pod.ready or now
    if traffic.activity.base == 0:
        return []
    ticks = int((now - ready) / _STATS_EVERY)
    lines: list[str] = []
    for tick in range(max(1, ticks - _STATS_KEPT), ticks + 1):
        at = ready + tick * _STATS_EVERY
        state, before = server_state(pod, traffic, at), server_state(pod, traffic, at - _STATS_EVERY)
        prompt = (state.prompted - before.prompted) / _STATS_EVERY
        generated = (state.generated - before.generated) / _STATS_EVERY
        text = (
            f"Engine 000: Avg prompt throughput: {prompt:.1f} tokens/s, Avg generation throughput: "
            f"{generated:.1f} tokens/s, Running: {state.running} reqs, Waiting: {state.waiting} reqs, "
            f"GPU KV cache usage: {100 * state.cache:.1f}%, Prefix cache hit rate: 37.0%"
        )
        lines.append(_stamped(at, _SERVER, "loggers.py:181", text)[1])
    return lines


def _failed_log(pod: Pod, end: End, gpu_memory: float) -> list[str]:
    model = model_of(pod.spec)
    lines = [line for at, line in _startup(pod, end.started, gpu_memory) if at <= end.finished]
    if end.failure.kind == "out-of-memory":
        return [line for line in lines if "Loading weights took" not in line and "Available KV" not in line][:8]
    if end.failure.kind == "missing-model":
        lines = lines[:2]
    trace = _trace(end.failure, model)
    lines += [_stamped(end.finished, _ENGINE, "core.py:842", f"{line}", "ERROR")[1] for line in trace]
    lines.append(
        f"{_SERVER} RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {{}}"
    )
    return lines


def _trace(failure: Failure, model: Model) -> list[str]:
    package = "/usr/local/lib/python3.12/dist-packages"
    if failure.kind == "missing-model":
        return [
            "Traceback (most recent call last):",
            f'  File "{package}/transformers/utils/hub.py", line 511, in cached_files',
            f"huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error. Repository {model.name} not found.",
            failure.message,
        ]
    return [
        "EngineCore failed to start.",
        "Traceback (most recent call last):",
        f'  File "{package}/vllm/v1/engine/core.py", line 833, in run_engine_core',
        "    engine_core = EngineCoreProc(*args, **kwargs)",
        f'  File "{package}/vllm/v1/engine/core.py", line 193, in _initialize_kv_caches',
        "    kv_cache_configs = get_kv_cache_configs(vllm_config, kv_cache_specs, available_gpu_memory)",
        f'  File "{package}/vllm/v1/core/kv_cache_utils.py", line 694, in check_enough_kv_cache_memory',
        "    raise ValueError(",
        failure.message,
    ]


def _sidecar_log(pod: Pod, container: str, previous: bool, now: float) -> list[str] | None:
    """A line a minute of a container beside the one that serves, for an hour back."""
    known = any(item.get("name") == container for item in pod.spec["containers"])
    if previous or not known or pod.pulled is None:
        return None
    first = int(max(pod.pulled, now - 3600) // 60) + 1
    stamps = [datetime.fromtimestamp(pod.pulled, UTC)] + [
        datetime.fromtimestamp(minute * 60, UTC) for minute in range(first, int(now // 60) + 1)
    ]
    started, *beats = [f"{at:%Y/%m/%d %H:%M:%S}" for at in stamps]
    return [f"[{started}] [ info] [{container}] started", *(f"[{at}] [ info] [output] flushed" for at in beats)]


def _initializer_log(pod: Pod, previous: bool, now: float) -> list[str] | None:
    initializers = pod.spec.get("initContainers")
    if not initializers or pod.pulled is None:
        return None
    uri = initializers[0]["args"][0]
    ends = [end for end in pod.ends if end.failure.kind == "missing-storage"]
    if previous and not ends:
        return None
    at = ends[-1].started if ends and (previous or pod.stage is not Stage.FETCHING) else pod.pulled
    clock = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S,%f")[:-3]
    lines = [
        f"{clock} 1 kserve INFO [initializer-entrypoint:<module>():17] Initializing, args: src_uri [{uri}] "
        "dest_path [/mnt/models]",
        f"{clock} 1 kserve INFO [storage.py:download():102] Copying contents of {uri} to local",
    ]
    if ends and (previous or pod.stage is not Stage.FETCHING):
        return [*lines, "Traceback (most recent call last):", ends[-1].failure.message]
    if pod.started is not None:
        lines.append(f"{clock} 1 kserve INFO [storage.py:download():167] Successfully copied {uri} to /mnt/models")
    return lines


def port_of(pod: Pod) -> int:
    """The port on which the server of a pod listens."""
    container = main_container(pod.spec)
    ports = container.get("ports") or []
    told = argument(container, "--port", "--http-port") or ""
    if told.isdigit():
        return int(told)
    return int(ports[0]["containerPort"]) if ports else 8000
