"""Content of the demo registry: repositories with tags, manifests, blobs and referrers, and how each is added.

Formats: OCI image-spec 1.1 ("Image Manifest", "Image Index", "Image Configuration", "Descriptor").
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from backend.demo.images_streams import Stream

Json: TypeAlias = dict[str, Any]
Blob: TypeAlias = bytes | Stream

OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_EMPTY: Final = "application/vnd.oci.empty.v1+json"
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"

_ENCODER = msgspec.json.Encoder()


def encode(value: object) -> bytes:
    """Encode JSON without spaces, keys in the order given, so that the same content has the same digest."""
    return _ENCODER.encode(value)


def digest_of(content: bytes) -> str:
    """Give `sha256:` and 64 hexadecimal digits of the content's SHA-256."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


class StoredManifest(NamedTuple):
    """A manifest as it is served: its bytes and its Content-Type."""

    body: bytes
    media_type: str


class Descriptor(NamedTuple):
    """What points at a blob or manifest; `json` gives the form of the image-spec.

    Attributes:
        size: bytes of the content.
    """

    media_type: str
    digest: str
    size: int

    def json(self, **more: object) -> Json:
        """Give the descriptor as JSON, with further members such as `annotations` or `platform` after its own."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size, **more}


@dataclass
class Repository:
    """One repository: everything that may be asked for under its name.

    Attributes:
        tags: tag to digest; holds the `sha256-*` tags of cosign too.
        manifests: by digest.
        blobs: by digest.
        referrers: digest of a subject to the descriptors of what refers to it, in the order of pushing.
    """

    name: str
    tags: dict[str, str] = field(default_factory=dict)
    manifests: dict[str, StoredManifest] = field(default_factory=dict)
    blobs: dict[str, Blob] = field(default_factory=dict)
    referrers: dict[str, list[Json]] = field(default_factory=dict)

    def add_blob(self, content: Blob, media_type: str) -> Descriptor:
        """Store a blob and describe it."""
        if isinstance(content, Stream):
            digest, size = content.digest, content.size
        else:
            digest, size = digest_of(content), len(content)
        self.blobs[digest] = content
        return Descriptor(media_type, digest, size)

    def add_manifest(self, manifest: Json, tag: str | None = None) -> Descriptor:
        """Store a manifest or index under its digest, and under `tag` where one is given."""
        media_type = manifest["mediaType"]
        body = encode(manifest)
        digest = digest_of(body)
        self.manifests[digest] = StoredManifest(body, media_type)
        if tag is not None:
            self.tags[tag] = digest
        return Descriptor(media_type, digest, len(body))

    def add_referrer(
        self, subject: Descriptor, artifact_type: str, layers: Sequence[Json], annotations: Mapping[str, str]
    ) -> Descriptor:
        """Store an artifact that refers to `subject` (distribution-spec 1.1, "Listing Referrers")."""
        config = self.add_blob(b"{}", OCI_EMPTY)
        descriptor = self.add_manifest(
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "artifactType": artifact_type,
                "config": config.json(),
                "layers": list(layers),
                "subject": subject.json(),
                "annotations": dict(annotations),
            }
        )
        entry = descriptor.json(artifactType=artifact_type, annotations=dict(annotations))
        self.referrers.setdefault(subject.digest, []).append(entry)
        return descriptor

    def describe(self, digest: str) -> Descriptor:
        """Describe a stored manifest.

        Raises:
            KeyError: no manifest of this repository has the digest.
        """
        stored = self.manifests[digest]
        return Descriptor(stored.media_type, digest, len(stored.body))


def image_manifest(config: Descriptor, layers: Sequence[Json], **more: object) -> Json:
    """Build an image manifest; `more` holds further members such as `annotations`."""
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config.json(),
        "layers": list(layers),
        **more,
    }


def image_index(children: Sequence[Json], **more: object) -> Json:
    """Build an image index of the child descriptors."""
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(children), **more}


def read_blob(blob: Blob, start: int, stop: int) -> Iterator[bytes]:
    """Yield the bytes of a blob from `start` up to `stop` (exclusive)."""
    if isinstance(blob, Stream):
        yield from blob.read(start, stop)
    elif start < stop:
        yield blob[start:stop]


def blob_size(blob: Blob) -> int:
    """Length of a blob in bytes."""
    return blob.size if isinstance(blob, Stream) else len(blob)
