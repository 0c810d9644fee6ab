"""Family, size and precision of the model in an image, as far as it is told or named; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from backend.library.descriptions import Description
from backend.library.evidenced import Classification

# Families as their makers spell them in names; longer ones first where one begins like another.
_FAMILIES: Final = (
    "codellama", "llama", "mixtral", "ministral", "mistral", "pixtral", "codestral", "qwen", "qwq", "codegemma",
    "paligemma", "gemma", "phi", "granite", "nemotron", "falcon", "deepseek", "starcoder", "gpt-oss", "command-r",
    "olmo", "yi", "glm", "minicpm", "internvl", "internlm", "llava", "smollm", "baichuan", "jais", "solar", "kimi",
    "nv-embedqa", "nv-rerankqa", "nv-embed", "nvclip", "bge", "gte", "e5", "arctic-embed", "snowflake", "whisper",
    "parakeet", "canary", "florence", "dbrx", "bloom", "bert", "t5",
)  # fmt: skip
_SIZE: Final = re.compile(r"(?<![a-z0-9.])((?:\d{1,2}x)?\d{1,4}(?:\.\d{1,3})?)\s?(b|m|t)(?![a-z0-9])")
_TOLD_SIZE: Final = re.compile(r"((?:\d{1,2}x)?\d{1,6}(?:\.\d{1,3})?)\s*([bmt])(?:illion|rillion)?\b", re.IGNORECASE)
_PRECISION: Final = re.compile(
    r"(?<![a-z0-9])(nvfp4|mxfp4|fp4|mxfp8|fp8|fp16|bf16|fp32|int8|int4|awq|gptq|w4a16|w8a8|w8a16"
    r"|q[2-8]_k(?:_[sml])?|q[4-8]_[01]|iq[1-4]_[a-z]+)(?![a-z0-9])"
)
#: Precisions as frameworks call them, and as names do.
_SPELLINGS: Final = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "float8": "fp8", "half": "fp16"}
_LONGEST: Final = 100


def model_properties(description: Description, repository: str, tags: Sequence[str]) -> dict[str, Classification]:
    """Those of `family`, `parameters` and `precision` that are told or named, by name.

    Args:
        repository: that the image was found in; its last part names the model.
        tags: that name the image; for model artifacts they often tell size and precision.
    """
    found: dict[str, Classification] = {}
    names = [(name, where) for name, where in _names(description, repository, tags) if name]
    for name, told in (("family", description.family), ("precision", description.precision)):
        if told:
            value = told.casefold()[:_LONGEST]
            found[name] = Classification(_SPELLINGS.get(value, value), f"declared {told[:_LONGEST]}", 0.95)
    if match := _TOLD_SIZE.search(description.parameters):
        said = f"declared {description.parameters[:_LONGEST]}"
        found["parameters"] = Classification(f"{match.group(1)}{match.group(2)}".lower(), said, 0.95)
    for name, where in names:
        lowered = name.casefold()
        if "family" not in found and (family := _family(lowered)):
            found["family"] = Classification(family, f"{family!r} in the {where} {name[:_LONGEST]}", 0.6)
        if "parameters" not in found and (size := _SIZE.search(lowered)):
            said = f"{size.group(0)!r} in the {where} {name[:_LONGEST]}"
            found["parameters"] = Classification(f"{size.group(1)}{size.group(2)}", said, 0.6)
        if "precision" not in found and (precision := _PRECISION.search(lowered)):
            said = f"{precision.group(1)!r} in the {where} {name[:_LONGEST]}"
            found["precision"] = Classification(precision.group(1), said, 0.5)
    return found


def _names(description: Description, repository: str, tags: Sequence[str]) -> Iterator[tuple[str, str]]:
    yield description.model_name[:1000], "model's name"
    yield description.labels.get("com.nvidia.nim.name", "")[:1000], "label com.nvidia.nim.name"
    yield repository.rpartition("/")[2][:1000], "repository"
    for tag in tags[:16]:
        yield tag[:200], "tag"


def _family(name: str) -> str:
    words = re.split(r"[^a-z0-9]+", name)
    for family in _FAMILIES:
        if "-" in family:
            if family in name:
                return family
        elif any(word == family or _is_version_of(word, family) for word in words):
            return family
    return ""


def _is_version_of(word: str, family: str) -> bool:
    """Whether a word is a family with a number, as in `llama3` or `qwen2`."""
    return word.startswith(family) and word[len(family) :].isdigit()
