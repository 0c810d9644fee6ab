"""Suggestions for a deployment from the model's size and the GPU's memory: never applied by themselves. Pure.

A GPU gives a model server `gpu_memory_utilization` of its memory (vLLM's default: 0.9), of which activations and CUDA
graphs take about 2 GiB; weights are divided over the tensor-parallel GPUs, and what is left is KV cache (vLLM,
"Conserving Memory" and "Parallelism and Scaling": the smallest number of GPUs that holds the weights and enough cache,
as powers of two, within a node; pipeline parallelism beyond it).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from backend.serving.arguments import option
from backend.serving.deployment import DeploymentFile
from backend.serving.deployment_fields import MIG_PREFIX
from backend.serving.engines import NIM, SGLANG, TGI, VLLM, Engine, engine_of
from backend.serving.model_size import ModelSize

WHOLE: Final = "nvidia.com/gpu"
UTILISATION: Final = 0.9
OVERHEAD: Final = 2 << 30
#: Tokens that the cache should hold at least: 16 requests of 4,096.
_ENOUGH_TOKENS: Final = 16 * 4096
#: Requests of the greatest length that should fit side by side.
_SIDE_BY_SIDE: Final = 4
_MOST_GPUS: Final = 8
_SHORTEST: Final = 2048
_LONGEST: Final = 1 << 20
#: NVIDIA: FP8 tensor cores came with compute capability 8.9 (Ada) and 9.0 (Hopper).
_FP8_FROM: Final = (8, 9)
#: KServe's storage initializer fetches from these into an emptyDir.
_FETCHED: Final = frozenset({"s3", "gs", "hf", "http", "https", "hdfs", "webhdfs"})
_WHOLE_PRECISIONS: Final = frozenset({"fp32", "bf16", "fp16"})


class GpuType(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU or MIG instance that a deployment may get.

    Attributes:
        memory: bytes. compute: its compute capability; None: not told. per_node: on the largest node.
    """

    product: str
    memory: int
    compute: tuple[int, int] | None = None
    per_node: int = _MOST_GPUS

    @property
    def usable(self) -> int:
        """Bytes for weights and cache."""
        return max(0, int(self.memory * UTILISATION) - OVERHEAD)


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    """A value that would suit, and why.

    Attributes:
        id: `gpus`, `gpu-resource`, `tensor-parallel`, `workers`, `max-length`,
            `quantisation` or `storage`.
        label: what it is about. value: as it would be written. present: what stands there now; empty: nothing.
        reason: the arithmetic, in a sentence.
        argument: it is put among the arguments as this; else `changes` are made to the file's tree, by path.
    """

    id: str
    label: str
    value: str
    present: str
    reason: str
    argument: str = ""
    changes: tuple[tuple[tuple[str, ...], Any], ...] = ()


class _Options(msgspec.Struct, frozen=True):
    """How an engine is told."""

    tensor_parallel: str
    max_length: str
    quantisation: str


_OPTIONS: Final[dict[str, _Options]] = {
    VLLM.name: _Options("--tensor-parallel-size", "--max-model-len", "--quantization"),
    SGLANG.name: _Options("--tp-size", "--context-length", "--quantization"),
    TGI.name: _Options("--num-shard", "--max-total-tokens", "--quantize"),
}
_ALIASES: Final = {
    "--tensor-parallel-size": ("-tp",),
    "--tp-size": ("--tensor-parallel-size", "--tp"),
    "--quantization": ("-q",),
}


def engine_for(deployment: DeploymentFile) -> Engine:
    """What serves the deployment."""
    return engine_of(deployment.image, "" if deployment.own_containers else deployment.runtime)


def gpus_needed(size: ModelSize, gpu: GpuType) -> int:
    """The smallest power of two of GPUs that holds weights and enough cache; may be more than a node has.

    More than 1,024 is told as 1,024.
    """
    count = 1
    while count < 1024 and cache_tokens(size, gpu, count) < (_ENOUGH_TOKENS if size.shape else 0):
        count *= 2
    return count


def cache_tokens(size: ModelSize, gpu: GpuType, count: int) -> int:
    """Tokens that fit into the KV cache beside the weights on that many GPUs; below zero: the weights do not fit."""
    left = gpu.usable * count - size.weights
    if left < 0:
        return -1
    per_token = size.kv_per_token()
    return left // per_token if per_token else 0


def longest(size: ModelSize, gpu: GpuType, count: int, context: int | None = None) -> int | None:
    """The greatest length of which four requests fit side by side; None when not even a short one does.

    Args:
        context: that the model was trained for, where it is known.
    """
    tokens = cache_tokens(size, gpu, count)
    if not size.kv_per_token() or tokens < _SHORTEST:
        return None
    length = _SHORTEST
    while length * 2 * _SIDE_BY_SIDE <= tokens and length * 2 <= min(_LONGEST, context or _LONGEST):
        length *= 2
    return length


def per_gpu(deployment: DeploymentFile, size: ModelSize) -> int:
    """Bytes that each GPU has to have: its share of the weights, one request's cache, and what is held back."""
    count = max(1, deployment.resources.gpu * deployment.pods_per_replica)
    told = _told_length(deployment)
    cache = size.kv_per_token() * (told or 0)
    quantised = as_loaded(deployment, size)
    return int(((quantised.weights + cache) / count + OVERHEAD) / UTILISATION)


def as_loaded(deployment: DeploymentFile, size: ModelSize) -> ModelSize:
    """The model as the arguments have it loaded."""
    options = _OPTIONS.get(engine_for(deployment).name)
    told = _option(deployment, options.quantisation).lower() if options is not None else ""
    return size.at("fp8") if told.startswith("fp8") and size.precision in _WHOLE_PRECISIONS else size


def suggest(
    deployment: DeploymentFile, size: ModelSize | None, gpu: GpuType | None, context: int | None = None
) -> tuple[Suggestion, ...]:
    """What would suit where the file says something else or nothing.

    Args:
        size: of the model; None: not known, and nothing can be suggested.
        gpu: that the deployment would get; None: not known.
        context: greatest length of the model, where it is known.
    """
    if size is None or gpu is None or gpu.usable <= 0:
        return ()
    return tuple(one for one in _suggest(deployment, size, gpu, context) if one.value != one.present)


def taken(tree: Mapping[str, Any], suggestion: Suggestion) -> dict[str, Any]:
    """A deployment file's tree with a suggestion in it; an argument takes the place of one of the same name."""
    changed = dict(tree)
    if suggestion.argument:
        name = suggestion.argument.partition("=")[0]
        changed["args"] = [
            *_without(list(changed.get("args") or []), (name, *_ALIASES.get(name, ()))),
            suggestion.argument,
        ]
    for path, value in suggestion.changes:
        place = changed
        for key in path[:-1]:
            place[key] = dict(place.get(key) or {})
            place = place[key]
        place[path[-1]] = value
    return changed


def unparallel(deployment: DeploymentFile) -> str:
    """That a server would leave GPUs idle that its pod asks for, in a sentence; empty when it uses all of them."""
    options = _OPTIONS.get(engine_for(deployment).name)
    count = deployment.resources.gpu
    if options is None or count < 2 or deployment.workers is not None:
        return ""
    told = _option(deployment, options.tensor_parallel)
    if told == str(count):
        return ""
    uses = f"{options.tensor_parallel} is {told}" if told else f"without {options.tensor_parallel} the server uses one"
    return f"{count} GPUs are asked for, and {uses}"


# ------------------------------------------------------------ inside


def _suggest(deployment: DeploymentFile, size: ModelSize, gpu: GpuType, context: int | None) -> Iterator[Suggestion]:
    # What is fetched is not smaller for being loaded smaller.
    yield from _storage(deployment, size)
    options = _OPTIONS.get(engine_for(deployment).name)
    size = as_loaded(deployment, size)
    needed = gpus_needed(size, gpu)
    if needed > 1 and deployment.resources.gpu_resource.startswith(MIG_PREFIX):
        # MIG instances cannot work on one model together: nothing in the file but another resource would help.
        yield Suggestion(
            id="gpu-resource", label="GPU resource", value=WHOLE, present=deployment.resources.gpu_resource,
            reason=f"{_gib(size.weights)} of weights and their cache do not fit into {_gib(gpu.memory)}, and MIG"
            " instances cannot share a model",
            changes=((("resources", "gpuResource"), WHOLE),),
        )  # fmt: skip
        return
    node = min(gpu.per_node, _MOST_GPUS)
    fp8 = gpus_needed(size.at("fp8"), gpu)
    quantise = (
        size.precision in _WHOLE_PRECISIONS and fp8 < needed and (gpu.compute is None or gpu.compute >= _FP8_FROM)
    )
    if quantise and options is not None:
        yield Suggestion(
            id="quantisation", label="quantisation", value="fp8", present=_option(deployment, options.quantisation),
            reason=f"weights of one byte a parameter ({_gib(size.at('fp8').weights)}) need {fp8} of these GPUs, not"
            f" {needed}; answers change a little: measure before and after",
            argument=f"{options.quantisation}=fp8",
        )  # fmt: skip
    if needed > node:
        yield from _over_nodes(deployment, size, gpu, needed, node)
        return
    present = str(deployment.resources.gpu)
    if deployment.workers is None:
        yield Suggestion(
            id="gpus", label="GPUs", value=str(needed), present=present, reason=_why(size, gpu, needed),
            changes=((("resources", "gpu"), needed),),
        )  # fmt: skip
    count = deployment.resources.gpu or needed
    if options is not None and deployment.workers is None:
        told = _option(deployment, options.tensor_parallel)
        if count > 1 or told:
            yield Suggestion(
                id="tensor-parallel", label="tensor parallel", value=str(count), present=told,
                reason=f"the server uses one GPU unless told: {count} are asked for, and each would hold"
                f" {_gib(size.weights // count)} of weights",
                argument=f"{options.tensor_parallel}={count}",
            )  # fmt: skip
    yield from _length(deployment, size, gpu, count, context, options)


def _storage(deployment: DeploymentFile, size: ModelSize) -> Iterator[Suggestion]:
    """Room on the node's disk for weights that are fetched at each start: by KServe's storage initializer into an
    emptyDir, or by the server into its cache."""
    scheme = deployment.model.storage_uri.partition("://")[0]
    named = option(deployment, engine_for(deployment).model_option) if not scheme else ""
    if deployment.resources.ephemeral_storage is not None or not (
        scheme in _FETCHED or ("/" in named and not named.startswith("/"))
    ):
        return
    # A fifth more for tokenizers, caches and logs, in steps of 10 GiB.
    gibibytes = -(-int(size.weights * 1.2) // (10 << 30)) * 10
    yield Suggestion(
        id="storage", label="local storage", value=f"{gibibytes}Gi", present="",
        reason=f"{_gib(size.weights)} of weights are fetched onto the node's disk, which may lack room for them",
        changes=((("resources", "ephemeralStorage"), f"{gibibytes}Gi"),),
    )  # fmt: skip


def _over_nodes(
    deployment: DeploymentFile, size: ModelSize, gpu: GpuType, needed: int, node: int
) -> Iterator[Suggestion]:
    parts = -(-needed // node)
    present = deployment.workers
    yield Suggestion(
        id="workers", label="nodes a replica", value=f"{parts} x {node}",
        present=f"{present.pipeline_parallel_size} x {present.tensor_parallel_size}" if present else "1",
        reason=f"{_why(size, gpu, needed)}, and a node has {node}: pipeline parallel over {parts} nodes, tensor"
        " parallel within each",
        changes=(
            (("workers",), {"pipelineParallelSize": parts, "tensorParallelSize": node}),
            (("resources", "gpu"), node),
        ),
    )  # fmt: skip


def _length(
    deployment: DeploymentFile, size: ModelSize, gpu: GpuType, count: int, context: int | None, options: _Options | None
) -> Iterator[Suggestion]:
    length = longest(size, gpu, count, context)
    engine = engine_for(deployment)
    if length is None or (options is None and engine is not NIM):
        return
    tokens, each = cache_tokens(size, gpu, count), size.kv_per_token()
    gpus = f"{count} GPU{'' if count == 1 else 's'}"
    reason = (
        f"beside the weights {_gib(tokens * each)} are left for the KV cache of {gpus}: {tokens:,} tokens of"
        f" {each / 1024:.0f} KiB, so {tokens // length} such requests at once"
    )
    if context is None:
        reason += "; the model's own greatest length is not known here"
    if options is not None:
        yield Suggestion(
            id="max-length", label="maximum length", value=str(length), present=_option(deployment, options.max_length),
            reason=reason, argument=f"{options.max_length}={length}",
        )  # fmt: skip
        return
    present = next((each.value or "" for each in deployment.env if each.name == _NIM_LENGTH), "")
    others = [each.model_dump(by_alias=True, exclude_none=True) for each in deployment.env if each.name != _NIM_LENGTH]
    yield Suggestion(
        id="max-length", label="maximum length", value=str(length), present=present, reason=reason,
        changes=((("env",), [*others, {"name": _NIM_LENGTH, "value": str(length)}]),),
    )  # fmt: skip


_NIM_LENGTH: Final = "NIM_MAX_MODEL_LEN"


def _why(size: ModelSize, gpu: GpuType, count: int) -> str:
    told = f"{size.parameters / 1e9:.3g} billion parameters of {size.precision} take {_gib(size.weights)};"
    told += f" each {gpu.product} gives {_gib(gpu.usable)} of its {_gib(gpu.memory)}"
    told += f", so {count} hold{'s' if count == 1 else ''} them"
    if size.shape is not None:
        told += f" and {_gib(max(0, gpu.usable * count - size.weights))} of KV cache"
    return told


def _told_length(deployment: DeploymentFile) -> int | None:
    options = _OPTIONS.get(engine_for(deployment).name)
    told = _option(deployment, options.max_length) if options is not None else ""
    return int(told) if told.isdecimal() and len(told) < 9 else None


def _option(deployment: DeploymentFile, name: str) -> str:
    return next((value for each in (name, *_ALIASES.get(name, ())) if (value := option(deployment, each))), "")


def _without(arguments: list[str], names: tuple[str, ...]) -> list[str]:
    """Arguments less an option, written as `--name=value` or as two."""
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if skip:
            skip = False
        elif argument in names:
            skip = True
        elif argument.partition("=")[0] not in names:
            kept.append(argument)
    return kept


def _gib(count: int) -> str:
    return f"{count / 2**30:.0f} GiB" if count >= 10 << 30 else f"{count / 2**30:.1f} GiB"
