"""Describing images again from what is stored, when a newer program tells more of them. Nothing is fetched."""

from __future__ import annotations

import logging
import sqlite3
from typing import Final

from backend.core.errors import ModelyardError
from backend.library.catalogue import description_of, manifest_of
from backend.library.classification import classify
from backend.library.descriptions import licence_of, search_words
from backend.library.evidenced import Classification
from backend.library.records import DESCRIBED
from backend.store.connection import Database, Transaction

_LOG = logging.getLogger(__name__)
_AT_ONCE: Final = 200
_MODEL: Final = ("family", "parameters", "precision")


async def describe_again(database: Database) -> int:
    """Describe all images that an earlier version described. What a person corrected stays.

    Returns:
        how many there were.

    Raises:
        StoreError: the database cannot be used; what was described stands.
    """
    count = 0
    while rows := await database.fetch_all(
        "SELECT digest, (SELECT name FROM image_seen AS seen JOIN repository ON repository.id = seen.repository"
        " WHERE seen.digest IN (image.digest, (SELECT parent FROM image_child WHERE digest = image.digest)) LIMIT 1)"
        " AS repository FROM image WHERE described < ? LIMIT ?",
        (DESCRIBED, _AT_ONCE),
    ):
        async with database.transaction() as transaction:
            for row in rows:
                await _describe(database, transaction, row)
        count += len(rows)
    return count


async def _describe(database: Database, transaction: Transaction, row: sqlite3.Row) -> None:
    digest = row["digest"]
    licence = about = ""
    found: dict[str, Classification] = {}
    try:
        manifest = await manifest_of(database, digest)
        description = await description_of(database, manifest)
        licence = licence_of(description, manifest.annotations)
        about = search_words(description, manifest.annotations)
        found = classify(manifest, description, row["repository"] or "", ())
    except ModelyardError as error:
        # Somebody changed its bytes: it is shown as it was described, and `images show` tells why.
        _LOG.warning("%s", error)
    for name in _MODEL:
        if name in found:
            await transaction.execute(
                "INSERT INTO classification (digest, name, value, evidence, confidence) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                (digest, name, found[name].value, found[name].evidence, found[name].confidence),
            )
    corrected = "(SELECT coalesce(set_value, value) FROM classification WHERE digest = image.digest AND name = '{}')"
    columns = ", ".join(f"{name} = coalesce({corrected.format(name)}, '')" for name in _MODEL)
    await transaction.execute(
        f"UPDATE image SET {columns}, licence = ?, about = ?, described = ? WHERE digest = ?",  # noqa: S608 - fixed names
        (licence, about, DESCRIBED, digest),
    )
