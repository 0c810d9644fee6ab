"""Facts of many images at once, for the queue and for the approvals of what runs."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from backend.core.canonical import canonical_json
from backend.evidence.facts import ImageFacts
from backend.store.connection import Database


async def all_facts(database: Database, among: Iterable[str] | None = None) -> dict[str, ImageFacts]:
    """What the catalogue's columns tell of every digest that was taken in, by digest.

    Args:
        among: only of these digests.

    Labels, annotations and declared licences are left empty: they are in the manifests, which are read one at a time
    (`backend.library.catalogue.facts_of`). A digest of several repositories is told of in the one it was seen in first.

    Raises:
        StoreError: the database cannot be read.
    """
    repositories = await database.fetch_all("SELECT id, registry, host, name FROM repository")
    asked = "" if among is None else "json_each(?) AS asked JOIN"
    of_seen, of_tag = ("", "") if among is None else ("ON seen.digest = asked.value", "ON tag.digest = asked.value")
    given = () if among is None else (canonical_json(list(among)).decode(),)
    seen = await database.fetch_all(
        "SELECT seen.digest, seen.repository, seen.rule, image.kind, image.type, image.framework, image.size"  # noqa: S608 - constants
        f" FROM {asked} image_seen AS seen {of_seen} JOIN image ON image.digest = seen.digest"
        " ORDER BY seen.first_seen_at, seen.repository",
        given,
    )
    tags = await database.fetch_all(
        f"SELECT tag.digest, tag.repository, tag.tag FROM {asked} tag {of_tag}"  # noqa: S608 - constants
        " WHERE tag.gone_at IS NULL ORDER BY tag.changed_at DESC, tag.sort_key DESC",
        given,
    )
    return await asyncio.to_thread(_joined, repositories, seen, tags)


def _joined(
    repositories: Sequence[sqlite3.Row], seen: Sequence[sqlite3.Row], tags: Sequence[sqlite3.Row]
) -> dict[str, ImageFacts]:
    # Rows are taken apart by position: with thousands of them names cost more than all the rest.
    places = {id_: (registry, host, name) for id_, registry, host, name in repositories}
    named: dict[tuple[str, int], list[str]] = defaultdict(list)
    for digest, repository, tag in tags:
        named[digest, repository].append(tag)
    first: dict[str, int] = {}
    rules: dict[str, list[str]] = {}
    facts: dict[str, ImageFacts] = {}
    for digest, repository, rule, kind, type_, framework, size in seen:
        if digest in first:
            if first[digest] == repository:
                rules[digest].append(rule)
            continue
        first[digest] = repository
        rules[digest] = [rule]
        registry, host, name = places[repository]
        facts[digest] = ImageFacts(
            digest=digest, registry=registry, host=host, repository=name,
            tags=tuple(named.get((digest, repository), ())), rules=(rule,), kind=kind, type=type_,
            framework=framework, size=size,
        )  # fmt: skip
    for digest, taken_by in rules.items():
        if len(taken_by) > 1:
            facts[digest] = msgspec.structs.replace(facts[digest], rules=tuple(dict.fromkeys(taken_by)))
    return facts


async def aliases(database: Database) -> dict[str, str]:
    """From the digest of a platform's manifest or of a configuration to the digest that a tag named.

    Container runtimes report an image by its index, its platform's manifest or its configuration. A digest that was
    itself taken in stands for itself and is no key.

    Raises:
        StoreError: the database cannot be read.
    """
    rows = await database.fetch_all(
        "SELECT child.digest AS alias, child.parent AS digest FROM image_child AS child"
        " JOIN image_seen AS seen ON seen.digest = child.parent WHERE child.attests = ''"
        " UNION SELECT image.config_digest, image.digest FROM image"
        " JOIN image_seen AS seen ON seen.digest = image.digest WHERE image.config_digest IS NOT NULL"
        " UNION SELECT image.config_digest, child.parent FROM image_child AS child"
        " JOIN image ON image.digest = child.digest JOIN image_seen AS seen ON seen.digest = child.parent"
        " WHERE image.config_digest IS NOT NULL AND child.attests = ''"
    )
    own = {row["digest"] for row in await database.fetch_all("SELECT DISTINCT digest FROM image_seen")}
    return {row["alias"]: row["digest"] for row in rows if row["alias"] not in own}


async def configurations(database: Database, digest: str) -> list[bytes]:
    """The configuration blobs of an image, of an index those of its platforms that were kept.

    Raises:
        StoreError: the database cannot be read.
    """
    rows = await database.fetch_all(
        "SELECT content.data FROM image JOIN content ON content.digest = image.config_digest WHERE image.digest = ?1"
        " UNION ALL SELECT content.data FROM image_child AS child JOIN image ON image.digest = child.digest"
        " JOIN content ON content.digest = image.config_digest WHERE child.parent = ?1 AND child.attests = ''",
        (digest,),
    )
    return [row["data"] for row in rows]
