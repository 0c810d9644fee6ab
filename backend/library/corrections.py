"""What people say of images: corrected properties, which count before anything derived, and parents."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from backend.core.errors import NotFoundError, UsageError
from backend.core.permits import Permit
from backend.core.ports import timestamp
from backend.core.views import ImageView
from backend.library.classification import PROPERTIES, TOLD_ONLY
from backend.library.query import KINDS, TYPES
from backend.store import ledger
from backend.store.connection import Transaction

#: How one image can have been made from another.
RELATIONS: Final = ("fine-tuned", "distilled", "quantised", "merged", "derived")
_LONGEST: Final = {"value": 100, "reason": 1000, "note": 1000, "parent": 600}
_CLOSED: Final = {"kind": KINDS, "type": TYPES}
#: So far up the parents of parents are looked at for the image itself.
_MOST_GENERATIONS: Final = 100


def checked_value(name: str, value: str) -> str:
    """The value of a property as it is stored: in lower case, without spaces around it; empty takes a correction back.

    Raises:
        UsageError: no such property, or it cannot have that value.
    """
    if name not in PROPERTIES:
        raise UsageError("correction", f"{name!r} is no property", f"use one of {', '.join(PROPERTIES)}")
    value = _checked(value.casefold(), "value")
    known = _CLOSED.get(name)
    if value and known is not None and value not in known:
        raise UsageError("correction", f"{value!r} is no {name}", f"use one of {', '.join(known)}")
    return value


async def correct(
    transaction: Transaction, permit: Permit, image: ImageView, *, name: str, value: str, reason: str, at: datetime
) -> None:
    """Set a property of an image by a person's word, or take such a word back, and tell so in the ledger.

    Args:
        name: one of `PROPERTIES`.
        value: as `checked_value` gave it; empty: what was derived counts again.

    Raises:
        UsageError: there is no reason, or nothing to take back.
        NotFoundError: the library does not hold the image any more.
    """
    permit.spend("library.correct")
    reason = _needed(reason, "reason")
    row = await transaction.fetch_one(
        f"SELECT image.{name} AS held, set_value FROM image"  # noqa: S608 - one of the fixed properties
        " LEFT JOIN classification ON classification.digest = image.digest AND name = ? WHERE image.digest = ?",
        (name, image.digest),
    )
    if row is None:
        raise NotFoundError(f"image {image.reference}", "the library does not hold it any more", "synchronise it again")
    if not value and row["set_value"] is None:
        raise UsageError(f"{name} of {image.name}", "nobody corrected it", "give the value that it should have")
    unknown = "" if name in TOLD_ONLY else "unknown"
    await transaction.execute(
        "INSERT INTO classification (digest, name, value, evidence, confidence) VALUES (?, ?, ?, 'nothing tells', 0.0)"
        " ON CONFLICT DO NOTHING",
        (image.digest, name, unknown),
    )
    said = (value, reason, permit.actor.name, timestamp(at)) if value else (None, None, None, None)
    await transaction.execute(
        "UPDATE classification SET set_value = ?, set_reason = ?, set_by = ?, set_at = ? WHERE digest = ? AND name = ?",
        (*said, image.digest, name),
    )
    await transaction.execute(
        f"UPDATE image SET {name} = (SELECT coalesce(set_value, value) FROM classification"  # noqa: S608 - as above
        " WHERE classification.digest = image.digest AND name = ?) WHERE digest = ?",
        (name, image.digest),
    )
    await ledger.append(
        transaction, at=at, actor=permit.actor, action="library.correct", object=image.reference, outcome="done",
        detail={"property": name, "from": row["held"], "to": value, "reason": reason},
    )  # fmt: skip


async def name_parent(
    transaction: Transaction,
    permit: Permit,
    image: ImageView,
    *,
    parent: str,
    parent_digest: str | None,
    relation: str,
    note: str,
    at: datetime,
) -> None:
    """Record what an image was made from, and tell so in the ledger. Naming the same parent again replaces it.

    Args:
        parent: `host/repository@digest`, or any text where the library does not hold it.
        parent_digest: None: the library does not hold it.
        relation: one of `RELATIONS`.

    Raises:
        UsageError: no such relation, or the image would come from itself.
    """
    permit.spend("library.parent")
    parent, note = _needed(parent, "parent"), _checked(note, "note")
    if relation not in RELATIONS:
        raise UsageError("parent", f"{relation!r} is no relation", f"use one of {', '.join(RELATIONS)}")
    if parent_digest is not None and image.digest in await _ancestors(transaction, parent_digest):
        raise UsageError(f"parent of {image.name}", f"{parent} is, or comes from, the image itself", "name another one")
    await transaction.execute(
        "INSERT INTO image_parent (digest, parent, parent_digest, relation, note, named_by, at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (digest, parent) DO UPDATE SET relation = excluded.relation,"
        " parent_digest = excluded.parent_digest, note = excluded.note, named_by = excluded.named_by, at = excluded.at",
        (image.digest, parent, parent_digest, relation, note, permit.actor.name, timestamp(at)),
    )
    await ledger.append(
        transaction, at=at, actor=permit.actor, action="library.parent", object=image.reference, outcome="done",
        detail={"parent": parent, "relation": relation, "note": note},
    )  # fmt: skip


async def remove_parent(
    transaction: Transaction, permit: Permit, image: ImageView, *, parent: str, at: datetime
) -> None:
    """Take back what was named as a parent, and tell so in the ledger.

    Raises:
        NotFoundError: it is not named as one.
    """
    permit.spend("library.parent")
    removed = await transaction.execute(
        "DELETE FROM image_parent WHERE digest = ? AND parent = ?", (image.digest, parent)
    )
    if not removed:
        raise NotFoundError(f"parent {parent}", f"it is not named for {image.name}", "see modelyard images show")
    await ledger.append(
        transaction, at=at, actor=permit.actor, action="library.parent", object=image.reference, outcome="done",
        detail={"parent": parent, "removed": True},
    )  # fmt: skip


async def _ancestors(transaction: Transaction, digest: str) -> frozenset[str]:
    """The digest itself, its parents, theirs, and so on, as far as the library holds them."""
    rows = await transaction.fetch_all(
        "WITH RECURSIVE above(digest, generation) AS (SELECT ?, 0 UNION SELECT parent_digest, generation + 1"
        " FROM above JOIN image_parent USING (digest) WHERE parent_digest IS NOT NULL AND generation < ?)"
        " SELECT DISTINCT digest FROM above",
        (digest, _MOST_GENERATIONS),
    )
    return frozenset(row["digest"] for row in rows)


def _needed(text: str, what: str) -> str:
    text = _checked(text, what)
    if not text:
        raise UsageError(what, "it is empty", f"give a {what}")
    return text


def _checked(text: str, what: str) -> str:
    """Text as it is stored: one line, without spaces around it.

    Raises:
        UsageError: it is too long, or holds what cannot be printed.
    """
    text = text.strip()
    if len(text) > _LONGEST[what]:
        raise UsageError(what, f"it is longer than {_LONGEST[what]} characters", "write less")
    if not text.isprintable():
        raise UsageError(what, "it holds characters that cannot be printed", "leave them out")
    return text
