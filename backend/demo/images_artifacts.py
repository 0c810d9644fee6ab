"""Model artifacts that are no images (ModelPack, KitOps, Docker models), and repositories that mean harm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Final, NamedTuple

from backend.demo import catalogue_evidence as evidence
from backend.demo import catalogue_layers as layers
from backend.demo.catalogue import COMMUNITY, Product
from backend.demo.catalogue_evidence import Evidence
from backend.demo.images_build import build_image
from backend.demo.images_oci import Descriptor, Json, Repository, StoredManifest, digest_of, encode, image_manifest
from backend.demo.images_reports import instant
from backend.demo.images_streams import Stream, tar_of

MODEL_PACK: Final = "application/vnd.cncf.model"
KIT: Final = "application/vnd.kitops.modelkit"
DOCKER_MODEL: Final = "application/vnd.docker.ai"


class ModelArtifact(NamedTuple):
    """One repository of model artifacts.

    Attributes:
        tags: oldest first, separated by spaces.
        parameters: as the format writes it, such as `8b`.
    """

    repository: str
    build: Callable[[Repository, ModelArtifact, str, datetime], Descriptor]
    title: str
    family: str
    parameters: str
    licence: str
    weights: Stream
    tags: str
    newest: date
    evidence: Mapping[str, Evidence] = MappingProxyType({})
    outputs: str = "text"


def model_pack(repository: Repository, artifact: ModelArtifact, tag: str, created: datetime) -> Descriptor:
    """Store a CNCF ModelPack artifact (model-spec v1)."""
    documents = tar_of("README.md", f"# {artifact.title}\n\nRelease {tag}.\n".encode())
    settings = tar_of("config.json", encode({"model_type": artifact.family, "release": tag}))
    parts = [
        repository.add_blob(artifact.weights, f"{MODEL_PACK}.weight.v1.tar"),
        repository.add_blob(settings, f"{MODEL_PACK}.weight.config.v1.tar"),
        repository.add_blob(documents, f"{MODEL_PACK}.doc.v1.tar"),
    ]
    config = {
        "descriptor": {
            "createdAt": instant(created),
            "family": artifact.family,
            "name": artifact.repository.rpartition("/")[2],
            "title": artifact.title,
            "version": tag,
            "licenses": [artifact.licence],
        },
        "modelfs": {"type": "layers", "diffIds": [part.digest for part in parts]},
        "config": {
            "architecture": "transformer",
            "format": "safetensors",
            "paramSize": artifact.parameters,
            "precision": "bfloat16",
            "capabilities": {
                "inputTypes": ["text"],
                "outputTypes": [artifact.outputs],
                "reasoning": False,
                "toolUsage": artifact.outputs == "text",
            },
        },
    }
    described = repository.add_blob(encode(config), f"{MODEL_PACK}.config.v1+json")
    names = ("model.safetensors", "config.json", "README.md")
    described_layers = [
        part.json(annotations={"org.cncf.model.filepath": name}) for part, name in zip(parts, names, strict=True)
    ]
    return repository.add_manifest(
        image_manifest(described, described_layers, artifactType=f"{MODEL_PACK}.manifest.v1+json")
    )


def model_kit(repository: Repository, artifact: ModelArtifact, tag: str, created: datetime) -> Descriptor:
    """Store a KitOps ModelKit: its configuration is the Kitfile."""
    kitfile = {
        "manifestVersion": "1.0.0",
        "package": {"name": artifact.title, "version": tag, "license": artifact.licence},
        "model": {"name": artifact.title, "path": "./model.gguf", "framework": "llama.cpp", "format": "gguf"},
    }
    config = repository.add_blob(encode(kitfile), f"{KIT}.config.v1+json")
    weights = repository.add_blob(artifact.weights, f"{KIT}.model.v1.tar")
    annotations = {"ml.kitops.modelkit.cli-version": "1.5.0", "org.opencontainers.image.created": instant(created)}
    return repository.add_manifest(image_manifest(config, [weights.json()], annotations=annotations))


def docker_model(repository: Repository, artifact: ModelArtifact, tag: str, created: datetime) -> Descriptor:
    """Store a Docker model: one GGUF file and its licence."""
    config = {
        "config": {
            "format": "gguf",
            "quantization": "Q4_K_M",
            "parameters": artifact.parameters,
            "architecture": artifact.family,
            "size": str(artifact.weights.size),
        },
        "descriptor": {"created": instant(created)},
        "rootfs": {"type": "rootfs", "diff_ids": [artifact.weights.digest]},
    }
    licence = f"{artifact.title} {tag}\nSPDX-License-Identifier: {artifact.licence}\n".encode()
    parts = [
        repository.add_blob(artifact.weights, f"{DOCKER_MODEL}.gguf.v3"),
        repository.add_blob(licence, f"{DOCKER_MODEL}.license"),
    ]
    described = repository.add_blob(encode(config), f"{DOCKER_MODEL}.model.config.v0.1+json")
    return repository.add_manifest(image_manifest(described, [part.json() for part in parts]))


# One artifact is a row of a table: the formatter would give each field a line of its own.
# fmt: off
ARTIFACTS: Final = (
    ModelArtifact(
        "models/llama-3.1-8b-instruct", model_pack, "Llama 3.1 8B Instruct weights", "llama3", "8b",
        "LicenseRef-Llama-3.1", layers.LLAMA_8B_WEIGHTS, "v1.0 v1.1 v1.2", date(2025, 8, 20), {"v1.2": evidence.CLEAN},
    ),
    ModelArtifact(
        "models/bge-m3", model_pack, "BGE M3 weights", "xlm-roberta", "568m", "MIT", layers.BGE_M3_WEIGHTS,
        "v1.0 v1.1", date(2025, 6, 2), {"v1.1": evidence.BARE_SBOM}, outputs="embedding",
    ),
    ModelArtifact(
        "kitops/gemma-3-4b-it", model_kit, "Gemma 3 4B kit", "gemma3", "4b", "LicenseRef-Gemma", layers.BGE_M3_WEIGHTS,
        "1.0.0 1.1.0", date(2025, 7, 1), {"1.1.0": evidence.SIGNED_ONLY},
    ),
    ModelArtifact(
        "ai/smollm2", docker_model, "SmolLM2 1.7B", "llama", "1.71 B", "Apache-2.0", layers.SMOLLM2_GGUF,
        "135M-Q4_K_M 360M-Q4_K_M 1.7B-Q4_K_M", date(2025, 5, 14), {"1.7B-Q4_K_M": evidence.UNSIGNED},
    ),
    ModelArtifact(
        "ai/gemma3", docker_model, "Gemma 3 4B", "gemma3", "3.88 B", "LicenseRef-Gemma", layers.GEMMA3_GGUF,
        "4B-Q4_K_M 4B-F16", date(2025, 6, 9),
    ),
)

HOSTILE: Final = Product(
    "lab/hostile", COMMUNITY, "\x1b]0;owned\x07\x1b[31m[bold red]APPROVED[/bold red] \u202eelpmas\u202c", "MIT",
    f"1.0.0 1.0.1 {'long-' * 25}tag", date(2025, 9, 1),
    evidence=dict.fromkeys(("1.0.0", "1.0.1"), Evidence(critical=3, high=3)),
    labels={
        "org.opencontainers.image.description":
            "\x9b2J\x1bc\r\nmodelyard: approved\u2066\u200b [/] [@click=app.quit]go[/]",
    },
)
# fmt: on
#: Tags that are listed and cannot be read: no registry may accept the first, the second was deleted meanwhile.
UNREADABLE_TAGS: Final = ("v1\x1b[31mred\x1b[0m[bold]", "2.0.0-ghost")
LIAR: Final = "lab/liar"


def add_liar(repository: Repository) -> None:
    """Store an image whose manifest is served under a digest that it does not have."""
    product = Product(LIAR, COMMUNITY, "Lying manifest", "MIT", "1.0.0", date(2025, 9, 2))
    image = build_image(repository, product, "1.0.0", datetime(2025, 9, 2, tzinfo=UTC), 0)
    honest = repository.manifests.pop(image.digest)
    claimed = digest_of(b"not what is served")
    repository.manifests[claimed] = StoredManifest(honest.body, honest.media_type)
    repository.tags["1.0.0"] = claimed


def created_at(artifact: ModelArtifact, position: int, count: int) -> datetime:
    """When the artifact at `position` of `count` tags was made: 30 days apart, up to the newest."""
    newest = datetime(artifact.newest.year, artifact.newest.month, artifact.newest.day, 9, tzinfo=UTC)
    return newest - timedelta(days=30 * (count - 1 - position))


def hostile_annotations() -> Json:
    """Annotations of an index that try to forge what a terminal shows."""
    return {"org.opencontainers.image.title": HOSTILE.title, "\u202ekey\x1b[0m": "\x00\x07\x7f"}
