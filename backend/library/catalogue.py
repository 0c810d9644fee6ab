"""Reading the library: lists, one image with all that is known of it, and history."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from backend.core.errors import NotFoundError, UsageError
from backend.core.ports import instant
from backend.core.references import DigestPrefix, ImageReference
from backend.core.views import (
    ClassificationView,
    ImageDetailView,
    ImageState,
    ImageView,
    PlatformView,
    TagEventView,
)
from backend.evidence.facts import ImageFacts
from backend.library.cards import card_of
from backend.library.classification import PROPERTIES
from backend.library.descriptions import NOTHING_TOLD, Description, bounded, read_description
from backend.library.events import events_where
from backend.library.lineage import lineage_of
from backend.registry.manifests import Manifest, parse_manifest
from backend.store.connection import Database, SqlValue

_READ_AT_ONCE: Final = 500
_MOST_AMBIGUOUS: Final = 5
_SECRET: Final = re.compile(r"(?:key|token|secret|passw|credential)", re.IGNORECASE)
_HIDDEN: Final = "(hidden)"

_COLUMNS: Final = (
    "repository.registry, repository.host, repository.name AS repository, tag.tag, tag.digest, image.kind, image.type,"
    " image.framework, image.size, image.platforms, image.created_at, tag.first_seen_at, tag.changed_at, tag.gone_at,"
    " tag.previous_digest, tag.rule, image.engine, image.family, image.parameters, image.precision, image.licence"
)
_TABLES: Final = "tag JOIN repository ON repository.id = tag.repository JOIN image ON image.digest = tag.digest"
States = Mapping[str, ImageState]
_NO_STATES: Final[States] = {}


async def views_of(
    database: Database, entries: Sequence[int], *, states: States = _NO_STATES, running: Mapping[str, int] | None = None
) -> list[ImageView]:
    """Entries that a search found, in the order given; one that is gone since is left out.

    Args:
        entries: their numbers (`backend.library.search`).
        states: of digests, from curation; a digest that is not there is a candidate.
        running: by digest, how many services run it; None: no cluster was asked.

    Raises:
        StoreError: the database cannot be read.
    """
    found: list[ImageView] = []
    for start in range(0, len(entries), _READ_AT_ONCE):
        part = entries[start : start + _READ_AT_ONCE]
        rows = await database.fetch_all(
            f"SELECT {_COLUMNS}, entry.id FROM json_each(?) AS wanted JOIN entry ON entry.id = wanted.value"  # noqa: S608 - texts of this file
            " JOIN tag ON tag.repository = entry.repository AND tag.tag = entry.tag"
            " JOIN repository ON repository.id = entry.repository JOIN image ON image.digest = tag.digest",
            (msgspec.json.encode(part).decode(),),
        )
        by_number = {row["id"]: row for row in rows}
        found += [_view(by_number[number], states, running) for number in part if number in by_number]
        # Thousands of rows are made into views in turns with whatever else is to be done.
        await asyncio.sleep(0)
    return found


async def find(
    database: Database, reference: ImageReference | DigestPrefix, *, states: States = _NO_STATES
) -> ImageView:
    """The one image that a reference means, under its newest tag when it gives none.

    A digest that no tag names any more is found as well; its `tag` is then the last one that named it.

    Raises:
        NotFoundError: nothing of that name.
        UsageError: a digest prefix means several digests, or one digest of several repositories.
        StoreError: the database cannot be read.
    """
    if isinstance(reference, DigestPrefix):
        condition, parameters = _prefix_range(reference)
    else:
        condition, parameters = _named(reference)
    rows = await database.fetch_all(
        f"SELECT {_COLUMNS} FROM {_TABLES} WHERE {condition}"  # noqa: S608 - texts of this file
        " ORDER BY tag.gone_at IS NOT NULL, tag.changed_at DESC, tag.sort_key DESC LIMIT 100",
        parameters,
    )
    if not rows:
        rows = await _unnamed(database, reference)
    if not rows:
        raise NotFoundError(
            f"image {reference}", "the library holds nothing of that name", "see modelyard images list, or sync first"
        )
    places = {f"{row['host']}/{row['repository']}@{row['digest']}": row for row in rows}
    if len(places) > 1:
        some = ", ".join(list(places)[:_MOST_AMBIGUOUS])
        raise UsageError(f"reference {reference}", f"it means {len(places)} images: {some}", "name one of them in full")
    return _view(rows[0], states)


async def tags_of(database: Database, image: ImageView) -> tuple[str, ...]:
    """The tags that name the digest of an image in its repository now, newest first."""
    rows = await database.fetch_all(
        "SELECT tag FROM tag JOIN repository ON repository.id = tag.repository"
        " WHERE registry = ? AND name = ? AND digest = ? AND gone_at IS NULL ORDER BY changed_at DESC, sort_key DESC",
        (image.registry, image.repository, image.digest),
    )
    return tuple(row["tag"] for row in rows)


async def manifest_of(database: Database, digest: str) -> Manifest:
    """The manifest of a digest, from the database; its bytes are held against the digest.

    Raises:
        NotFoundError: the library does not hold it.
        DigestMismatchError: somebody changed its bytes in the database.
    """
    row = await database.fetch_one("SELECT media_type, data FROM content WHERE digest = ?", (digest,))
    if row is None:
        raise NotFoundError(f"manifest {digest}", "the library does not hold it", "run modelyard sync")
    return parse_manifest(row["data"], row["media_type"], f"stored manifest {digest}", digest)


async def detail(
    database: Database, image: ImageView, users: Mapping[str, tuple[str, ...]] | None = None
) -> ImageDetailView:
    """All that the library knows of an image. Values of variables that are named like secrets are hidden.

    Args:
        users: by digest, the services that name or run it; None: no cluster was asked.

    Raises:
        NotFoundError: the library does not hold it.
        StoreError: the database cannot be read.
    """
    manifest = await manifest_of(database, image.digest)
    described = await _described_manifest(database, manifest)
    description = await description_of(database, manifest)
    annotations = {**described.annotations, **manifest.annotations}
    used = None if users is None else len(users.get(image.digest, ()))
    return ImageDetailView(
        image=msgspec.structs.replace(image, running=used),
        tags=await tags_of(database, image),
        media_type=manifest.media_type,
        artifact_type=manifest.artifact_type,
        labels=description.labels,
        annotations=bounded(annotations),
        environment=tuple(map(_shown, description.environment)),
        entrypoint=description.entrypoint,
        layers=tuple((layer.media_type, layer.digest, layer.size) for layer in described.layers or described.manifests),
        classifications=await classifications_of(database, image.digest),
        referrers=tuple((child.artifact_type or child.media_type, child.digest) for child in manifest.manifests
                        if child.attests),
        manifest=manifest.raw.decode("utf-8", errors="replace"),
        platforms=await _platforms_of(database, manifest),
        user=description.user,
        exposed_ports=description.exposed_ports,
        card=await _card_of(database, image.digest, described, description),
        lineage=await lineage_of(database, image, (annotations, description.labels), users),
    )  # fmt: skip


async def _described_manifest(database: Database, manifest: Manifest) -> Manifest:
    """The manifest itself; of an index, that of its first image that was kept."""
    if not manifest.is_index:
        return manifest
    digest = await _first_child(database, manifest.digest)
    return manifest if digest is None else await manifest_of(database, digest)


async def _first_child(database: Database, digest: str) -> str | None:
    """The digest of the first image of an index that was kept."""
    child = await database.fetch_one(
        "SELECT image.digest FROM image_child JOIN image ON image.digest = image_child.digest"
        " WHERE parent = ? AND attests = '' ORDER BY position LIMIT 1",
        (digest,),
    )
    return None if child is None else str(child["digest"])


async def _platforms_of(database: Database, manifest: Manifest) -> tuple[PlatformView, ...]:
    """The images of an index, each with its size where it was read."""
    rows = await database.fetch_all(
        "SELECT os, architecture, variant, image_child.digest, size FROM image_child"
        " LEFT JOIN image ON image.digest = image_child.digest WHERE parent = ? AND attests = '' ORDER BY position",
        (manifest.digest,),
    )
    return tuple(
        PlatformView(platform="/".join(filter(None, row[:3])) or "unknown", digest=row["digest"], size=row["size"])
        for row in rows
    )


async def _card_of(database: Database, digest: str, manifest: Manifest, description: Description) -> str:
    """The document that tells of the model: what the image carries, else what its annotations and labels say."""
    row = await database.fetch_one(
        "SELECT data FROM content WHERE digest IN (SELECT card FROM image WHERE digest IN (?, ?))",
        (digest, manifest.digest),
    )
    return card_of(None if row is None else row["data"], manifest.annotations, description.labels)


async def description_of(database: Database, manifest: Manifest) -> Description:
    """What an image says of itself; of an index, what its first image that was kept says."""
    digest = manifest.digest
    if manifest.is_index:
        digest = await _first_child(database, digest) or digest
    row = await database.fetch_one(
        "SELECT data FROM image JOIN content ON content.digest = image.config_digest WHERE image.digest = ?", (digest,)
    )
    return NOTHING_TOLD if row is None else read_description(row["data"], f"stored configuration of {digest}")


async def classifications_of(database: Database, digest: str) -> tuple[ClassificationView, ...]:
    """The classified properties of a digest; where a person corrected one, what they said counts."""
    rows = await database.fetch_all("SELECT * FROM classification WHERE digest = ?", (digest,))
    views = [
        ClassificationView(name=row["name"], value=row["value"], evidence=row["evidence"], confidence=row["confidence"])
        if row["set_by"] is None
        else ClassificationView(
            name=row["name"], value=row["set_value"], evidence=row["set_reason"], confidence=1.0, set_by=row["set_by"]
        )
        for row in rows
    ]
    return tuple(sorted(views, key=lambda view: PROPERTIES.index(view.name)))


async def facts_of(database: Database, image: ImageView) -> ImageFacts:
    """What gates and evidence need to know of an image.

    Raises:
        NotFoundError: the library does not hold it.
        StoreError: the database cannot be read.
    """
    manifest = await manifest_of(database, image.digest)
    description = await description_of(database, manifest)
    rows = await database.fetch_all(
        "SELECT rule FROM image_seen JOIN repository ON repository.id = image_seen.repository"
        " WHERE registry = ? AND name = ? AND digest = ? ORDER BY image_seen.first_seen_at, rule",
        (image.registry, image.repository, image.digest),
    )
    return ImageFacts(
        digest=image.digest, registry=image.registry, host=image.host, repository=image.repository,
        tags=await tags_of(database, image), rules=tuple(row["rule"] for row in rows), kind=image.kind,
        type=image.type, framework=image.framework, size=image.size, labels=description.labels,
        annotations=manifest.annotations, licences=description.licences,
    )  # fmt: skip


async def history(database: Database, reference: ImageReference | DigestPrefix) -> list[TagEventView]:
    """What happened to a tag, or to all tags that named a digest, newest first.

    Raises:
        NotFoundError, UsageError: as `find`.
        StoreError: the database cannot be read.
    """
    image = await find(database, reference)
    if isinstance(reference, ImageReference) and reference.tag is not None:
        condition, parameters = "tag = ?", [reference.tag]
    else:
        condition, parameters = "(digest = ? OR previous_digest = ?)", [image.digest, image.digest]
    return await events_where(
        database, f"registry = ? AND name = ? AND {condition}", (image.registry, image.repository, *parameters), None
    )


def _named(reference: ImageReference) -> tuple[str, list[SqlValue]]:
    conditions = ["(repository.registry = ? OR repository.host = ?)", "repository.name = ?"]
    parameters: list[SqlValue] = [reference.registry, reference.registry, reference.repository]
    if reference.tag is not None:
        conditions.append("tag.tag = ?")
        parameters.append(reference.tag)
    if reference.digest is not None:
        conditions.append("tag.digest = ?")
        parameters.append(reference.digest)
    return " AND ".join(conditions), parameters


def _prefix_range(reference: DigestPrefix) -> tuple[str, list[SqlValue]]:
    # A range finds what starts with the prefix by the index; "g" follows the last hexadecimal digit.
    return "tag.digest >= ? AND tag.digest < ?", [str(reference), f"{reference}g"]


async def _unnamed(database: Database, reference: ImageReference | DigestPrefix) -> list[sqlite3.Row]:
    """A digest that was taken in and that no tag names now, as the last tag that named it would be listed."""
    if isinstance(reference, DigestPrefix):
        condition, parameters = "seen.digest >= ? AND seen.digest < ?", [str(reference), f"{reference}g"]
    elif reference.digest is not None and reference.tag is None:
        condition = "(repository.registry = ? OR repository.host = ?) AND repository.name = ? AND seen.digest = ?"
        parameters = [reference.registry, reference.registry, reference.repository, reference.digest]
    else:
        return []
    return await database.fetch_all(
        "SELECT repository.registry, repository.host, repository.name AS repository,"  # noqa: S608 - fixed texts
        " event.tag, seen.digest,"
        " image.kind, image.type, image.framework, image.size, image.platforms, image.created_at, seen.first_seen_at,"
        " event.at AS changed_at, event.at AS gone_at, NULL AS previous_digest, seen.rule, image.engine, image.family,"
        " image.parameters, image.precision, image.licence"
        " FROM image_seen AS seen JOIN repository ON repository.id = seen.repository"
        " JOIN image ON image.digest = seen.digest JOIN tag_event AS event ON event.id ="
        " (SELECT max(id) FROM tag_event WHERE repository = seen.repository AND previous_digest = seen.digest)"
        f" WHERE {condition} ORDER BY event.at DESC LIMIT 100",
        parameters,
    )


def _view(row: sqlite3.Row, states: States, running: Mapping[str, int] | None = None) -> ImageView:
    (registry, host, repository, tag, digest, kind, type_, framework, size, platforms, created_at, first_seen_at,
     changed_at, gone_at, previous_digest, rule, engine, family, parameters, precision, licence, *_) = row  # fmt: skip
    return ImageView(
        registry=registry, host=host, repository=repository, tag=tag, digest=digest, kind=kind, type=type_,
        framework=framework, size=size, state=states.get(digest, ImageState.CANDIDATE), platforms=_platforms(platforms),
        created_at=None if created_at is None else instant(created_at), first_seen_at=instant(first_seen_at),
        changed_at=instant(changed_at), gone_at=None if gone_at is None else instant(gone_at),
        previous_digest=previous_digest, rule=rule, engine=engine, family=family, parameters=parameters,
        precision=precision, licence=licence, running=None if running is None else running.get(digest, 0),
    )  # fmt: skip


@lru_cache(maxsize=256)
def _platforms(text: str) -> tuple[str, ...]:
    return msgspec.json.decode(text, type=tuple[str, ...])


def _shown(variable: str) -> str:
    name, equals, _ = variable.partition("=")
    return f"{name}={_HIDDEN}" if equals and _SECRET.search(name) else variable
