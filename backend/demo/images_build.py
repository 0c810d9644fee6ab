"""Builds the demo's container images: configurations, layers, manifests, indexes and BuildKit's attestations.

Formats: OCI image-spec 1.1, and BuildKit's "Image attestation storage" for the manifests of unknown platform.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from backend.demo.catalogue import Build, Product
from backend.demo.images_oci import (
    OCI_CONFIG,
    OCI_LAYER,
    Descriptor,
    Json,
    Repository,
    encode,
    image_index,
    image_manifest,
)
from backend.demo.images_reports import instant
from backend.demo.images_signing import IN_TOTO, statement
from backend.demo.images_streams import Stream, tar_of

_DAYS_BETWEEN_TAGS: Final = 19
_UNKNOWN_PLATFORM: Final = {"architecture": "unknown", "os": "unknown"}
_PROVENANCE: Final = "https://slsa.dev/provenance/v0.2"
_LIST_OF_COMPONENTS: Final = "https://spdx.dev/Document"


def chance(*parts: object) -> int:
    """Give a number below 2**64 that the parts alone decide."""
    text = "/".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def created_at(product: Product, position: int, count: int, seed: int) -> datetime:
    """When the tag at `position` of `count` was built: releases come some 19 days apart, up to the newest."""
    newest = datetime(product.newest.year, product.newest.month, product.newest.day, 12, tzinfo=UTC)
    minutes = chance(seed, product.repository, position) % (8 * 60)
    return newest - timedelta(days=_DAYS_BETWEEN_TAGS * (count - 1 - position), minutes=minutes)


def build_image(
    repository: Repository, product: Product, tag: str, created: datetime, seed: int, *, mark: str = ""
) -> Descriptor:
    """Build and store one image of a product, without giving it a tag.

    Args:
        mark: tells a second build of the same tag from the first.

    Returns:
        The index, or the manifest of a product that has no index.
    """
    build = product.build
    labels = _labels(product, tag, created)
    note = f"{product.repository}:{tag}\nbuild {seed}{mark}\n".encode()
    image = _image(repository, build, "amd64", build.amd64, labels, note, created)
    if not build.indexed:
        return image
    images = [("amd64", image)]
    if build.arm64:
        images.append(("arm64", _image(repository, build, "arm64", build.arm64, labels, note, created)))
    children = [image.json(platform={"architecture": name, "os": "linux"}) for name, image in images]
    children += [_attestation(repository, product, image, created) for _, image in images]
    annotations = {
        "org.opencontainers.image.created": instant(created),
        "org.opencontainers.image.title": labels["org.opencontainers.image.title"],
        "org.opencontainers.image.version": tag,
    }
    return repository.add_manifest(image_index(children, annotations=annotations))


def _labels(product: Product, tag: str, created: datetime) -> Mapping[str, str]:
    labels = {
        "org.opencontainers.image.created": instant(created),
        "org.opencontainers.image.licenses": product.licence,
        "org.opencontainers.image.title": product.title,
        "org.opencontainers.image.version": tag,
    }
    if product.nim_type:
        labels |= {
            "com.nvidia.nim.type": product.nim_type,
            "com.nvidia.nim.version": tag,
            "com.nvidia.nim.name": product.repository.rpartition("/")[2],
            "com.nvidia.nim.base_image": f"nvcr.io/nvidia/{product.build.packages}-base:{tag}",
            "com.nvidia.nim.inference_protocol": "openai",
            "com.nvidia.nim.model_download_protocol": "ngc",
            "org.opencontainers.image.documentation": f"https://example.invalid/cards/{product.repository}",
        }
    if product.build.base:
        labels["org.opencontainers.image.base.name"] = product.build.base
    return {**labels, **product.build.labels, **product.labels}


def _image(
    repository: Repository,
    build: Build,
    architecture: str,
    streams: Sequence[Stream],
    labels: Mapping[str, str],
    note: bytes,
    created: datetime,
) -> Descriptor:
    own = tar_of("etc/image-release", note + architecture.encode())
    layers = [repository.add_blob(stream, OCI_LAYER) for stream in streams]
    layers.append(repository.add_blob(own, OCI_LAYER))
    settings: Json = {"Env": list(build.environment), "WorkingDir": "/", "Labels": dict(labels)}
    if build.entrypoint:
        settings["Entrypoint"] = list(build.entrypoint)
    if build.command:
        settings["Cmd"] = list(build.command)
    if build.user:
        settings["User"] = build.user
    if build.ports:
        settings["ExposedPorts"] = {port: {} for port in build.ports}
    config = {
        "created": instant(created),
        "architecture": architecture,
        "os": "linux",
        "config": settings,
        # The layers are not compressed, so the digest of a layer is its diff id too.
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
        "history": [
            {"created": labels["org.opencontainers.image.created"], "created_by": f"COPY /{name} /{name} # buildkit"}
            for name in (*(stream.path for stream in streams), "etc/image-release")
        ],
    }
    described = repository.add_blob(encode(config), OCI_CONFIG)
    return repository.add_manifest(image_manifest(described, [layer.json() for layer in layers]))


def _attestation(repository: Repository, product: Product, image: Descriptor, created: datetime) -> Json:
    """Store what BuildKit attests of one image, and give its entry of the index."""
    name = f"pkg:docker/{product.repository}"
    components = {
        "spdxVersion": "SPDX-2.3",
        "SPDXID": "SPDXRef-DOCUMENT",
        "dataLicense": "CC0-1.0",
        "name": product.repository,
        "creationInfo": {"created": instant(created), "creators": ["Tool: buildkit-syft-scanner"]},
        "packages": [],
    }
    provenance = {
        "builder": {"id": ""},
        "buildType": "https://mobyproject.org/buildkit@v1",
        "invocation": {"environment": {"platform": "linux/amd64"}},
        "metadata": {"buildStartedOn": instant(created - timedelta(minutes=9)), "buildFinishedOn": instant(created)},
    }
    layers = []
    for predicate_type, predicate in ((_LIST_OF_COMPONENTS, components), (_PROVENANCE, provenance)):
        content = statement(predicate_type, predicate, name, image.digest, version="v0.1")
        layer = repository.add_blob(content, IN_TOTO)
        layers.append(layer.json(annotations={"in-toto.io/predicate-type": predicate_type}))
    config = {
        **_UNKNOWN_PLATFORM,
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
    }
    described = repository.add_manifest(image_manifest(repository.add_blob(encode(config), OCI_CONFIG), layers))
    annotations = {
        "vnd.docker.reference.digest": image.digest,
        "vnd.docker.reference.type": "attestation-manifest",
    }
    return described.json(annotations=annotations, platform=_UNKNOWN_PLATFORM)
