"""Facts of many images at once, for the queue and for the approvals of what runs."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import defaultdict
from collections.abc import Sequence

from backend.evidence.facts import ImageFacts
from backend.store.connection import Database


async def all_facts(database: Database) -> dict[str, ImageFacts]:
    """What the catalogue's columns tell of every digest that was taken in, by digest.

    Labels, annotations and declared licences are left empty: they are in the manifests, which are read one at a time
    (`backend.library.catalogue.facts_of`). A digest of several repositories is told of in the one it was seen in first.

    Raises:
        StoreError: the database cannot be read.
    """
    seen = await database.fetch_all(
        "SELECT seen.digest, seen.rule, repository.registry, repository.host, repository.name AS repository,"
        " image.kind, image.type, image.framework, image.size FROM image_seen AS seen"
        " JOIN repository ON repository.id = seen.repository JOIN image ON image.digest = seen.digest"
        " ORDER BY seen.first_seen_at, seen.repository"
    )
    tags = await database.fetch_all(
        "SELECT tag.digest, tag.tag, repository.registry, repository.name AS repository FROM tag"
        " JOIN repository ON repository.id = tag.repository WHERE gone_at IS NULL"
        " ORDER BY changed_at DESC, sort_key DESC"
    )
    return await asyncio.to_thread(_joined, seen, tags)


def _joined(seen: Sequence[sqlite3.Row], tags: Sequence[sqlite3.Row]) -> dict[str, ImageFacts]:
    named: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for row in tags:
        named[row["registry"], row["repository"], row["digest"]].append(row["tag"])
    rules: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for row in seen:
        rules[row["registry"], row["repository"], row["digest"]].append(row["rule"])
    facts: dict[str, ImageFacts] = {}
    for row in seen:
        if row["digest"] in facts:
            continue
        place = (row["registry"], row["repository"], row["digest"])
        facts[row["digest"]] = ImageFacts(
            digest=row["digest"], registry=row["registry"], host=row["host"], repository=row["repository"],
            tags=tuple(named.get(place, ())), rules=tuple(dict.fromkeys(rules[place])), kind=row["kind"],
            type=row["type"], framework=row["framework"], size=row["size"],
        )  # fmt: skip
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
