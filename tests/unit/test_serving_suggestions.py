"""What is suggested from a model's size and a GPU's memory, by the formulas that are cited, and never beyond them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from backend.serving.deployment import DeploymentFile, parse, to_yaml
from backend.serving.model_size import ModelSize, Shape, bytes_per_parameter, model_size, parse_parameters
from backend.serving.suggestions import (
    GpuType,
    Suggestion,
    cache_tokens,
    gpus_needed,
    longest,
    per_gpu,
    suggest,
    taken,
)

DIGEST = "sha256:" + "4f" * 32
H100 = GpuType(product="H100", memory=80 << 30, compute=(9, 0))
A100 = GpuType(product="A100", memory=80 << 30, compute=(8, 0))


def _file(image: str = "vllm-openai", **more: Any) -> DeploymentFile:
    base = {"name": "chat", "namespace": "n", "image": f"r.example/{image}@{DIGEST}"}
    return DeploymentFile.model_validate({**base, **more})


def _told(
    file: DeploymentFile, size: ModelSize | None, gpu: GpuType | None = H100, **more: Any
) -> dict[str, Suggestion]:
    return {one.id: one for one in suggest(file, size, gpu, **more)}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("8b", 8e9),
        ("1.5B", 1.5e9),
        ("137m", 137e6),
        ("8x7b", 46.7e9),
        ("2x3b", 6e9),
        ("1t", 1e12),
        ("b", None),
        ("", None),
    ],
)
def test_parameters_are_read(text: str, count: float | None) -> None:
    assert parse_parameters(text) == (None if count is None else pytest.approx(count))


@pytest.mark.parametrize(
    ("precision", "each"),
    [("bf16", 2), ("FP8", 1), ("awq", 0.56), ("q4_k_m", 0.55), ("iq2_xs", 0.275), ("fp32", 4), ("odd", 2)],
)
def test_bytes_of_a_parameter(precision: str, each: float) -> None:
    assert bytes_per_parameter(precision) == pytest.approx(each)


def test_the_size_comes_from_the_library_else_from_names_and_says_what_it_assumes() -> None:
    told = model_size(parameters="8b", precision="fp8", family="llama")
    assert told is not None
    assert (told.weights, told.source, told.assumed) == (8_000_000_000, "the library", ())
    # Llama 3 8B: 32 layers, 8 KV heads of 128, keys and values of two bytes.
    assert told.kv_per_token() == 2 * 32 * 8 * 128 * 2 == 131_072
    named = model_size(names=("--x", "meta-llama/Llama-3.1-70B-Instruct-AWQ"))
    assert named is not None
    assert (named.precision, named.shape) == ("awq", Shape(80, 8, 128))
    assert "Llama-3.1-70B" in named.source
    unknown = model_size(names=("org/new-20b",))
    assert unknown is not None
    assert unknown.shape == Shape(80, 8, 128)
    assert len(unknown.assumed) == 2
    assert model_size(names=("org/thing", "bge-m3")) is None
    embedding = model_size(parameters="137m", caches=False)
    assert embedding is not None
    assert embedding.kv_per_token() == 0


def test_the_gpus_hold_weights_and_cache() -> None:
    size = model_size(parameters="70b", family="llama")
    assert size is not None
    # 140 GB of weights; 72 GB of each GPU less 2 GiB: two hold the weights and too little cache.
    assert gpus_needed(size, H100) == 4
    told = _told(_file(resources={"gpu": 1}), size, A100)
    assert told["gpus"].value == "4"
    assert "70 billion parameters of bf16 take 130 GiB" in told["gpus"].reason
    assert "quantisation" not in told, "an A100 has no FP8"
    assert _told(_file(resources={"gpu": 1}), size)["quantisation"].argument == "--quantization=fp8"
    small = model_size(parameters="137m", caches=False)
    assert small is not None
    assert gpus_needed(small, H100) == 1


def test_what_stands_there_already_is_not_suggested() -> None:
    size = model_size(parameters="70b", family="llama")
    file = _file(resources={"gpu": 4}, args=["-tp", "4", "--max-model-len", "16384", "--quantization=fp8"])
    told = _told(file, size)
    assert "tensor-parallel" not in told
    assert "quantisation" not in told
    assert told["gpus"].value == "2", "with weights of one byte"
    assert _told(file, None) == {} == _told(file, size, None)


def test_each_engine_is_told_in_its_own_words() -> None:
    size = model_size(parameters="8b", family="llama")
    for image, argument in (
        ("vllm-openai", "--max-model-len"), ("sglang", "--context-length"),
        ("text-generation-inference", "--max-total-tokens"),
    ):  # fmt: skip
        assert _told(_file(image, resources={"gpu": 1}), size)["max-length"].argument.startswith(argument)
    nim = _file("nim/meta/llama", resources={"gpu": 1}, env=[{"name": "A", "value": "b"}])
    told = _told(nim, size)
    assert told["max-length"].changes == (
        (("env",), [{"name": "A", "value": "b"}, {"name": "NIM_MAX_MODEL_LEN", "value": told["max-length"].value}]),
    )
    assert _told(_file("tritonserver", resources={"gpu": 1}), size) == {}
    assert _told(_file(resources={"gpu": 1}), size, context=4096)["max-length"].value == "4096"


def test_what_no_node_holds_goes_over_several() -> None:
    size = model_size(parameters="405b", family="llama")
    told = _told(_file(resources={"gpu": 8}), size, A100)
    assert told["workers"].value == "2 x 8"
    mig = GpuType(product="MIG 1g.10gb", memory=10 << 30)
    file = _file(resources={"gpu": 1, "gpuResource": "nvidia.com/mig-1g.10gb"})
    assert _told(file, size, mig)["gpu-resource"].value == "nvidia.com/gpu"


def test_a_suggestion_is_taken_over_without_touching_the_rest() -> None:
    size = model_size(parameters="70b", family="llama")
    file = _file(resources={"gpu": 1}, args=["--model=a/b", "--max-model-len", "4096", "--max-model-len=1"])
    made, rounds = file, 0
    while told := suggest(made, size, A100):
        made = parse(yaml.safe_dump(taken(yaml.safe_load(to_yaml(made)), told[0])))
        rounds += 1
    assert rounds == 4, "each is taken once, and what follows from it is suggested next"
    assert (made.resources.gpu, made.resources.ephemeral_storage) == (4, "160Gi")
    assert made.args == ("--model=a/b", "--tensor-parallel-size=4", "--max-model-len=65536")
    assert file.resources.gpu == 1


@pytest.mark.parametrize(
    ("more", "fetched"),
    [
        ({"model": {"storageUri": "s3://b/m"}}, True),
        ({"model": {"storageUri": "pvc://b/m"}}, False),
        ({"args": ["--model=org/m"]}, True),
        ({"args": ["--model=/mnt/models"]}, False),
        ({"model": {"storageUri": "hf://a/b"}, "resources": {"ephemeralStorage": "1Gi"}}, False),
    ],
)
def test_weights_that_are_fetched_want_room_on_the_disk(more: dict[str, Any], fetched: bool) -> None:
    size = model_size(parameters="8b", family="llama")
    assert ("storage" in _told(_file(**more), size)) is fetched


_SIZES = st.builds(
    ModelSize,
    parameters=st.floats(1e6, 2e12),
    precision=st.sampled_from(["bf16", "fp8", "awq"]),
    shape=st.none() | st.builds(Shape, st.integers(1, 150), st.integers(1, 32), st.sampled_from([64, 128, 256])),
    source=st.just("x"),
)
_GPUS = st.builds(GpuType, product=st.just("G"), memory=st.integers(8 << 30, 300 << 30))


@given(
    _SIZES, _GPUS, st.integers(0, 16), st.sampled_from(["nvidia.com/gpu", "nvidia.com/mig-1g.10gb"]),
    st.lists(st.sampled_from(["-tp", "--tp-size=x", "--max-model-len=9", "--quantization=fp8"]), max_size=2),
    st.sampled_from(["vllm-openai", "sglang", "text-generation-inference", "nim/x", "tritonserver", "odd"]),
)  # fmt: skip
def test_whatever_is_suggested_can_be_taken_over(
    size: ModelSize, gpu: GpuType, gpus: int, resource: str, args: list[str], image: str
) -> None:
    file = _file(image, resources={"gpu": gpus, "gpuResource": resource}, args=args)
    for one in suggest(file, size, gpu):
        assert one.reason and one.value != one.present
        tree = taken(yaml.safe_load(to_yaml(file)), one)
        if one.id != "workers":
            assert one.id not in {again.id for again in suggest(parse(yaml.safe_dump(tree)), size, gpu)}


@given(_SIZES, _GPUS)
def test_as_few_gpus_as_hold_the_model(size: ModelSize, gpu: GpuType) -> None:
    count = gpus_needed(size, gpu)
    enough = 16 * 4096 if size.shape else 0
    if count < 1024:
        assert cache_tokens(size, gpu, count) >= enough
    if count > 1:
        assert cache_tokens(size, gpu, count // 2) < enough


@given(_SIZES, _GPUS, st.integers(1, 16), st.none() | st.integers(512, 1 << 18))
def test_four_requests_of_the_length_fit_side_by_side(
    size: ModelSize, gpu: GpuType, count: int, context: int | None
) -> None:
    length = longest(size, gpu, count, context)
    if length is None:
        return
    assert length * size.kv_per_token() * (4 if length > 2048 else 1) <= gpu.usable * count - size.weights
    assert context is None or length <= max(context, 2048)


@given(_SIZES, st.integers(1, 8))
def test_what_each_gpu_has_to_hold_falls_with_their_number(size: ModelSize, count: int) -> None:
    one, more = (per_gpu(_file(resources={"gpu": gpus}), size) for gpus in (count, count + 1))
    assert more <= one
    assert one * 0.9 * count >= size.weights
