"""What an image is: kind, framework, engine and type, each with the evidence for it and how sure that is; pure.

Framework (what is packaged, such as NIM) and engine (what computes, such as vLLM) are kept apart: a NIM is built on one
of several engines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from backend.library.descriptions import Description
from backend.library.evidenced import Classification
from backend.library.model_properties import model_properties
from backend.registry.manifests import Manifest

UNKNOWN: Final = "unknown"
#: The properties that are classified, in the order they are shown.
PROPERTIES: Final = ("kind", "framework", "engine", "type", "family", "parameters", "precision")
#: Of those, what is left out where nothing tells it.
TOLD_ONLY: Final = frozenset({"family", "parameters", "precision"})


_KINDS: Final = {
    "application/vnd.cncf.model.manifest.v1+json": "modelpack",
    "application/vnd.cncf.model.config.v1+json": "modelpack",
    "application/vnd.cnai.model.manifest.v1+json": "modelpack",
    "application/vnd.cnai.model.config.v1+json": "modelpack",
    "application/vnd.kitops.modelkit.config.v1+json": "kitops",
    "application/vnd.docker.ai.model.config.v0.1+json": "docker-model",
    "application/vnd.docker.ai.model.config.v0.2+json": "docker-model",
    "application/vnd.oci.image.config.v1+json": "image",
    "application/vnd.docker.container.image.v1+json": "image",
}
MODEL_KINDS: Final = frozenset({"modelpack", "kitops", "docker-model"})
#: Kinds whose configuration blob is one of those that are read.
DESCRIBED_KINDS: Final = MODEL_KINDS | {"image"}

# What the entry point runs, as `framework, engine, words`.
_ENTRY_POINTS: Final = (
    ("vllm", "vllm", ("vllm.entrypoints", "vllm")),
    ("tgi", "tgi", ("text-generation-launcher", "text-generation-router")),
    ("tei", "tei", ("text-embeddings-router",)),
    ("sglang", "sglang", ("sglang.launch_server", "sglang")),
    ("tensorrt-llm", "tensorrt-llm", ("trtllm-serve", "trtllm-llmapi-launch")),
    ("triton", UNKNOWN, ("tritonserver",)),
    ("llama.cpp", "llama.cpp", ("llama-server",)),
    ("ollama", "llama.cpp", ("ollama",)),
)
# Repositories of engines by their makers, as `path, framework, engine`; mirrors put a prefix before the path.
_REPOSITORIES: Final = (
    ("vllm/vllm-openai", "vllm", "vllm"),
    ("lmsysorg/sglang", "sglang", "sglang"),
    ("huggingface/text-generation-inference", "tgi", "tgi"),
    ("huggingface/text-embeddings-inference", "tei", "tei"),
    ("nvidia/tritonserver", "triton", UNKNOWN),
)
_ENGINE_WORDS: Final = (
    ("trtllm", "tensorrt-llm"), ("tensorrt-llm", "tensorrt-llm"), ("tensorrt_llm", "tensorrt-llm"),
    ("sglang", "sglang"), ("vllm", "vllm"), ("onnx", "onnxruntime"),
)  # fmt: skip
_NIM: Final = "com.nvidia.nim."
_NIM_TYPES: Final = {
    "embedding": "embedding", "reranking": "reranking", "ocr": "ocr", "vlm": "vision", "guardrail": "moderation",
}  # fmt: skip
# Words of a name in the order in which they decide; `whole` words have to stand alone, the others may be part of one.
_NAME_WORDS: Final[tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]] = (
    ("reranking", ("rerank",), ()),
    ("image-embedding", ("nvclip",), ("clip", "siglip")),
    ("embedding", ("embed",), ()),
    ("ocr", ("page-elements",), ("ocr", "parse")),
    ("vision", ("vision",), ("vl", "vlm")),
    ("moderation", ("guard", "safety", "moderation"), ()),
    ("chat", ("instruct", "chat"), ()),
)


def kind_of(manifest: Manifest) -> Classification:
    """What sort of artifact a manifest is, by its exact media types."""
    if manifest.is_index:
        return Classification("index", f"media type {manifest.media_type}", 1.0)
    told = [("artifactType", manifest.artifact_type)]
    if manifest.config is not None:
        told.append(("config.mediaType", manifest.config.media_type))
    for field, media_type in told:
        if kind := _KINDS.get(media_type):
            return Classification(kind, f"{field} {media_type}", 1.0)
    return Classification("artifact", f"{told[0][0]} {told[0][1][:200]}", 1.0)


def classify(
    manifest: Manifest, description: Description, repository: str, tags: Sequence[str] = ()
) -> dict[str, Classification]:
    """All properties of an image or artifact, by name, strongest evidence first.

    Args:
        manifest: of the image; for an index, its own.
        description: what its configuration says; for an index, that of its first image.
        repository: that it was found in.
        tags: that name it, where they are known; a Triton tag tells the engine.
    """
    kind = kind_of(manifest)
    told = model_properties(description, repository, tags)
    if kind.value in MODEL_KINDS:
        none = Classification(UNKNOWN, "a model artifact holds weights and no server", 1.0)
        type_ = _type_of(description, repository, None)
        return {"kind": kind, "framework": none, "engine": none, "type": type_, **told}
    framework, engine = _framework_of(description, repository, tags)
    type_ = _type_of(description, repository, framework)
    return {"kind": kind, "framework": framework, "engine": engine, "type": type_, **told}


def _framework_of(
    description: Description, repository: str, tags: Sequence[str]
) -> tuple[Classification, Classification]:
    for name in sorted(description.labels):
        if name.startswith(_NIM):
            evidence = f"label {name}={description.labels[name][:100]}"
            return Classification("nim", evidence, 1.0), _nim_engine(description)
    triton = description.labels.get("com.nvidia.tritonserver.version")
    evidence = f"label com.nvidia.tritonserver.version={triton}"
    if triton is None:
        triton = description.variable("TRITON_SERVER_VERSION")
        evidence = f"environment TRITON_SERVER_VERSION={triton}"
    if triton is not None:
        return Classification("triton", evidence[:200], 0.95), _triton_engine(tags)
    words = _command_words(description.entrypoint)
    for framework, engine, commands in _ENTRY_POINTS:
        if command := next((word for word in words if word.startswith(commands)), None):
            said = f"entry point {command[:100]}"
            return Classification(framework, said, 0.9), _same(engine, said, tags, framework)
    for path, framework, engine in _REPOSITORIES:
        if repository == path or repository.endswith(f"/{path}"):
            said = f"repository {path}"
            return Classification(framework, said, 0.6), _same(engine, said, tags, framework)
    if "nim" in repository.split("/")[:-1]:
        return Classification("nim", f"repository {repository}", 0.4), _nim_engine(description)
    return Classification(UNKNOWN, "nothing tells", 0.0), Classification(UNKNOWN, "nothing tells", 0.0)


def _same(engine: str, evidence: str, tags: Sequence[str], framework: str) -> Classification:
    if framework == "triton":
        return _triton_engine(tags)
    return Classification(engine, evidence, 0.9 if evidence.startswith("entry") else 0.6)


def _triton_engine(tags: Iterable[str]) -> Classification:
    for tag in tags:
        for word, engine in _ENGINE_WORDS:
            if word in tag.lower():
                return Classification(engine, f"tag {tag}", 0.8)
    return Classification(UNKNOWN, "a Triton server takes any backend, and no tag names one", 0.0)


def _nim_engine(description: Description) -> Classification:
    label = f"{_NIM}base_image"
    base = description.labels.get(label, "").lower()
    for word, engine in _ENGINE_WORDS:
        if word in base:
            return Classification(engine, f"label {label}={base[:100]}", 0.9)
    for command in _command_words(description.entrypoint):
        for word, engine in _ENGINE_WORDS:
            if word in command:
                return Classification(engine, f"entry point {command[:100]}", 0.6)
    return Classification(UNKNOWN, "nothing tells on which engine this NIM is built", 0.0)


def _type_of(description: Description, repository: str, framework: Classification | None) -> Classification:
    """The task: declared, else by label, else by name; `generic` where the model is chosen at run time."""
    if description.capabilities is not None and (declared := _declared_type(description)):
        return declared
    label = description.labels.get(f"{_NIM}type", "").lower()
    if label in _NIM_TYPES:
        return Classification(_NIM_TYPES[label], f"label {_NIM}type={label}", 0.95)
    for name in (description.model_name, description.labels.get(f"{_NIM}name", ""), repository):
        if found := _type_of_name(name):
            return found
    if label == "llm":
        return Classification("chat", f"label {_NIM}type=llm", 0.7)
    if framework is not None and framework.value not in {UNKNOWN, "nim"}:
        return Classification("generic", "an engine whose model is chosen at run time", 0.8)
    if framework is None:
        return Classification("completion", "a model that declares and is named nothing else", 0.2)
    return Classification("generic", "nothing tells", 0.0)


def _declared_type(description: Description) -> Classification | None:
    capabilities = description.capabilities
    if capabilities is None:
        return None
    inputs, outputs = capabilities.input_types, capabilities.output_types
    evidence = f"config.capabilities {'+'.join(inputs)[:60]} to {'+'.join(outputs)[:60]}"
    if "embedding" in outputs:
        return Classification("image-embedding" if "image" in inputs else "embedding", evidence, 0.95)
    if "text" not in outputs:
        return None
    if "image" in inputs or "video" in inputs:
        named = _type_of_name(description.model_name)
        return named if named is not None and named.value == "ocr" else Classification("vision", evidence, 0.9)
    # Text to text is any of several tasks; a name or a use of tools tells which.
    named = _type_of_name(description.model_name)
    if named is not None:
        return named
    if capabilities.reasoning or capabilities.tool_usage:
        return Classification("chat", evidence, 0.8)
    return Classification("completion", evidence, 0.5)


def _type_of_name(name: str) -> Classification | None:
    lowered = name.lower()
    words = {word.rstrip("0123456789") for word in re.split(r"[^a-z0-9]+", lowered)}
    for value, parts, whole in _NAME_WORDS:
        for word in (*parts, *whole):
            if word in words or (word in parts and word in lowered):
                return Classification(value, f"{word!r} in the name {name[:200]}", 0.6)
    return None


def _command_words(entrypoint: Sequence[str]) -> list[str]:
    """The words of a command without their folders; a shell's one long argument is taken apart."""
    return [word.rsplit("/", 1)[-1].lower() for argument in entrypoint[:64] for word in argument[:1000].split()]
