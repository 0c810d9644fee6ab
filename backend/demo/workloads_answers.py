"""What a model server of the demo answers to a request for inference, in the shapes of vLLM, NIM and KServe's protocol.

How it answers follows from the pod: `DEMO_ANSWERS` in its environment, or its image, make it answer badly, so that a
rollout whose pods are ready and whose answers are not can be tried.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from backend.demo.exporters_engine import served_name
from backend.demo.workloads_faults import main_container, repository_of
from backend.demo.workloads_pods import Pod

#: Status, content type, body.
Answer = tuple[int, str, bytes]

#: Set in a container's environment to one of `empty`, `errors`, `html` or `slow`.
ANSWERS: Final = "DEMO_ANSWERS"
#: Seconds that a slow server takes for an answer.
SLOW: Final = 20.0
#: Images that are ready, and answer badly.
_BAD_IMAGES: Final = {"nim/openai/gpt-oss-20b": "empty", "nim/mistralai/mistral-nemo-12b-instruct": "errors"}
_EMBEDDING, _RERANKING = ("embed", "e5", "bge", "gte-"), ("rerank",)
_DIMENSIONS: Final = 1024
_CHAT: Final = frozenset({"/v1/chat/completions", "/v1/completions"})
_RERANK: Final = frozenset({"/v1/rerank", "/v2/rerank", "/rerank", "/v1/ranking", "/score", "/v1/score"})


def manner(pod: Pod) -> str:
    """How a pod answers: empty when well, else `empty`, `errors`, `html` or `slow`."""
    container = main_container(pod.spec)
    told = {item.get("name"): str(item.get("value") or "") for item in container.get("env") or []}
    return told.get(ANSWERS) or _BAD_IMAGES.get(repository_of(pod.image), "")


def answer_to(pod: Pod, path: str, body: bytes, now: float) -> Answer:
    """A ready pod's answer to a POST.

    Args:
        path: without the query.
        body: as it was sent.
        now: seconds since 1970.
    """
    bad = _bad_answer(manner(pod))
    if bad is not None:
        return bad
    try:
        asked = json.loads(body)
    except ValueError as error:
        return _error(400, "BadRequestError", f"[{{'type': 'json_invalid', 'msg': 'JSON decode error: {error}'}}]")
    if not isinstance(asked, dict):
        return _error(400, "BadRequestError", "the body is no object")
    if path.startswith("/v2/models/") and path.endswith("/infer"):
        return _infer(pod, path.removeprefix("/v2/models/").partition("/")[0], asked)
    kind = _kind(pod)
    if path not in {"chat": _CHAT, "embedding": {"/v1/embeddings"}, "reranking": _RERANK}[kind]:
        return 404, "application/json", b'{"detail":"Not Found"}'
    model = served_name(pod)
    if asked.get("model") not in (model, None):
        return _error(404, "NotFoundError", f"The model `{asked['model']}` does not exist.")
    if kind == "embedding":
        return _embeddings(model, asked)
    if kind == "reranking":
        return _rerank(model, path, asked)
    return _completion(model, path, asked, now)


def _kind(pod: Pod) -> str:
    # Not the digest: its hexadecimal digits may say "e5" too.
    name = f"{served_name(pod)} {repository_of(pod.image)}".lower()
    if any(word in name for word in _RERANKING):
        return "reranking"
    return "embedding" if any(word in name for word in _EMBEDDING) else "chat"


def _bad_answer(how: str) -> Answer | None:
    if how == "errors":
        return _error(500, "InternalServerError", "EngineCore encountered an issue.")
    if how == "html":
        return 200, "text/html", b"<html><body><h1>It works!</h1></body></html>"
    if how == "empty":
        return _json({"id": "chatcmpl-0", "object": "chat.completion", "choices": [], "data": [], "results": []})
    return None


def _json(body: Any, status: int = 200) -> Answer:
    return status, "application/json", json.dumps(body).encode()


def _error(code: int, kind: str, message: str) -> Answer:
    return _json({"error": {"message": message, "type": kind, "param": None, "code": code}}, code)


def _completion(model: str, path: str, asked: dict[str, Any], now: float) -> Answer:
    chat = path == "/v1/chat/completions"
    field = "messages" if chat else "prompt"
    if not asked.get(field):
        return _error(400, "BadRequestError", f"[{{'type': 'missing', 'loc': ('body', '{field}')}}]")
    text = "Ready. This is the model server of the demo."
    words = text.split(" ")
    most = asked.get("max_tokens") or asked.get("max_completion_tokens") or len(words)
    given = words[: max(1, int(most))] if isinstance(most, int) else words
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop" if len(given) == len(words) else "length"}
    said = " ".join(given)
    choice |= {"message": {"role": "assistant", "content": said}} if chat else {"text": said}
    prompted = max(1, len(json.dumps(asked[field])) // 4)
    return _json(
        {
            "id": f"{'chatcmpl' if chat else 'cmpl'}-{_digest(model, str(now))[:24]}",
            "object": "chat.completion" if chat else "text_completion",
            "created": int(now),
            "model": model,
            "choices": [choice],
            "usage": {
                "prompt_tokens": prompted,
                "completion_tokens": len(given),
                "total_tokens": prompted + len(given),
            },
        }
    )


def _embeddings(model: str, asked: dict[str, Any]) -> Answer:
    given = asked.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        return _error(400, "BadRequestError", "[{'type': 'missing', 'loc': ('body', 'input')}]")
    data = [
        {"object": "embedding", "index": index, "embedding": _vector(f"{model}/{text}")}
        for index, text in enumerate(texts)
    ]
    tokens = sum(max(1, len(str(text)) // 4) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _json({"object": "list", "model": model, "data": data, "usage": usage})


def _vector(key: str) -> list[float]:
    """Numbers of length 1 together, the same for the same key."""
    digest = hashlib.sha256(key.encode()).digest()
    raw = [(digest[index % 32] + 1) * (1 if index % 3 else -1) for index in range(_DIMENSIONS)]
    length = sum(value * value for value in raw) ** 0.5
    return [round(value / length, 6) for value in raw]


def _rerank(model: str, path: str, asked: dict[str, Any]) -> Answer:
    passages = asked.get("documents") or asked.get("passages") or asked.get("text_2")
    if not isinstance(passages, list) or not passages:
        return _error(400, "BadRequestError", "[{'type': 'missing', 'loc': ('body', 'documents')}]")
    query = asked.get("query") or asked.get("text_1")
    wanted = set(str(query.get("text") if isinstance(query, dict) else query).lower().split())
    scores = []
    for index, passage in enumerate(passages):
        text = str(passage.get("text") if isinstance(passage, dict) else passage)
        common = len(wanted & set(text.lower().split()))
        scores.append((index, text, round(common / max(1, len(wanted)), 4)))
    if path.endswith("/score"):
        data = [{"index": index, "object": "score", "score": score} for index, _, score in scores]
        return _json({"object": "list", "model": model, "data": data})
    ranked = sorted(scores, key=lambda item: -item[2])
    if path == "/v1/ranking":
        return _json({"rankings": [{"index": index, "logit": score * 20 - 10} for index, _, score in ranked]})
    results = [{"index": index, "document": {"text": text}, "relevance_score": score} for index, text, score in ranked]
    return _json({"id": f"rerank-{_digest(model)[:24]}", "model": model, "results": results})


def _infer(pod: Pod, name: str, asked: dict[str, Any]) -> Answer:
    """The open inference protocol, version 2: an output for the inputs, as long as the first of them."""
    if name != served_name(pod):
        return _json({"error": f"Request for unknown model: '{name}' is not found"}, 404)
    inputs = asked.get("inputs")
    if not isinstance(inputs, list) or not inputs or not isinstance(inputs[0], dict):
        return _json({"error": "failed to parse the request JSON buffer: 'inputs' is missing"}, 400)
    shape = inputs[0].get("shape") or [1]
    count = int(shape[0]) if isinstance(shape, list) and shape and isinstance(shape[0], int) else 1
    output = {"name": "text_output", "datatype": "BYTES", "shape": [count], "data": ["Ready."] * max(1, count)}
    return _json({"model_name": name, "model_version": "1", "outputs": [output]})


def _digest(*parts: str) -> str:
    return hashlib.sha256("/".join(parts).encode()).hexdigest()
