"""What Modelyard knows of model servers: how their health is asked, and what fixes what they serve."""

from __future__ import annotations

from functools import lru_cache

import msgspec


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """A model server.

    Attributes:
        live, ready: pages that tell its health.
        model_format: name by which KServe's runtimes serve it.
        model_option: option that names the model, empty when it has none.
    """

    name: str
    live: str = "/health"
    ready: str = "/health"
    model_format: str = ""
    model_option: str = ""


VLLM = Engine(name="vllm", model_format="vLLM", model_option="--model")
NIM = Engine(name="nim", live="/v1/health/live", ready="/v1/health/ready", model_format="nvidia-nim")
TRITON = Engine(name="triton", live="/v2/health/live", ready="/v2/health/ready", model_format="triton")
SGLANG = Engine(name="sglang", model_format="sglang", model_option="--model-path")
TGI = Engine(name="tgi", model_format="huggingface", model_option="--model-id")
OTHER = Engine(name="other")

# In this order: a NIM of TensorRT-LLM names both.
_SIGNS = (
    (NIM, ("nim/", "nim-", "nvidia-nim")),
    (TRITON, ("triton",)),
    (SGLANG, ("sglang",)),
    (TGI, ("text-generation-inference", "tgi")),
    (VLLM, ("vllm",)),
)


def engine_of(image: str, runtime: str = "") -> Engine:
    """The engine that an image or a runtime's name tells of; OTHER when neither does."""
    return _told(runtime) or _told(image.partition("@")[0]) or OTHER


@lru_cache(maxsize=4096)
def _told(text: str) -> Engine | None:
    lower = text.lower()
    for engine, signs in _SIGNS:
        if any(sign in lower for sign in signs):
            return engine
    return None
