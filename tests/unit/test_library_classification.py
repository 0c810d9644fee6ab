"""What an image is said to be, and on which evidence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.errors import MalformedDataError
from backend.library.classification import classify
from backend.library.config import IMAGE_TYPES
from backend.library.descriptions import NOTHING_TOLD, Description, plausible_instant, read_description
from backend.library.evidenced import Classification
from backend.registry.manifests import OCI_INDEX, OCI_MANIFEST, Descriptor, Manifest

IMAGE = "application/vnd.oci.image.config.v1+json"
MODEL = "application/vnd.cncf.model.config.v1+json"


def manifest(config: str = IMAGE, artifact_type: str = "", media_type: str = OCI_MANIFEST) -> Manifest:
    descriptor = Descriptor(media_type=config, digest="sha256:" + "a" * 64, size=2)
    return Manifest(
        raw=b"", digest="sha256:" + "b" * 64, media_type=media_type, artifact_type=artifact_type or config,
        config=None if media_type == OCI_INDEX else descriptor,
    )  # fmt: skip


def found(repository: str, *tags: str, config: str = IMAGE, **told: Any) -> dict[str, Classification]:
    return classify(manifest(config), Description(**told), repository, tags)


def values(repository: str, *tags: str, config: str = IMAGE, **told: Any) -> tuple[str, str, str]:
    entries = found(repository, *tags, config=config, **told)
    return entries["framework"].value, entries["engine"].value, entries["type"].value


@pytest.mark.parametrize(
    ("config", "artifact_type", "kind"),
    [
        (IMAGE, "", "image"),
        ("application/vnd.docker.container.image.v1+json", "", "image"),
        (MODEL, "application/vnd.cncf.model.manifest.v1+json", "modelpack"),
        ("application/vnd.oci.empty.v1+json", "application/vnd.cnai.model.manifest.v1+json", "modelpack"),
        ("application/vnd.kitops.modelkit.config.v1+json", "", "kitops"),
        ("application/vnd.docker.ai.model.config.v0.1+json", "", "docker-model"),
        ("application/vnd.docker.ai.model.config.v0.2+json", "", "docker-model"),
        ("application/vnd.cncf.helm.config.v1+json", "", "artifact"),
    ],
)
def test_kinds_by_exact_media_type(config: str, artifact_type: str, kind: str) -> None:
    entry = classify(manifest(config, artifact_type), NOTHING_TOLD, "a")["kind"]
    assert entry.value == kind and entry.confidence == 1.0 and "application/" in entry.evidence


def test_an_index_is_an_index() -> None:
    assert classify(manifest(media_type=OCI_INDEX), NOTHING_TOLD, "vllm/vllm-openai")["kind"].value == "index"


@pytest.mark.parametrize(
    ("repository", "tags", "told", "expected"),
    [
        ("nim/meta/llama-3.1-8b-instruct", (), {"labels": {"com.nvidia.nim.type": "llm"}}, ("nim", "unknown", "chat")),
        ("nim/meta/llama", (), {"labels": {"com.nvidia.nim.type": "llm", "com.nvidia.nim.base_image": "x/vllm:1"}},
         ("nim", "vllm", "chat")),
        ("nim/nvidia/nv-embedqa-e5-v5", (), {"labels": {"com.nvidia.nim.version": "1"}},
         ("nim", "unknown", "embedding")),
        ("nvidia/tritonserver", ("25.04-trtllm-python-py3",), {"environment": ("TRITON_SERVER_VERSION=2.57",)},
         ("triton", "tensorrt-llm", "generic")),
        ("nvidia/tritonserver", ("25.04-py3",), {"labels": {"com.nvidia.tritonserver.version": "2.57"}},
         ("triton", "unknown", "generic")),
        ("mirror/x", (), {"entrypoint": ("vllm", "serve")}, ("vllm", "vllm", "generic")),
        ("mirror/x", (), {"entrypoint": ("python3", "-m", "vllm.entrypoints.openai.api_server")},
         ("vllm", "vllm", "generic")),
        ("mirror/x", (), {"entrypoint": ("/bin/sh", "-c", "exec /usr/bin/text-generation-launcher --port 80")},
         ("tgi", "tgi", "generic")),
        ("mirror/x", (), {"entrypoint": ("python3", "-m", "sglang.launch_server")}, ("sglang", "sglang", "generic")),
        ("mirror/x", (), {"entrypoint": ("trtllm-serve",)}, ("tensorrt-llm", "tensorrt-llm", "generic")),
        ("docker.io/vllm/vllm-openai", (), {}, ("vllm", "vllm", "generic")),
        ("lmsysorg/sglang", (), {}, ("sglang", "sglang", "generic")),
        ("huggingface/text-generation-inference", (), {}, ("tgi", "tgi", "generic")),
        ("misc/nginx", (), {}, ("unknown", "unknown", "generic")),
        # A label outweighs what the entry point or the repository says.
        ("vllm/vllm-openai", (), {"labels": {"com.nvidia.nim.type": "llm"}, "entrypoint": ("vllm",)},
         ("nim", "vllm", "chat")),
    ],
)  # fmt: skip
def test_framework_engine_and_type(
    repository: str, tags: tuple[str, ...], told: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    assert values(repository, *tags, **told) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nim/nvidia/llama-3.2-nv-rerankqa-1b-v2", "reranking"),
        ("baai/bge-reranker-large", "reranking"),
        ("nvidia/nv-embedqa-mistral-7b", "embedding"),
        ("huggingface/text-embeddings-inference", "embedding"),
        ("nim/nvidia/nvclip", "image-embedding"),
        ("baidu/paddleocr", "generic"),
        ("nim/baidu/ocr", "ocr"),
        ("nim/nvidia/nemoretriever-parse", "ocr"),
        ("nim/nvidia/nemoretriever-page-elements-v2", "ocr"),
        ("qwen/qwen2.5-vl-72b-instruct", "vision"),
        ("meta/llama-3.2-90b-vision-instruct", "vision"),
        ("meta/llama-guard-3", "moderation"),
        ("x/content-safety", "moderation"),
        ("meta/llama-3.1-8b-instruct", "chat"),
        ("x/sparse-matrix", "generic"),
    ],
)
def test_types_by_the_words_of_a_name_in_their_order(name: str, expected: str) -> None:
    entry = found(name)["type"]
    assert entry.value == expected
    assert entry.confidence <= 0.8


@pytest.mark.parametrize(
    ("capabilities", "name", "expected"),
    [
        ({"inputTypes": ["text"], "outputTypes": ["embedding"]}, "x", "embedding"),
        ({"inputTypes": ["image"], "outputTypes": ["embedding"]}, "x", "image-embedding"),
        ({"inputTypes": ["text", "image"], "outputTypes": ["text"]}, "x", "vision"),
        ({"inputTypes": ["image"], "outputTypes": ["text"]}, "x-ocr", "ocr"),
        ({"inputTypes": ["text"], "outputTypes": ["text"], "toolUsage": True}, "x", "chat"),
        ({"inputTypes": ["text"], "outputTypes": ["text"]}, "x", "completion"),
        ({"inputTypes": ["text"], "outputTypes": ["text"]}, "llama-guard", "moderation"),
    ],
)
def test_a_modelpack_declares_its_task(capabilities: dict[str, Any], name: str, expected: str) -> None:
    data = json.dumps({"descriptor": {"name": name, "licenses": ["MIT"]}, "config": {"capabilities": capabilities}})
    description = read_description(data.encode(), "config")
    entries = classify(manifest(MODEL), description, "models/x")
    assert (entries["kind"].value, entries["type"].value) == ("modelpack", expected)
    assert description.licences == ("MIT",)


# ---------------------------------------------------------------- descriptions


def test_an_image_configuration_is_read() -> None:
    description = read_description(
        json.dumps(
            {
                "os": "linux", "architecture": "arm64", "variant": "v8", "created": "2026-01-02T03:04:05.123456789Z",
                "config": {"Labels": {"a": "b", "bad": 1}, "Env": ["A=1", 2], "Entrypoint": ["x"], "Cmd": ["y"]},
            }
        ).encode(),
        "config",
    )  # fmt: skip
    assert description.labels == {"a": "b"} and description.environment == ("A=1",)
    assert description.entrypoint == ("x", "y")
    assert description.variable("A") == "1" and description.variable("B") is None
    assert (description.os, description.architecture, description.variant) == ("linux", "arm64", "v8")
    assert description.created_at is not None and description.created_at.year == 2026


@pytest.mark.parametrize("value", ["1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "yesterday", 5, None, "9" * 100])
def test_a_creation_time_that_tells_nothing_is_none(value: object) -> None:
    assert plausible_instant(value) is None


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000, b'"x"'])
def test_what_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedDataError):
        read_description(data, "config")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
TABLES = st.dictionaries(
    st.sampled_from(["Labels", "Env", "Entrypoint", "Cmd", "capabilities", "licenses", "name", "inputTypes"]), JSON
)
CONFIGS = st.dictionaries(
    st.sampled_from(["os", "architecture", "created", "config", "descriptor", "x"]), JSON | TABLES
)


@given(CONFIGS, st.text(), st.lists(st.text(), max_size=2), st.sampled_from([IMAGE, MODEL, "x"]))
def test_any_configuration_gives_a_classification(
    document: dict[str, Any], repository: str, tags: list[str], config: str
) -> None:
    description = read_description(json.dumps(document).encode(), "config")
    entries = classify(manifest(config), description, repository, tags)
    assert entries["type"].value in IMAGE_TYPES
    for entry in entries.values():
        assert entry.value and entry.evidence and 0.0 <= entry.confidence <= 1.0
