"""What becomes of a pod, decided by its own spec so that a failure can be reproduced by writing it down.

- Memory limit below what loading needs: killed by the kernel.
- `--max-model-len` whose KV cache does not fit beside the weights: vLLM refuses.
- A model name or storage address with `missing`, `nonexistent`, `does-not-exist` or `not-found` in it: not found.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from backend.demo.objects import Object
from backend.demo.workloads_quantities import gpus_of, quantity
from backend.demo.workloads_template import CONTAINER, INITIALIZER

_GIB = 2.0**30
_ABSENT = ("missing", "nonexistent", "does-not-exist", "not-found")
_SIZE = re.compile(r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)b(?![a-z0-9])")
_SMALL_MODELS = ("embed", "bge", "e5-", "rerank", "gte-", "minilm", "guard")
#: The share of a GPU's memory that vLLM takes unless told otherwise.
UTILISATION = 0.9
#: Activations, CUDA graphs and what else is neither weights nor KV cache, in GiB a GPU.
_OVERHEAD = 2.9


@dataclass(frozen=True)
class Model:
    """What a container serves.

    Attributes:
        name: as its arguments, environment or image name it.
        parameters: in thousand millions.
        bytes_per_parameter: 2 unless the name tells a quantisation.
        max_length: tokens of `--max-model-len`, None when the argument is absent.
        gpus: over how many GPUs it is spread.
    """

    name: str
    parameters: float
    bytes_per_parameter: float
    max_length: int | None
    gpus: int

    @property
    def weights(self) -> float:
        """GiB of weights on each GPU."""
        return self.parameters * 1e9 * self.bytes_per_parameter / _GIB / max(1, self.gpus)

    @property
    def cache_per_token(self) -> float:
        """GiB of KV cache for a token on each GPU; 128 KiB in all for 8 thousand million parameters."""
        return 128.0 * 1024 / _GIB * math.pow(self.parameters / 8.0, 0.42) / max(1, self.gpus)


@dataclass(frozen=True)
class Failure:
    """How a container ends instead of serving.

    Attributes:
        kind: `kv-cache`, `no-cache`, `out-of-memory`, `missing-model` or `missing-storage`.
        exit_code: of the process; `reason` as the kubelet words the end.
        message: the last words of the process, one line.
        needed, available: GiB of KV cache on a GPU; bytes of memory for `out-of-memory`.
    """

    kind: str
    exit_code: int
    reason: str
    message: str
    needed: float = 0.0
    available: float = 0.0


def main_container(pod_spec: Object) -> Object:
    """The container that serves."""
    containers: list[Object] = pod_spec["containers"]
    return next((item for item in containers if item.get("name") == CONTAINER), containers[0])


def argument(container: Object, *names: str) -> str | None:
    """The value of the last of these command-line options, written `--name=value` or `--name value`."""
    words = [str(word) for word in [*(container.get("command") or []), *(container.get("args") or [])]]
    found = None
    for index, word in enumerate(words):
        for name in names:
            if word.startswith(f"{name}="):
                found = word[len(name) + 1 :]
            elif word == name and index + 1 < len(words):
                found = words[index + 1]
    return found


def repository_of(image: str) -> str:
    """The image without registry host, tag and digest."""
    name = image.split("@", 1)[0]
    first, _, rest = name.partition("/")
    if rest and ("." in first or ":" in first or first == "localhost"):
        name = rest
    head, slash, last = name.rpartition("/")
    return head + slash + last.split(":", 1)[0]


def model_of(pod_spec: Object) -> Model:
    """What a pod serves, as far as its spec tells."""
    container = main_container(pod_spec)
    environment = {item.get("name"): str(item.get("value") or "") for item in container.get("env") or []}
    name = (
        argument(container, "--model", "--model-name", "--model-path", "--model_name", "--model_id", "--model-id")
        or _positional(container)
        or environment.get("NIM_MODEL_NAME")
        or _storage(pod_spec)
        or repository_of(container.get("image", "")).rpartition("/")[2]
    )
    length = argument(container, "--max-model-len", "--max_model_len") or environment.get("NIM_MAX_MODEL_LEN") or ""
    gpus = argument(container, "--tensor-parallel-size", "-tp") or ""
    return Model(
        name=name,
        parameters=parameters_of(name),
        bytes_per_parameter=_bytes_per_parameter(name),
        max_length=int(length) if length.isdigit() else None,
        gpus=int(gpus) if gpus.isdigit() and int(gpus) else max(1, gpus_of(pod_spec)),
    )


def parameters_of(name: str) -> float:
    """Thousand millions of parameters as a model's name tells, `8x7b` for a mixture; small ones without a number."""
    match = _SIZE.search(name.lower())
    if match is None:
        return 0.6 if any(word in name.lower() for word in _SMALL_MODELS) else 8.0
    return float(match[2]) * (int(match[1]) * 0.84 if match[1] else 1.0)


def storage_failure(pod_spec: Object) -> Failure | None:
    """Why the storage initializer cannot fetch the model, or None when it can or there is none."""
    uri = _storage(pod_spec)
    if not uri or not _is_absent(uri):
        return None
    message = f"RuntimeError: Failed to fetch model. No model found in {uri}."
    return Failure("missing-storage", 1, "Error", message)


def load_failure(pod_spec: Object, gpu_memory: float) -> Failure | None:
    """Why a pod's server ends while it loads, or None when it comes up.

    Args:
        pod_spec: of the pod.
        gpu_memory: GiB of each of its GPUs; 0 without a GPU.
    """
    container = main_container(pod_spec)
    model = model_of(pod_spec)
    if _is_absent(model.name):
        message = (
            f"OSError: {model.name} is not a local folder and is not a valid model identifier listed on "
            "'https://huggingface.co/models'"
        )
        return Failure("missing-model", 1, "Error", message)
    limit = quantity(((container.get("resources") or {}).get("limits") or {}).get("memory", 0))
    needed = host_memory(model)
    if limit and limit < needed:
        return Failure("out-of-memory", 137, "OOMKilled", "", needed, limit)
    return _cache_failure(container, model, gpu_memory) if gpu_memory else None


def host_memory(model: Model) -> float:
    """Bytes of memory that loading takes at its peak."""
    return (2.5 + min(12.0, 0.6 * model.parameters)) * _GIB


def cache_available(container: Object, model: Model, gpu_memory: float) -> float:
    """GiB that are left for the KV cache on each GPU."""
    told = argument(container, "--gpu-memory-utilization", "--gpu_memory_utilization")
    try:
        share = float(told) if told else UTILISATION
    except ValueError:
        share = UTILISATION
    return gpu_memory * share - model.weights - _OVERHEAD


def _cache_failure(container: Object, model: Model, gpu_memory: float) -> Failure | None:
    available = cache_available(container, model, gpu_memory)
    if available <= 0:
        message = (
            "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when "
            "initializing the engine."
        )
        return Failure("no-cache", 1, "Error", message)
    if model.max_length is None:
        return None
    needed = model.max_length * model.cache_per_token
    if needed <= available:
        return None
    longest = int(available / model.cache_per_token) // 16 * 16
    message = (
        f"ValueError: To serve at least one request with the models's max seq len ({model.max_length}), "
        f"({needed:.2f} GiB KV cache is needed, which is larger than the available KV cache memory "
        f"({available:.2f} GiB). Based on the available memory, the estimated maximum model length is {longest}. "
        "Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing the engine."
    )
    return Failure("kv-cache", 1, "Error", message, needed, available)


def _positional(container: Object) -> str | None:
    """The model of `vllm serve MODEL` and of `trtllm-serve MODEL`."""
    words = [str(word) for word in [*(container.get("command") or []), *(container.get("args") or [])]]
    for marker in ("serve", "trtllm-serve"):
        if marker in words[:-1]:
            following = words[words.index(marker) + 1]
            return None if following.startswith("-") else following
    return None


def _storage(pod_spec: Object) -> str:
    for container in pod_spec.get("initContainers") or []:
        if container.get("name") == INITIALIZER:
            return str(container["args"][0])
    return ""


def _bytes_per_parameter(name: str) -> float:
    lowered = name.lower()
    if any(word in lowered for word in ("awq", "gptq", "int4", "w4a16", "q4")):
        return 0.58
    return 1.05 if any(word in lowered for word in ("fp8", "int8", "w8a8")) else 2.0


def _is_absent(name: str) -> bool:
    return any(word in name.lower() for word in _ABSENT)
