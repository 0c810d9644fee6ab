"""What a synchronisation writes, and the SQL that writes it. Everything can be written again without changing anything.

Runs of several processes may overlap, and any of them may be killed: each batch is one transaction, and what a run saw
is held against what the database holds inside of that transaction. An older observation never overwrites a newer one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from backend.core.ports import timestamp
from backend.core.views import SyncEntryView
from backend.library.evidenced import Classification
from backend.library.search import bring_index_up
from backend.library.versions import order_key
from backend.store.connection import SqlValue, Transaction

#: The version of how images are described; rows of an earlier one are described again.
DESCRIBED: Final = 1
# SQLite takes 32,766 parameters a statement; a batch is far smaller.
_MOST_PARAMETERS: Final = 500
# Runs that overlap see a tag within this time; what seems newer than that was written by a clock that went wrong.
_LONGEST_OVERLAP: Final = timedelta(hours=1)


class Content(msgspec.Struct, frozen=True):
    """Bytes that have this digest."""

    digest: str
    media_type: str
    data: bytes


class Child(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of an index; `attests` is the digest that a BuildKit attestation describes, else empty."""

    digest: str
    media_type: str
    os: str = ""
    architecture: str = ""
    variant: str = ""
    attests: str = ""

    @property
    def platform(self) -> str:
        """`os/architecture[/variant]`; empty when none is told."""
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


class ImageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A catalogue entry as it was found out.

    Attributes:
        size: compressed bytes of configuration and layers; None: not told.
        platforms: of the image, or of the images of an index that are kept.
        children: of an index, all of them.
        licence: as declared; empty: not told.
        about: words of its labels, for the search.
        card: digest of the document that tells of the model, which is among the contents; None: there is none.
        contents: the manifest and, where one was read, the configuration.
    """

    digest: str
    media_type: str
    artifact_type: str
    config_digest: str | None
    size: int | None
    platforms: tuple[str, ...]
    created_at: datetime | None
    classifications: dict[str, Classification]
    children: tuple[Child, ...] = ()
    contents: tuple[Content, ...] = ()
    licence: str = ""
    about: str = ""
    card: str | None = None


class Observation(msgspec.Struct, frozen=True):
    """What a registry said of a tag: the digest that it names, or None when a complete list did not hold it."""

    tag: str
    digest: str | None
    observed_at: datetime


class Known(msgspec.Struct, frozen=True):
    """What the database holds of a tag; `changed_at` as stored."""

    digest: str
    changed_at: str
    gone: bool
    rule: str = ""


class Change(msgspec.Struct, frozen=True):
    """What an observation changes: `new`, `moved`, `gone`, or `back` after it was gone."""

    change: str
    observation: Observation
    previous: str | None

    def entry(self, registry: str, repository: str) -> SyncEntryView:
        """The change as it is shown."""
        digest = self.observation.digest or self.previous or ""
        moved = self.previous if self.observation.digest is not None and self.previous != digest else None
        return SyncEntryView(
            registry=registry, repository=repository, tag=self.observation.tag, digest=digest, previous=moved
        )


def change_of(known: Known | None, seen: Observation) -> Change | None:
    """What an observation changes in what is known; None: nothing, or something newer is known already. Pure."""
    if known is None:
        return None if seen.digest is None else Change("new", seen, None)
    if timestamp(seen.observed_at) < known.changed_at <= timestamp(seen.observed_at + _LONGEST_OVERLAP):
        return None
    if seen.digest is None:
        return None if known.gone else Change("gone", seen, known.digest)
    if known.gone:
        return Change("back", seen, known.digest)
    return None if seen.digest == known.digest else Change("moved", seen, known.digest)


async def repository_id(transaction: Transaction, *, registry: str, host: str, name: str, at: datetime) -> int:
    """The number of a repository, which is made when it is missing; its host is set to the one given."""
    row = await transaction.fetch_one(
        "INSERT INTO repository (registry, host, name, first_seen_at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (registry, name) DO UPDATE SET host = excluded.host RETURNING id",
        (registry, host, name, timestamp(at)),
    )
    return int(row["id"]) if row is not None else 0


async def write_images(transaction: Transaction, records: Sequence[ImageRecord], at: datetime) -> None:
    """Write catalogue entries. What is there already stays, but for the platforms that an index is kept for."""
    now = timestamp(at)
    contents = [content for record in records for content in record.contents]
    await transaction.execute_many(
        "INSERT INTO content (digest, media_type, data, stored_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [(content.digest, content.media_type, content.data, now) for content in contents],
    )
    await transaction.execute_many(
        "INSERT INTO image (digest, media_type, artifact_type, config_digest, kind, framework, engine, type, size,"
        " platforms, created_at, recorded_at, family, parameters, precision, licence, about, card, described)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (digest) DO UPDATE SET platforms = excluded.platforms, size = coalesce(size, excluded.size)",
        [_image_row(record, now) for record in records],
    )
    await transaction.execute_many(
        "INSERT INTO image_child (parent, position, digest, media_type, os, architecture, variant, attests)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [
            (record.digest, position, child.digest, child.media_type, child.os, child.architecture, child.variant,
             child.attests)
            for record in records for position, child in enumerate(record.children)
        ],
    )  # fmt: skip
    await transaction.execute_many(
        "INSERT INTO classification (digest, name, value, evidence, confidence) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        [
            (record.digest, name, found.value, found.evidence, found.confidence)
            for record in records for name, found in record.classifications.items()
        ],
    )  # fmt: skip


async def write_observations(
    transaction: Transaction, repository: int, observations: Sequence[Observation], *, rule: str, run: str
) -> list[Change]:
    """Hold what was seen in a repository against what is known, and write what changed.

    Args:
        repository: its number.
        rule: that asked; a tag that is new belongs to it.
        run: that saw it.

    Returns:
        what changed, in the order of the observations.
    """
    known = await _known(transaction, repository, [seen.tag for seen in observations])
    changes = [change for seen in observations if (change := change_of(known.get(seen.tag), seen))]
    present = [change for change in changes if change.observation.digest is not None]
    await transaction.execute_many(
        "INSERT INTO image_seen (repository, digest, rule, first_seen_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [(repository, c.observation.digest, rule, timestamp(c.observation.observed_at)) for c in present],
    )
    await transaction.execute_many(
        "INSERT INTO tag (repository, tag, digest, rule, sort_key, first_seen_at, changed_at)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) ON CONFLICT (repository, tag) DO UPDATE SET"
        " previous_digest = CASE WHEN digest <> excluded.digest THEN digest ELSE previous_digest END,"
        " digest = excluded.digest, changed_at = excluded.changed_at, gone_at = NULL",
        [
            (repository, c.observation.tag, c.observation.digest, rule, order_key(c.observation.tag),
             timestamp(c.observation.observed_at))
            for c in present
        ],
    )  # fmt: skip
    await transaction.execute_many(
        "UPDATE tag SET gone_at = ?1, changed_at = ?1 WHERE repository = ?2 AND tag = ?3",
        [
            (timestamp(c.observation.observed_at), repository, c.observation.tag)
            for c in changes if c.observation.digest is None
        ],
    )  # fmt: skip
    await transaction.execute_many(
        "INSERT INTO tag_event (repository, tag, change, digest, previous_digest, at, run)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (repository, c.observation.tag, c.change, c.observation.digest, c.previous,
             timestamp(c.observation.observed_at), run)
            for c in changes
        ],
    )  # fmt: skip
    await bring_index_up(transaction)
    return changes


def known_of(row: sqlite3.Row) -> Known:
    """What is known of a tag, from the columns digest, changed_at, gone_at and rule."""
    return Known(row["digest"], row["changed_at"], row["gone_at"] is not None, row["rule"])


async def _known(transaction: Transaction, repository: int, tags: Sequence[str]) -> dict[str, Known]:
    known: dict[str, Known] = {}
    for start in range(0, len(tags), _MOST_PARAMETERS):
        part = tags[start : start + _MOST_PARAMETERS]
        marks = ", ".join("?" * len(part))
        rows = await transaction.fetch_all(
            f"SELECT tag, digest, changed_at, gone_at, rule FROM tag WHERE repository = ? AND tag IN ({marks})",  # noqa: S608 - only marks for parameters
            (repository, *part),
        )
        known.update((row["tag"], known_of(row)) for row in rows)
    return known


def _image_row(record: ImageRecord, now: str) -> tuple[SqlValue, ...]:
    found = record.classifications
    return (
        record.digest, record.media_type, record.artifact_type, record.config_digest, found["kind"].value,
        found["framework"].value, found["engine"].value, found["type"].value, record.size,
        msgspec.json.encode(record.platforms).decode(),
        timestamp(record.created_at) if record.created_at is not None else None, now,
        *(found[name].value if name in found else "" for name in ("family", "parameters", "precision")),
        record.licence, record.about, record.card, DESCRIBED,
    )  # fmt: skip
