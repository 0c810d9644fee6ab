"""Manifests and descriptors, by OCI image-spec 1.1 and Docker's image manifest version 2, schema 2."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from backend.core.errors import DigestMismatchError, LimitExceededError, MalformedDataError
from backend.core.references import is_digest

OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"

#: Distribution-spec 1.1 wants at least 4 MiB to be taken.
LARGEST_MANIFEST: Final = 4 << 20
#: Layers, or images of an index. What points at more is a bomb, or nothing that is served.
_MOST_DESCRIPTORS: Final = 4_000

INDEX_TYPES: Final = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFEST_TYPES: Final = (OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST)

# BuildKit, "Image attestation storage": how an index ties an attestation to the image that it describes.
_REFERENCE_TYPE: Final = "vnd.docker.reference.type"
_REFERENCE_DIGEST: Final = "vnd.docker.reference.digest"


class Platform(msgspec.Struct, frozen=True, rename={"os_version": "os.version"}):
    """What an image of an index runs on; prints as `os/architecture[/variant]`."""

    os: str = ""
    architecture: str = ""
    variant: str = ""
    os_version: str = ""

    def __str__(self) -> str:
        variant = f"/{self.variant}" if self.variant else ""
        return f"{self.os}/{self.architecture}{variant}"


class Descriptor(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What points at content (OCI image-spec 1.1, "Descriptor").

    Attributes:
        size: bytes of the content; -1: the registry did not tell.
        artifact_type: of the content; empty when none is given.
        platform: in an index, what the image runs on.
    """

    media_type: str
    digest: str
    size: int
    annotations: dict[str, str] = {}
    artifact_type: str = ""
    platform: Platform | None = None

    @property
    def attests(self) -> str:
        """Digest of the image that this BuildKit attestation describes; empty: it is no attestation."""
        if self.annotations.get(_REFERENCE_TYPE) != "attestation-manifest":
            return ""
        return self.annotations.get(_REFERENCE_DIGEST, "")


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest or an index whose bytes have the digest that they were asked by.

    Attributes:
        raw: the bytes as the registry sent them.
        digest: of `raw`.
        config: None for an index.
        layers: empty for an index.
        manifests: the children of an index, attestations among them; empty for an image.
        subject: what this manifest refers to (signatures, SBOMs); None: it stands by itself.
        artifact_type: as given, else the config's media type; empty for an index without one.
    """

    raw: bytes
    digest: str
    media_type: str
    artifact_type: str = ""
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    manifests: tuple[Descriptor, ...] = ()
    annotations: dict[str, str] = {}
    subject: Descriptor | None = None

    @property
    def is_index(self) -> bool:
        """Whether it lists images instead of being one."""
        return self.media_type in INDEX_TYPES

    @property
    def descriptor(self) -> Descriptor:
        """What points at this manifest."""
        return Descriptor(
            media_type=self.media_type,
            digest=self.digest,
            size=len(self.raw),
            annotations=self.annotations,
            artifact_type=self.artifact_type,
        )

    @property
    def images(self) -> tuple[Descriptor, ...]:
        """The children of an index that are images: without the attestations that describe them."""
        return tuple(child for child in self.manifests if not child.attests)


class _Document(msgspec.Struct, rename="camel"):
    """A manifest or index as it is written. Go programs write an absent list as null."""

    schema_version: int = 0
    media_type: str = ""
    artifact_type: str = ""
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] | None = None
    manifests: tuple[Descriptor, ...] | None = None
    annotations: dict[str, str] | None = None
    subject: Descriptor | None = None


_DECODER: Final = msgspec.json.Decoder(_Document)


def digest_of(raw: bytes, algorithm: str = "sha256") -> str:
    """The digest of the bytes.

    Args:
        algorithm: `sha256` or `sha512`, the two that OCI image-spec 1.1 registers.
    """
    hashed = hashlib.sha512(raw) if algorithm == "sha512" else hashlib.sha256(raw)
    return f"{algorithm}:{hashed.hexdigest()}"


def require_digest(raw: bytes, digest: str, where: str) -> None:
    """Make sure that the bytes have the digest.

    Raises:
        DigestMismatchError: they have another.
    """
    found = digest_of(raw, digest.partition(":")[0])
    if found != digest:
        raise DigestMismatchError(
            where,
            f"its bytes have the digest {found}, not {digest} as they should",
            "do not use it: the registry or something on the way changes content",
        )


def parse_manifest(raw: bytes, media_type: str, where: str, digest: str | None = None) -> Manifest:
    """Read a manifest or index.

    Args:
        raw: the bytes as received.
        media_type: what the registry called them (Content-Type without parameters); empty: it did not tell, and the
            bytes have to.
        where: what is read, for errors ("manifest ngc/nim/meta/llama:1.3").
        digest: what the bytes were asked by, or what the registry says of them; None: nothing to compare with.

    Raises:
        DigestMismatchError: the bytes do not have `digest`.
        MalformedDataError: the bytes are no manifest of the four types that are read, or contradict `media_type`.
        LimitExceededError: it points at more than is taken.
    """
    if digest is not None:
        require_digest(raw, digest, where)
    try:
        document = _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(where, f"it is not a manifest: {error}") from error
    declared = document.media_type
    if declared and media_type and declared != media_type:
        raise _malformed(where, f"it calls itself {declared!r}, the registry calls it {media_type!r}")
    kind = declared or media_type
    if kind not in MANIFEST_TYPES:
        raise _malformed(where, f"its type {kind!r} is none of the image manifests and indexes that are read")
    if document.schema_version != 2:
        raise _malformed(where, f"its schema version is {document.schema_version}, not 2")
    _check_shape(document, kind, where)
    artifact_type = document.artifact_type
    if not artifact_type and document.config is not None:
        artifact_type = document.config.media_type
    return Manifest(
        raw=raw,
        digest=digest if digest is not None else digest_of(raw),
        media_type=kind,
        artifact_type=artifact_type,
        config=document.config,
        layers=document.layers or (),
        manifests=document.manifests or (),
        annotations=document.annotations or {},
        subject=document.subject,
    )


def _check_shape(document: _Document, kind: str, where: str) -> None:
    # A document that reads as an index and as an image means different things to different readers (CVE-2021-41190).
    if kind in INDEX_TYPES:
        if document.manifests is None or document.config is not None or document.layers is not None:
            raise _malformed(where, "it is called an index and does not have the fields of one")
    elif document.config is None or document.manifests is not None:
        raise _malformed(where, "it is called an image manifest and does not have the fields of one")
    named = [document.config, document.subject, *(document.layers or ()), *(document.manifests or ())]
    if len(named) > _MOST_DESCRIPTORS:
        raise LimitExceededError(
            where, f"it points at more than the {_MOST_DESCRIPTORS} things that are taken", "nothing of it was taken in"
        )
    for descriptor in named:
        if descriptor is None:
            continue
        if not is_digest(descriptor.digest):
            raise _malformed(where, f"it points at {descriptor.digest[:80]!r}, which is not a digest")
        if descriptor.size < 0:
            raise _malformed(where, f"it gives {descriptor.digest} a size of {descriptor.size} bytes")


def _malformed(where: str, why: str) -> MalformedDataError:
    return MalformedDataError(where, why, "tell the registry's operator; nothing of it was taken in")
