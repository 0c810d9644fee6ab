"""What the demo registry offers: products with their tags, how their images are built, and their evidence."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Final, NamedTuple

from backend.demo import catalogue_evidence as evidence
from backend.demo import catalogue_layers as layers
from backend.demo.catalogue_evidence import Evidence
from backend.demo.images_streams import Stream

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class Build(NamedTuple):
    """How the images of an engine are put together.

    Attributes:
        arm64: layers of the second architecture; empty: there is none.
        packages: which entry of `catalogue_evidence.PACKAGES` they hold.
        indexed: served as an index with BuildKit attestations; otherwise as a plain manifest.
        user: that a container runs as; empty: root.
        ports: that it listens on.
        base: image that it is built on.
    """

    amd64: tuple[Stream, ...]
    arm64: tuple[Stream, ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    labels: Mapping[str, str] = _NOTHING
    packages: str = "torch"
    indexed: bool = True
    user: str = ""
    ports: tuple[str, ...] = ()
    base: str = ""


class Product(NamedTuple):
    """One repository of images.

    Attributes:
        tags: oldest first, separated by spaces.
        newest: when the newest tag was built.
        nim_type: the label `com.nvidia.nim.type`; empty for what is not a NIM.
        aliases: further tags that name the same digest as one of `tags`.
        evidence: what particular tags are given; the others get what is usual.
        labels: further labels of every image.
    """

    repository: str
    build: Build
    title: str
    licence: str
    tags: str
    newest: date
    nim_type: str = ""
    aliases: Mapping[str, str] = _NOTHING
    evidence: Mapping[str, Evidence] = MappingProxyType({})
    labels: Mapping[str, str] = _NOTHING


_NVIDIA_ENVIRONMENT: Final = (
    "PATH=/usr/local/nvidia/bin:/usr/local/cuda/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "NVIDIA_VISIBLE_DEVICES=all",
    "NVIDIA_DRIVER_CAPABILITIES=compute,utility",
)
_NIM_ENTRYPOINT: Final = ("/opt/nvidia/nvidia_entrypoint.sh",)
_NIM_COMMAND: Final = ("/opt/nim/start_server.sh",)
_CUDA_BASE: Final = "docker.io/nvidia/cuda:12.8.1-runtime-ubuntu24.04"
_SYSTEM: Final = (layers.UBUNTU_2404, layers.PYTHON, layers.CUDA_128)
_SYSTEM_ARM64: Final = (layers.UBUNTU_2404_ARM64, layers.PYTHON_ARM64, layers.CUDA_128_ARM64)


def _nim(own: Stream, *arm64: Stream) -> Build:
    return Build(
        amd64=(layers.UBUNTU_2204, layers.PYTHON, layers.CUDA_124, own),
        arm64=(*_SYSTEM_ARM64, *arm64) if arm64 else (),
        entrypoint=_NIM_ENTRYPOINT,
        command=_NIM_COMMAND,
        environment=_NVIDIA_ENVIRONMENT,
        packages="nim",
        user="1000:1000",
        ports=("8000/tcp",),
    )


NIM_LLM: Final = _nim(layers.NIM_LLM)
NIM_LLM_BOTH: Final = _nim(layers.NIM_LLM, layers.NIM_LLM_ARM64)
NIM_RETRIEVER: Final = _nim(layers.NIM_RETRIEVER)
NIM_VISION: Final = _nim(layers.NIM_VISION)
VLLM: Final = Build(
    amd64=(*_SYSTEM, layers.VLLM),
    arm64=(*_SYSTEM_ARM64, layers.VLLM_ARM64),
    entrypoint=("vllm", "serve"),
    environment=(*_NVIDIA_ENVIRONMENT, "VLLM_USAGE_SOURCE=production-docker-image"),
    packages="vllm",
    base=_CUDA_BASE,
)
SGLANG: Final = Build(
    amd64=(*_SYSTEM, layers.SGLANG),
    entrypoint=_NIM_ENTRYPOINT,
    command=("python3", "-m", "sglang.launch_server"),
    environment=_NVIDIA_ENVIRONMENT,
)
TGI: Final = Build(
    amd64=(layers.UBUNTU_2204, layers.PYTHON, layers.CUDA_124, layers.TGI),
    entrypoint=("text-generation-launcher",),
    command=("--json-output",),
    environment=(*_NVIDIA_ENVIRONMENT, "HF_HOME=/data", "PORT=80"),
    indexed=False,
    ports=("80/tcp",),
    base=_CUDA_BASE,
)
TEI: Final = Build(
    amd64=(layers.DEBIAN_12, layers.TEI),
    entrypoint=("text-embeddings-router",),
    command=("--json-output",),
    environment=("HUGGINGFACE_HUB_CACHE=/data", "PORT=80"),
    packages="vllm",
    indexed=False,
)
TRITON: Final = Build(
    amd64=(*_SYSTEM, layers.TRITON),
    entrypoint=_NIM_ENTRYPOINT,
    command=("tritonserver",),
    environment=(*_NVIDIA_ENVIRONMENT, "TRITON_SERVER_VERSION=2.57.0"),
    labels={"com.nvidia.tritonserver.version": "2.57.0"},
)
TENSORRT_LLM: Final = Build(
    amd64=(*_SYSTEM, layers.TENSORRT_LLM),
    entrypoint=("trtllm-serve",),
    environment=_NVIDIA_ENVIRONMENT,
)
HUGGINGFACE_SERVER: Final = Build(
    amd64=(*_SYSTEM, layers.VLLM),
    entrypoint=("python3", "-m", "huggingfaceserver"),
    environment=_NVIDIA_ENVIRONMENT,
    packages="vllm",
    indexed=False,
)
MODELCAR: Final = Build(amd64=(layers.GRANITE_WEIGHTS,), packages="vllm", indexed=False)
NGINX: Final = Build(
    amd64=(layers.DEBIAN_12, layers.NGINX),
    arm64=(layers.UBUNTU_2404_ARM64, layers.NGINX_ARM64),
    entrypoint=("/docker-entrypoint.sh",),
    command=("nginx", "-g", "daemon off;"),
    packages="system",
    ports=("80/tcp",),
    base="docker.io/library/debian:bookworm-slim",
)
COMMUNITY: Final = Build(
    amd64=(layers.DEBIAN_12, layers.PYTHON),
    entrypoint=("python3", "-m", "server"),
    packages="gpl",
    indexed=False,
)

_EARLY: Final = "1.0.0 1.0.1 1.0.3 1.1.0 1.1.1 1.1.2 1.2.0 1.2.1 1.2.2 1.2.3"
_MIDDLE: Final = "1.3.0 1.3.1-rtx 1.3.2 1.3.3 1.8.0 1.8.0-rtx 1.8.1 1.8.2"
_RETRIEVER: Final = "1.0.0 1.0.1 1.1.0 1.2.0 1.3.0 1.3.1 1.5.0 1.6.0"
_LLAMA_31: Final = "LicenseRef-Llama-3.1"
_NVIDIA_AI: Final = "LicenseRef-NVIDIA-AI-Enterprise"


def _latest(tag: str, *more: str) -> Mapping[str, str]:
    return dict.fromkeys(("latest", *more), tag)


# One product is a row of a table: the formatter would give each field a line of its own.
# fmt: off
CHAT: Final = (
    Product(
        "nim/meta/llama-3.1-8b-instruct", NIM_LLM_BOTH, "Llama 3.1 8B Instruct", _LLAMA_31,
        f"{_EARLY} {_MIDDLE} 1.8.3 1.8.4 2.0.0-rc1", date(2025, 10, 2), "llm", _latest("1.8.4", "1", "1.8"),
        {"1.8.4": evidence.MEASURED, "1.8.3": evidence.MEASURED_BEFORE, "1.8.2": evidence.CRITICAL,
         "1.3.3": evidence.STALE, "2.0.0-rc1": evidence.SIGNED_ONLY},
    ),
    Product(
        "nim/meta/llama-3.3-70b-instruct", NIM_LLM_BOTH, "Llama 3.3 70B Instruct", "LicenseRef-Llama-3.3",
        "1.5.0 1.5.2 1.8.0 1.8.1 1.8.2 1.8.5 1.10.0 1.10.1", date(2025, 10, 20), "llm", _latest("1.10.1", "1", "1.10"),
        {"1.10.1": evidence.FEW_HIGH, "1.10.0": evidence.CLEAN, "1.8.2": evidence.CRITICAL},
    ),
    Product(
        "nim/meta/llama-3.1-70b-instruct", NIM_LLM, "Llama 3.1 70B Instruct", _LLAMA_31,
        f"{_EARLY} {_MIDDLE}", date(2025, 7, 8), "llm", _latest("1.8.2", "1"),
        {"1.8.2": evidence.CLEAN_TAGS, "1.8.1": evidence.MANY_HIGH},
    ),
    Product(
        "nim/meta/llama-3.1-405b-instruct", NIM_LLM, "Llama 3.1 405B Instruct", _LLAMA_31,
        f"{_EARLY} 1.3.0 1.8.0", date(2025, 6, 11), "llm", _latest("1.8.0"), {"1.8.0": evidence.STALE},
    ),
    Product(
        "nim/mistralai/mistral-7b-instruct-v0.3", NIM_LLM, "Mistral 7B Instruct v0.3",
        f"Apache-2.0 AND {_NVIDIA_AI}", f"{_EARLY} 1.3.0 1.8.0 1.8.3", date(2025, 8, 14), "llm",
        _latest("1.8.3"), {"1.8.3": evidence.CLEAN, "1.8.0": evidence.WRONG_KEY},
    ),
    Product(
        "nim/mistralai/mixtral-8x7b-instruct-v01", NIM_LLM, "Mixtral 8x7B Instruct", "Apache-2.0",
        f"{_EARLY} 1.3.0 1.8.0 1.8.4", date(2025, 9, 3), "llm", _latest("1.8.4"), {"1.8.4": evidence.MANY_HIGH},
    ),
    Product(
        "nim/mistralai/mistral-nemo-12b-instruct", NIM_LLM, "Mistral Nemo 12B Instruct", "Apache-2.0",
        f"{_EARLY} 1.8.0 1.8.4", date(2025, 9, 9), "llm", _latest("1.8.4"), {"1.8.4": evidence.CLEAN_TAGS},
    ),
    Product(
        "nim/nvidia/llama-3.3-nemotron-super-49b-v1", NIM_LLM_BOTH, "Llama 3.3 Nemotron Super 49B",
        "LicenseRef-NVIDIA-Open-Model", "1.5.0 1.5.2 1.8.1 1.8.2 1.8.4 1.8.5 1.8.6 1.10.0 1.10.1", date(2025, 10, 27),
        "llm", _latest("1.10.1"), {"1.10.1": evidence.CLEAN, "1.8.6": evidence.REPLAYED},
    ),
    Product(
        "nim/nvidia/llama-3.1-nemotron-nano-8b-v1", NIM_LLM, "Llama 3.1 Nemotron Nano 8B",
        "LicenseRef-NVIDIA-Open-Model", "1.5.0 1.5.2 1.8.0 1.8.1 1.8.2 1.8.3 1.8.4", date(2025, 10, 15), "llm",
        _latest("1.8.4"), {"1.8.4": evidence.FEW_HIGH, "1.8.3": evidence.UNSIGNED},
    ),
    Product(
        "nim/qwen/qwen-2.5-7b-instruct", NIM_LLM, "Qwen 2.5 7B Instruct", "Apache-2.0",
        "1.2.0 1.2.3 1.3.0 1.3.2 1.8.0 1.8.1 1.8.2 1.8.4", date(2025, 9, 22), "llm", _latest("1.8.4"),
        {"1.8.4": evidence.CLEAN},
    ),
    Product(
        "nim/deepseek-ai/deepseek-r1-distill-llama-8b", NIM_LLM, "DeepSeek R1 Distill Llama 8B", "MIT",
        "1.5.2 1.8.0 1.8.1 1.8.3 1.8.4", date(2025, 9, 18), "llm", _latest("1.8.4"), {"1.8.4": evidence.UNSCANNED},
    ),
    Product(
        "nim/openai/gpt-oss-20b", NIM_LLM_BOTH, "gpt-oss 20B", "Apache-2.0",
        "1.12.0 1.12.1 1.12.2 1.12.4 2.0.0-rc2 2.0.0 2.0.1", date(2025, 11, 5), "llm", _latest("2.0.1"),
        {"2.0.1": evidence.CLEAN, "1.12.4": evidence.CRITICAL},
    ),
    Product(
        "nim/google/gemma-2-9b-it", NIM_LLM, "Gemma 2 9B", "LicenseRef-Gemma",
        "1.2.0 1.2.3 1.3.0 1.3.3 1.8.0", date(2025, 6, 30), "llm", _latest("1.8.0"), {"1.8.0": evidence.CLEAN_TAGS},
    ),
    Product(
        "nim/microsoft/phi-3-mini-4k-instruct", NIM_LLM, "Phi 3 Mini 4K Instruct", "MIT",
        "1.2.0 1.2.2 1.2.3 1.3.0 1.8.0", date(2025, 6, 25), "llm", _latest("1.8.0"), {"1.8.0": evidence.FORGED},
    ),
)

RETRIEVAL: Final = (
    Product(
        "nim/nvidia/nv-embedqa-e5-v5", NIM_RETRIEVER, "NV EmbedQA E5 v5", _NVIDIA_AI,
        f"{_RETRIEVER} 1.6.1", date(2025, 9, 30), "embedding", _latest("1.6.1"),
        {"1.6.1": evidence.CLEAN, "1.6.0": evidence.CRITICAL},
    ),
    Product(
        "nim/nvidia/llama-3.2-nv-embedqa-1b-v2", NIM_RETRIEVER, "Llama 3.2 NV EmbedQA 1B v2", "LicenseRef-Llama-3.2",
        f"{_RETRIEVER} 1.9.0 1.10.0", date(2025, 10, 30), "embedding", _latest("1.10.0"),
        {"1.10.0": evidence.CLEAN_TAGS},
    ),
    Product(
        "nim/nvidia/nvclip", NIM_VISION, "NVCLIP", _NVIDIA_AI, "1.0.0 2.0.0", date(2025, 3, 12), "embedding",
        _latest("2.0.0"), {"2.0.0": evidence.STALE},
    ),
    Product(
        "nim/nvidia/llama-3.2-nv-rerankqa-1b-v2", NIM_RETRIEVER, "Llama 3.2 NV RerankQA 1B v2", "LicenseRef-Llama-3.2",
        f"{_RETRIEVER} 1.7.0 1.8.0", date(2025, 10, 12), "reranking", _latest("1.8.0"), {"1.8.0": evidence.CLEAN},
    ),
    Product(
        "nim/nvidia/nv-rerankqa-mistral-4b-v3", NIM_RETRIEVER, "NV RerankQA Mistral 4B v3", _NVIDIA_AI,
        "1.0.0 1.0.1 1.0.2-beta 1.0.2", date(2025, 2, 4), "reranking", _latest("1.0.2"), {"1.0.2": evidence.UNSIGNED},
    ),
)

VISION_AND_GUARD: Final = (
    Product(
        "nim/meta/llama-3.2-11b-vision-instruct", NIM_VISION, "Llama 3.2 11B Vision Instruct", "LicenseRef-Llama-3.2",
        "1.1.0 1.1.1 1.1.2 1.2.0", date(2025, 8, 1), "vlm", _latest("1.2.0"), {"1.2.0": evidence.FEW_HIGH},
    ),
    Product(
        "nim/nvidia/llama-3.1-nemotron-nano-vl-8b-v1", NIM_VISION, "Llama 3.1 Nemotron Nano VL 8B",
        "LicenseRef-NVIDIA-Open-Model", "1.3.0 1.3.1 1.5.0", date(2025, 10, 8), "vlm", _latest("1.5.0"),
        {"1.5.0": evidence.CLEAN},
    ),
    Product(
        "nim/nvidia/nemoretriever-parse", NIM_VISION, "NeMo Retriever Parse", _NVIDIA_AI, "1.2.0 1.2.1",
        date(2025, 7, 19), "ocr", _latest("1.2.1"), {"1.2.1": evidence.BARE_SBOM},
    ),
    Product(
        "nim/nvidia/nemoretriever-page-elements-v2", NIM_VISION, "NeMo Retriever Page Elements v2", _NVIDIA_AI,
        "1.2.0 1.3.0 1.4.0", date(2025, 9, 1), "ocr", _latest("1.4.0"), {"1.4.0": evidence.CLEAN_TAGS},
    ),
    Product(
        "nim/baidu/paddleocr", NIM_VISION, "PaddleOCR", "Apache-2.0", "1.0.0 1.2.0 1.3.0 1.4.0", date(2025, 9, 4),
        "ocr", _latest("1.4.0"), {"1.4.0": evidence.EXCUSED},
    ),
    Product(
        "nim/nvidia/llama-3.1-nemoguard-8b-content-safety", NIM_LLM, "NemoGuard Content Safety 8B", _LLAMA_31,
        "1.0.0 1.0.1 1.5.2 1.8.4 1.10.1", date(2025, 10, 22), "llm", _latest("1.10.1"), {"1.10.1": evidence.CLEAN},
    ),
    Product(
        "nim/nvidia/llama-3.1-nemoguard-8b-topic-control", NIM_LLM, "NemoGuard Topic Control 8B", _LLAMA_31,
        "1.0.0 1.0.1 1.5.2 1.8.4 1.10.1", date(2025, 10, 22), "llm", _latest("1.10.1"), {"1.10.1": evidence.UNSCANNED},
    ),
)

ENGINES: Final = (
    Product(
        "vllm/vllm-openai", VLLM, "vLLM OpenAI-compatible server", "Apache-2.0",
        "v0.6.6.post1 v0.7.3 v0.8.5 v0.9.0 v0.9.1 v0.9.2 v0.10.0 v0.10.1 v0.10.1.1 v0.10.2 v0.11.0 v0.11.0-x86_64 "
        "v0.11.1rc6 v0.11.1 v0.11.2 v0.27.0 v0.27.1-ubuntu2404 v0.27.1 nightly", date(2025, 11, 12), "",
        _latest("v0.27.1"),
        {"v0.27.1": evidence.CLEAN, "v0.27.0": evidence.IN_COMPONENTS, "v0.11.2": evidence.CRITICAL,
         "nightly": evidence.BARE},
    ),
    Product(
        "lmsysorg/sglang", SGLANG, "SGLang server", "Apache-2.0",
        "v0.4.5-cu124 v0.4.6.post5-cu124 v0.4.7-cu124 v0.4.8-cu126 v0.4.9-cu126 v0.5.0rc2-cu126 v0.5.1-cu128 "
        "v0.5.2-cu128 v0.5.3-cu128 v0.5.4 v0.5.5 v0.5.6 dev", date(2025, 11, 3), "", _latest("v0.5.6"),
        {"v0.5.6": evidence.BY_VENDOR, "dev": evidence.BARE},
    ),
    Product(
        "huggingface/text-generation-inference", TGI, "Text Generation Inference", "Apache-2.0",
        "2.2.0 2.3.0 2.3.1 2.4.0 2.4.1 3.0.0 3.0.1 3.0.2 3.1.0 3.1.1 3.2.0 3.2.1 3.2.3 3.3.0 3.3.1 3.3.2 3.3.4 3.3.6",
        date(2025, 8, 28), "", _latest("3.3.6", "3.3"), {"3.3.6": evidence.MANY_HIGH, "3.3.4": evidence.STALE},
    ),
    Product(
        "huggingface/text-embeddings-inference", TEI, "Text Embeddings Inference", "Apache-2.0",
        "1.5 1.6 1.7 1.7.1 1.7.2 1.7.4 1.8.0 1.8.1 1.8.2 86-1.8 89-1.8 hopper-1.8", date(2025, 9, 16), "",
        _latest("1.8.2", "1.8"), {"1.8.2": evidence.BY_RELEASE},
    ),
    Product(
        "nvidia/tritonserver", TRITON, "Triton Inference Server", "BSD-3-Clause",
        "24.05-py3 24.06-py3 24.07-py3 24.08-py3 24.09-py3 24.10-py3 24.11-py3 24.12-py3 24.12-trtllm-python-py3 "
        "25.01-py3 25.02-py3 25.03-py3 25.03-vllm-python-py3 "
        "25.04-py3 25.04-py3-min 25.04-trtllm-python-py3 25.04-vllm-python-py3 25.06-py3 25.06-trtllm-python-py3 "
        "25.06-vllm-python-py3", date(2025, 7, 25), "", _NOTHING,
        {"25.06-trtllm-python-py3": evidence.EXCUSED_BY_NOBODY},
    ),
    Product(
        "nvidia/tensorrt-llm/release", TENSORRT_LLM, "TensorRT-LLM", "Apache-2.0",
        "0.20.0rc3 0.20.0 0.21.0rc1 0.21.0 1.0.0rc4 1.0.0rc6 1.0.0 1.1.0rc2 1.1.0 1.2.0rc1", date(2025, 10, 31), "",
        _NOTHING, {"1.1.0": evidence.NOTATION},
    ),
    Product(
        "kserve/huggingfaceserver", HUGGINGFACE_SERVER, "KServe Hugging Face server", "Apache-2.0",
        "v0.14.1 v0.15.0 v0.15.0-gpu v0.15.2 v0.15.2-gpu v0.16.0 v0.16.0-gpu", date(2025, 10, 18), "",
        _latest("v0.16.0"), {"v0.16.0-gpu": evidence.KEYLESS},
    ),
)

OTHERS: Final = (
    Product(
        "modelcars/granite-3.1-8b-instruct", MODELCAR, "Granite 3.1 8B Instruct weights", "Apache-2.0",
        "1.0 1.1 1.2", date(2025, 5, 6), "", _latest("1.2"), {"1.2": evidence.CLEAN},
    ),
    Product(
        "misc/nginx", NGINX, "nginx", "BSD-2-Clause",
        "1.25.0 1.25.5 1.26.0 1.26.3 1.26.3-alpine 1.27.0 1.27.4 1.27.5 1.28.0 1.28.0-alpine 1.29.0 "
        "1.29.0-alpine", date(2025, 10, 1), "",
        _latest("1.29.0", "mainline"),
    ),
    Product(
        "community/ocr-legacy", COMMUNITY, "Legacy OCR server", "GPL-3.0-only", "0.9.0 0.9.1 0.9.2",
        date(2025, 4, 2), "", _latest("0.9.2"), {"0.9.2": evidence.CLEAN_TAGS},
    ),
    Product(
        "scratch/test-x", COMMUNITY, "Somebody's experiment", "Apache-2.0", "dev-1 dev-2 dev-3", date(2025, 11, 10), "",
        _latest("dev-3"), {"dev-3": evidence.BARE, "dev-2": evidence.BARE, "dev-1": evidence.BARE},
    ),
)
# fmt: on

PRODUCTS: Final = (*CHAT, *RETRIEVAL, *VISION_AND_GUARD, *ENGINES, *OTHERS)
