"""A request of each model's type, and whether an answer is one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.serving.engines import NIM, OTHER, TRITON, VLLM, Engine
from backend.serving.probes import ModelKind, Probe, kind_of, model_names, probes, read_answer, tensor_probe

CHAT = {"choices": [{"message": {"content": "Ready."}}], "usage": {"completion_tokens": 2}}
GOOD: dict[ModelKind, Any] = {
    ModelKind.CHAT: CHAT,
    ModelKind.COMPLETION: {"choices": [{"text": "Ready."}]},
    ModelKind.EMBEDDING: {"data": [{"embedding": [0.1, -0.2]}]},
    ModelKind.RERANKING: {"results": [{"index": 1, "relevance_score": 0.2}, {"index": 0, "relevance_score": 0.9}]},
    ModelKind.TENSORS: {"outputs": [{"name": "out", "data": [1]}]},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["choices", "data", "message", "embedding", "results", "index"]), inner)
    ),
    max_leaves=12,
)


def probe(kind: ModelKind) -> Probe:
    return Probe(kind=kind, path="/x", body=b"")


@pytest.mark.parametrize(
    ("image_type", "engine", "arguments", "kind"),
    [
        ("chat", VLLM, (), ModelKind.CHAT),
        ("vision", NIM, (), ModelKind.CHAT),
        ("embedding", NIM, (), ModelKind.EMBEDDING),
        ("generic", VLLM, ("--runner=pooling",), ModelKind.EMBEDDING),
        ("reranking", VLLM, ("--runner", "pooling"), ModelKind.RERANKING),
        ("generic", OTHER, ("--task=score",), ModelKind.RERANKING),
        ("generic", TRITON, (), ModelKind.TENSORS),
        ("", VLLM, (), ModelKind.UNKNOWN),
    ],
)
def test_the_kind_follows_from_arguments_the_library_and_the_engine(
    image_type: str, engine: Engine, arguments: tuple[str, ...], kind: ModelKind
) -> None:
    assert kind_of(image_type, engine, arguments) is kind


def test_each_kind_is_asked_where_its_engine_serves_it() -> None:
    assert [each.path for each in probes(ModelKind.CHAT, VLLM, "m")] == ["/v1/chat/completions", "/v1/completions"]
    assert [each.path for each in probes(ModelKind.RERANKING, NIM, "m")] == ["/v1/ranking"]
    assert [each.path for each in probes(ModelKind.RERANKING, VLLM, "m")] == ["/v1/rerank", "/rerank"]
    assert probes(ModelKind.CHAT, OTHER, "m", prefix="/openai")[0].path == "/openai/v1/chat/completions"
    assert json.loads(probes(ModelKind.EMBEDDING, NIM, "m")[0].body)["input_type"] == "query"
    assert json.loads(probes(ModelKind.CHAT, VLLM, "served")[0].body)["model"] == "served"


@pytest.mark.parametrize("kind", list(GOOD))
def test_an_answer_of_the_right_shape_is_good_and_others_are_not(kind: ModelKind) -> None:
    assert read_answer(probe(kind), 200, json.dumps(GOOD[kind]).encode()).good
    for body in (b"<html>", b"{}", b"[]", b'{"choices": [], "data": [], "results": [], "outputs": []}'):
        assert read_answer(probe(kind), 200, body).good is False


def test_empty_answers_zero_vectors_and_half_rankings_are_bad() -> None:
    empty = {"choices": [{"message": {"content": ""}}], "usage": {"completion_tokens": 0}}
    assert read_answer(probe(ModelKind.CHAT), 200, json.dumps(empty).encode()).good is False
    zero = {"data": [{"embedding": [0.0, 0.0]}]}
    assert "all zero" in read_answer(probe(ModelKind.EMBEDDING), 200, json.dumps(zero).encode()).sentence
    half = {"results": [{"index": 0, "relevance_score": 1}]}
    assert read_answer(probe(ModelKind.RERANKING), 200, json.dumps(half).encode()).good is False


def test_a_path_that_is_not_served_says_nothing_and_an_error_does() -> None:
    chat = probe(ModelKind.CHAT)
    assert read_answer(chat, 404, b'{"detail":"Not Found"}').good is None
    refuses = json.dumps({"error": {"message": "The model does not support Chat Completions API"}}).encode()
    assert read_answer(chat, 400, refuses).good is None
    failed = read_answer(chat, 500, b'{"error": {"message": "EngineCore encountered an issue."}}')
    assert failed.good is False and "EngineCore encountered an issue." in failed.sentence


def test_models_are_named_by_openai_and_by_triton() -> None:
    assert model_names(b'{"data": [{"id": "llama"}]}') == ("llama",)
    assert model_names(b'[{"name": "ensemble", "state": "READY"}, {"name": "x", "state": "UNAVAILABLE"}]') == (
        "ensemble",
    )
    assert model_names(b"nothing") == ()


def test_inputs_are_made_up_as_the_metadata_describes_them() -> None:
    metadata = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1, 1]}]}
    made = tensor_probe("m", json.dumps(metadata).encode())
    assert made is not None and made.path == "/v2/models/m/infer"
    assert json.loads(made.body)["inputs"] == [
        {"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": ["ready"]}
    ]
    huge = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 9999, 9999]}]}
    assert tensor_probe("m", json.dumps(huge).encode()) is None and tensor_probe("m", b"{}") is None


@given(st.sampled_from(list(GOOD)), st.integers(100, 599), JSON | st.binary(max_size=20))
def test_no_answer_makes_it_fail(kind: ModelKind, status: int, body: Any) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    read = read_answer(probe(kind), status, raw)
    assert read.sentence and (status == 200 or read.good is not True)
    model_names(raw)
    tensor_probe("m", raw)
