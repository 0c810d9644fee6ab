"""A real request of a model's type, and whether its answer is one. Pure.

OpenAI's API (chat, completions, embeddings) as vLLM, SGLang, TGI and NIM serve it; ranking as NIM (`/v1/ranking`) and
vLLM or TEI (`/v1/rerank`, `/rerank`) do; KServe's Open Inference Protocol v2 for Triton.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec

from backend.serving.engines import NIM, TRITON, Engine

#: Statuses by which a server says that it does not serve a path, or not with this model.
_NOT_SERVED: Final = frozenset({404, 405, 501})
_LARGEST_INPUT: Final = 4096
_QUESTION: Final = "Answer with the one word: ready."
_PASSAGES: Final = ("Paris is the capital of France.", "Cheese is made of milk.")
_V2_VALUES: Final[Mapping[str, Any]] = {"BOOL": True, "BYTES": "ready", "FP16": 0.0, "FP32": 0.0, "FP64": 0.0}


class ModelKind(StrEnum):
    """What a model answers to."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"
    RERANKING = "reranking"
    TENSORS = "tensors"
    UNKNOWN = "unknown"


_OF_TYPE: Final[Mapping[str, ModelKind]] = {
    "chat": ModelKind.CHAT,
    "vision": ModelKind.CHAT,
    "completion": ModelKind.COMPLETION,
    "embedding": ModelKind.EMBEDDING,
    "reranking": ModelKind.RERANKING,
}
#: What is tried for a kind, in this order, until the server serves one.
_TRIED: Final[Mapping[ModelKind, tuple[ModelKind, ...]]] = {
    ModelKind.CHAT: (ModelKind.CHAT, ModelKind.COMPLETION),
    ModelKind.UNKNOWN: (ModelKind.CHAT, ModelKind.COMPLETION, ModelKind.EMBEDDING, ModelKind.RERANKING),
}


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """A request: the path to POST the body to."""

    kind: ModelKind
    path: str
    body: bytes


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer says: `good` None: this path is not served, another may be."""

    good: bool | None
    sentence: str


def kind_of(image_type: str, engine: Engine, arguments: Iterable[str]) -> ModelKind:
    """What a service's model answers to, by its arguments, the library's type of its image, and its engine."""
    told = list(arguments)
    joined = " ".join(told)
    if "--task=score" in joined or "--task score" in joined:
        return ModelKind.RERANKING
    for name in ("--task=embed", "--task embed", "--runner=pooling", "--runner pooling"):
        if name in joined:
            return _OF_TYPE.get(image_type, ModelKind.EMBEDDING)
    if image_type in _OF_TYPE:
        return _OF_TYPE[image_type]
    return ModelKind.TENSORS if engine is TRITON else ModelKind.UNKNOWN


def probes(kind: ModelKind, engine: Engine, model: str, *, prefix: str = "") -> tuple[Probe, ...]:
    """The requests to try, in their order, until one is served.

    Args:
        model: the name that the server gave. prefix: before the paths of OpenAI's API (KServe: `/openai`).
    """
    return tuple(
        Probe(kind=each, path=prefix + path, body=json.dumps(body).encode())
        for each in _TRIED.get(kind, (kind,))
        for path, body in _requests(each, engine, model)
    )


def tensor_probe(model: str, metadata: bytes) -> Probe | None:
    """A request of Open Inference Protocol v2 with inputs as the model's metadata describes them.

    Returns:
        None: the metadata describes no inputs that could be made up.
    """
    told = _decoded(metadata)
    inputs = told.get("inputs") if isinstance(told, Mapping) else None
    made = [_input(each) for each in inputs] if isinstance(inputs, list) else []
    if not made or any(each is None for each in made):
        return None
    return Probe(kind=ModelKind.TENSORS, path=f"/v2/models/{model}/infer", body=json.dumps({"inputs": made}).encode())


def model_names(body: bytes) -> tuple[str, ...]:
    """The models that a server says it serves: of OpenAI's `/v1/models`, or of Triton's repository index."""
    told = _decoded(body)
    listed = told.get("data") if isinstance(told, Mapping) else told
    names = [
        each.get("id") or each.get("name")
        for each in (listed if isinstance(listed, list) else ())
        if isinstance(each, Mapping) and each.get("state", "READY") == "READY"
    ]
    return tuple(name for name in names if isinstance(name, str) and name)


def read_answer(probe: Probe, status: int, body: bytes) -> Reading:
    """Whether an answer has the shape that its kind has, and says something."""
    if status in _NOT_SERVED or (status == 400 and _refuses_kind(body)):
        return Reading(good=None, sentence=f"{probe.path} is not served")
    if status != 200:
        return Reading(good=False, sentence=f"{probe.path} answered with HTTP {status}: {_said(body)}")
    told = _decoded(body)
    if not isinstance(told, Mapping):
        return Reading(good=False, sentence=f"{probe.path} answered with something that is no JSON object")
    found = _READERS[probe.kind](told)
    if found is None:
        return Reading(good=False, sentence=f"{probe.path} answered in another shape than {_A[probe.kind]} has")
    return Reading(good=not found.startswith("!"), sentence=found.removeprefix("!"))


def _requests(kind: ModelKind, engine: Engine, model: str) -> Sequence[tuple[str, dict[str, Any]]]:
    if kind is ModelKind.CHAT:
        messages = [{"role": "user", "content": _QUESTION}]
        return [("/v1/chat/completions", {"model": model, "messages": messages, "max_tokens": 16, "temperature": 0})]
    if kind is ModelKind.COMPLETION:
        return [("/v1/completions", {"model": model, "prompt": _QUESTION, "max_tokens": 16, "temperature": 0})]
    if kind is ModelKind.EMBEDDING:
        of_nim = {"input_type": "query"} if engine is NIM else {}
        return [("/v1/embeddings", {"model": model, "input": [_QUESTION], **of_nim})]
    documents = list(_PASSAGES)
    query = "What is the capital of France?"
    ranking = {"model": model, "query": {"text": query}, "passages": [{"text": text} for text in documents]}
    rerank = {"model": model, "query": query, "documents": documents, "texts": documents}
    if engine is NIM:
        return [("/v1/ranking", ranking)]
    return [("/v1/rerank", rerank), ("/rerank", rerank)]


def _chat(told: Mapping[str, Any]) -> str | None:
    choice = _first(told.get("choices"))
    message = choice.get("message") if choice is not None else None
    if not isinstance(message, Mapping):
        return None
    said = message.get("content") or message.get("reasoning_content") or message.get("tool_calls")
    return _spoke(said, told)


def _completion(told: Mapping[str, Any]) -> str | None:
    choice = _first(told.get("choices"))
    return None if choice is None or not isinstance(choice.get("text"), str) else _spoke(choice["text"], told)


def _spoke(said: Any, told: Mapping[str, Any]) -> str:
    usage = told.get("usage")
    tokens = usage.get("completion_tokens") if isinstance(usage, Mapping) else None
    if not said and not tokens:
        return "!the answer is empty"
    return f"it answered with {tokens} tokens" if isinstance(tokens, int) else "it answered"


def _embedding(told: Mapping[str, Any]) -> str | None:
    first = _first(told.get("data"))
    vector = first.get("embedding") if first is not None else None
    if not isinstance(vector, list) or not vector or not all(_is_number(each) for each in vector):
        return None
    if not any(vector):
        return f"!the embedding's {len(vector)} numbers are all zero"
    return f"it answered with an embedding of {len(vector)} numbers"


def _reranking(told: Mapping[str, Any]) -> str | None:
    listed = told.get("rankings") or told.get("results")
    if not isinstance(listed, list) or len(listed) != len(_PASSAGES):
        return None
    scored = [
        each.get("logit", each.get("relevance_score", each.get("score")))
        for each in listed
        if isinstance(each, Mapping)
    ]
    if len(scored) != len(_PASSAGES) or not all(_is_number(each) for each in scored):
        return None
    if {each.get("index") for each in listed} != set(range(len(_PASSAGES))):
        return None
    return f"it ranked {len(_PASSAGES)} passages"


def _tensors(told: Mapping[str, Any]) -> str | None:
    outputs = told.get("outputs")
    good = isinstance(outputs, list) and outputs and all(isinstance(o, Mapping) and o.get("name") for o in outputs)
    return f"it answered with {len(outputs)} tensors" if good and isinstance(outputs, list) else None


_READERS: Final = {
    ModelKind.CHAT: _chat,
    ModelKind.COMPLETION: _completion,
    ModelKind.EMBEDDING: _embedding,
    ModelKind.RERANKING: _reranking,
    ModelKind.TENSORS: _tensors,
}
_A: Final = {
    ModelKind.CHAT: "an answer of a chat",
    ModelKind.COMPLETION: "a completion",
    ModelKind.EMBEDDING: "an embedding",
    ModelKind.RERANKING: "a ranking",
    ModelKind.TENSORS: "an answer of tensors",
}


def _input(described: Any) -> dict[str, Any] | None:
    if not isinstance(described, Mapping) or not isinstance(described.get("shape"), list):
        return None
    name, datatype = described.get("name"), described.get("datatype")
    shape = [1 if each == -1 else each for each in described["shape"]]
    if not isinstance(name, str) or not isinstance(datatype, str) or not all(isinstance(each, int) for each in shape):
        return None
    size = math.prod(shape)
    if any(each < 1 for each in shape) or size > _LARGEST_INPUT:
        return None
    value = _V2_VALUES.get(datatype, 0)
    return {"name": name, "datatype": datatype, "shape": shape, "data": [value] * size}


def _refuses_kind(body: bytes) -> bool:
    """vLLM and SGLang answer 400 where a model has no such task or no chat template."""
    said = _said(body).lower()
    return any(sign in said for sign in ("does not support", "chat template", "not supported"))


def _said(body: bytes) -> str:
    told = _decoded(body)
    for _ in range(3):
        if not isinstance(told, Mapping):
            break
        told = told.get("error") or told.get("message") or told.get("detail") or ""
    text = told if isinstance(told, str) else body.decode("utf-8", "replace")
    return text[:200] or "nothing"


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _first(listed: Any) -> Mapping[str, Any] | None:
    return listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], Mapping) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
