"""Finding out what a digest is: its manifest, its configuration, and those of an index's images that a rule keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from backend.core.errors import LimitExceededError, NotFoundError
from backend.library.cards import LARGEST_CARD, card_layer
from backend.library.classification import DESCRIBED_KINDS, classify, kind_of
from backend.library.descriptions import (
    LARGEST_CONFIG,
    NOTHING_TOLD,
    Description,
    licence_of,
    plausible_instant,
    read_description,
    search_words,
)
from backend.library.events import storable
from backend.library.evidenced import Classification
from backend.library.holdings import Holdings
from backend.library.records import Child, Content, ImageRecord
from backend.library.rules import takes_platform
from backend.registry.manifests import INDEX_TYPES, Descriptor, Manifest, parse_manifest
from backend.store.connection import Database

_MOST_CHILDREN: Final = 64
# The database holds integers of 64 bits, and descriptors may claim any sizes.
_LARGEST_SIZE: Final = 2**63 - 1
_CREATED: Final = "org.opencontainers.image.created"
_NO_PLATFORM: Final = "unknown"


class ContentSource(Protocol):
    """Content by digest; the registry room's client has it."""

    async def manifest(self, repository: str, reference: str) -> Manifest:
        """The manifest of that digest, its bytes checked."""

    async def blob(self, repository: str, digest: str, size: int, limit: int) -> bytes:
        """The blob of that digest, its bytes checked."""


class _Found(msgspec.Struct, frozen=True):
    """A manifest, what its configuration says, the document that tells of the model, and the bytes of all."""

    manifest: Manifest
    description: Description
    contents: tuple[Content, ...]
    card: str | None = None


class Fetcher:
    """Reads content by digest, from the database where it is there, else from a registry.

    Args:
        source: of the repository that is asked for.
        database: what was stored by earlier runs.
        registry: configured name, for errors.

    Attributes:
        holdings: which content is stored.
    """

    def __init__(self, source: ContentSource, database: Database, registry: str) -> None:
        self.holdings = Holdings(database)
        self._source = source
        self._database = database
        self._registry = registry

    async def image(
        self, repository: str, digest: str, *, tags: Sequence[str], platforms: Sequence[str] | None
    ) -> list[ImageRecord]:
        """Catalogue entries of a digest: its own, and those of the images of an index that are kept.

        Args:
            tags: that name it, as far as they are known.
            platforms: of a rule; None keeps all.

        Returns:
            the entry of the digest last, after those that it stands on. All are there, or it raises.

        Raises:
            ModelyardError: the registry cannot be reached, or what it gives is malformed or too much.
        """
        found = await self._find(repository, digest)
        if not found.manifest.is_index:
            return [_image_record(found, repository, tags)]
        children = tuple(map(_child, found.manifest.manifests))
        kept = await self._kept(children, platforms)
        if len(kept) > _MOST_CHILDREN:
            raise LimitExceededError(
                f"index {self._registry}/{repository}@{digest}",
                f"it has {len(kept)} images, more than the {_MOST_CHILDREN} that are taken",
                "name the platforms to keep in the rule",
            )
        images = [await self._find(repository, child.digest) for child in kept]
        records = [_image_record(image, repository, tags) for image in images]
        records.append(_index_record(found, children, kept, images, records, repository, tags))
        return records

    async def _kept(self, children: Sequence[Child], platforms: Sequence[str] | None) -> list[Child]:
        """The images of an index that the rule keeps or that an earlier rule kept; indexes within it are left alone."""
        images = [child for child in children if _is_image(child)]
        kept = {
            child.digest for child in images
            if takes_platform(platforms, child.os, child.architecture, child.variant)
        }  # fmt: skip
        for child in images:
            if child.digest not in kept and await self._database.fetch_one(
                "SELECT 1 FROM image WHERE digest = ?", (child.digest,)
            ):
                kept.add(child.digest)
        unique = {child.digest: child for child in images if child.digest in kept}
        return list(unique.values())

    async def _find(self, repository: str, digest: str) -> _Found:
        manifest = await self._stored_manifest(digest) or await self._source.manifest(repository, digest)
        contents = [Content(digest, manifest.media_type, manifest.raw)]
        config, description, kind = manifest.config, NOTHING_TOLD, kind_of(manifest).value
        if config is not None and kind in DESCRIBED_KINDS:
            data = await self._stored(config.digest)
            if data is None:
                data = await self._source.blob(repository, config.digest, config.size, LARGEST_CONFIG)
            contents.append(Content(config.digest, config.media_type, data))
            description = read_description(data, f"configuration of {self._registry}/{repository}@{digest}")
        layer = None if kind == "image" else card_layer(manifest)
        if layer is None:
            return _Found(manifest, description, tuple(contents))
        try:
            card = await self._stored(layer.digest)
            if card is None:
                card = await self._source.blob(repository, layer.digest, layer.size, LARGEST_CARD)
        except NotFoundError:
            # A model without its README is a model still.
            return _Found(manifest, description, tuple(contents))
        contents.append(Content(layer.digest, layer.media_type, card))
        return _Found(manifest, description, tuple(contents), layer.digest)

    async def _stored_manifest(self, digest: str) -> Manifest | None:
        if await self.holdings.lacks(digest):
            self.holdings.add(digest)
            return None
        row = await self._database.fetch_one("SELECT media_type, data FROM content WHERE digest = ?", (digest,))
        if row is None:
            return None
        return parse_manifest(row["data"], row["media_type"], f"stored manifest {digest}", digest)

    async def _stored(self, digest: str) -> bytes | None:
        if await self.holdings.lacks(digest):
            self.holdings.add(digest)
            return None
        row = await self._database.fetch_one("SELECT data FROM content WHERE digest = ?", (digest,))
        return None if row is None else bytes(row["data"])


def _image_record(found: _Found, repository: str, tags: Sequence[str]) -> ImageRecord:
    manifest, description = found.manifest, found.description
    platform = "/".join(
        part for part in (description.os, description.architecture, description.variant) if part
    )  # fmt: skip
    config = manifest.config
    described = config is not None and any(content.digest == config.digest for content in found.contents)
    return ImageRecord(
        digest=manifest.digest,
        media_type=manifest.media_type,
        artifact_type=storable(manifest.artifact_type),
        config_digest=config.digest if config is not None and described else None,
        size=_size(manifest),
        platforms=(platform,) if platform else (),
        created_at=description.created_at or plausible_instant(manifest.annotations.get(_CREATED)),
        classifications=classify(manifest, description, repository, tags),
        contents=found.contents,
        licence=licence_of(description, manifest.annotations),
        about=search_words(description, manifest.annotations),
        card=found.card,
    )


def _index_record(
    found: _Found,
    children: tuple[Child, ...],
    kept: Sequence[Child],
    images: Sequence[_Found],
    records: Sequence[ImageRecord],
    repository: str,
    tags: Sequence[str],
) -> ImageRecord:
    """An index is what its first image is; its media type alone tells nothing of the content."""
    manifest = found.manifest
    classifications = classify(manifest, images[0].description if images else NOTHING_TOLD, repository, tags)
    if records and classifications["type"].value == "generic":
        classifications["type"] = records[0].classifications["type"]
    if not images:
        none = Classification("unknown", "none of its images is of a platform that is kept", 0.0)
        classifications.update(framework=none, engine=none)
    return ImageRecord(
        digest=manifest.digest,
        media_type=manifest.media_type,
        artifact_type=storable(manifest.artifact_type),
        config_digest=None,
        size=records[0].size if records else None,
        platforms=tuple(dict.fromkeys(child.platform for child in kept if child.platform)),
        created_at=plausible_instant(manifest.annotations.get(_CREATED))
        or next((record.created_at for record in records if record.created_at), None),
        classifications=classifications,
        children=children,
        contents=found.contents,
        licence=licence_of(NOTHING_TOLD, manifest.annotations) or (records[0].licence if records else ""),
        about=search_words(images[0].description if images else NOTHING_TOLD, manifest.annotations),
        card=records[0].card if records else None,
    )


def by_rule(record: ImageRecord, kind: str, rule: str) -> ImageRecord:
    """The record of an image or index as the kind that a rule says it is: it holds weights and no server."""
    if record.classifications["kind"].value not in {"image", "index"}:
        return record
    said = Classification(kind, f"rule {rule} says so", 1.0)
    none = Classification("unknown", f"a {kind} holds weights and no server", 1.0)
    found = {**record.classifications, "kind": said, "framework": none, "engine": none}
    return msgspec.structs.replace(record, classifications=found)


def _child(descriptor: Descriptor) -> Child:
    platform = descriptor.platform
    return Child(
        digest=descriptor.digest,
        media_type=storable(descriptor.media_type),
        os=storable(platform.os) if platform else "",
        architecture=storable(platform.architecture) if platform else "",
        variant=storable(platform.variant) if platform else "",
        attests=storable(descriptor.attests),
    )


def _is_image(child: Child) -> bool:
    # BuildKit gives attestations the platform unknown/unknown, as do others without its annotation.
    nowhere = child.os == _NO_PLATFORM and child.architecture == _NO_PLATFORM
    return not child.attests and not nowhere and child.media_type not in INDEX_TYPES


def _size(manifest: Manifest) -> int | None:
    if manifest.config is None:
        return None
    total = manifest.config.size + sum(layer.size for layer in manifest.layers)
    return total if total <= _LARGEST_SIZE else None
