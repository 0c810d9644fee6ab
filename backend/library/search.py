"""Searching the library: which entries a query means, in pages, and grouped by repository.

Texts are looked through once each (`search_text`), with SQLite's full-text index over trigrams where it has one. What
they name is found by whole shelves (tags of one repository whose images are of one sort) and by the tags' own names;
only what a page shows is read in full.
"""

# Names of tables and columns are of this file; what a person typed is never part of a statement.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from backend.core.errors import UsageError
from backend.core.views import ImageState, RepositoryView
from backend.library.matching import Facts, Match, Table, entries_of, matching
from backend.library.query import Query
from backend.store.connection import Database, SqlValue, Transaction

#: What pages can be sorted by.
SORTS: Final = ("name", "changed", "created", "size", "type", "framework", "state", "version")
#: What repositories can be sorted by.
REPOSITORY_SORTS: Final[Mapping[str, Callable[[RepositoryView], Any]]] = {
    "name": lambda view: (view.registry, view.name), "changed": lambda view: view.changed_at,
    "tags": lambda view: view.tags, "approved": lambda view: view.approved, "waiting": lambda view: view.waiting,
    "type": lambda view: view.types, "framework": lambda view: view.frameworks,
}  # fmt: skip
#: Found in this many or fewer, entries are read by themselves and sorted; more are walked through in their order.
_FEW: Final = 3000
_ORDERS: Final = {
    "name": ("repository.registry {up}", "repository.name {up}", "entry.sort_key {down}"),
    "changed": ("entry.changed {up}",),
    "created": ("entry.created IS NULL", "entry.created {up}"),
    "size": ("entry.size IS NULL", "entry.size {up}"),
    "type": ("shelf.type {up}",),
    "framework": ("shelf.framework {up}",),
    "state": ("CASE{ranks} ELSE 0 END {up}",),
    "version": ("entry.sort_key {up}",),
}
#: What is alike stands together by repository, as far as that costs nothing.
_ALIKE: Final = ("entry.repository", "entry.sort_key DESC")
_IN_ORDER: Final = "repository CROSS JOIN entry INDEXED BY entry_by_place ON entry.repository = repository.id"
_ABLE: Final = "(SELECT count(*) FROM pragma_module_list WHERE name = 'fts5') AS able"


class Found(msgspec.Struct, frozen=True):
    """Numbers of the entries of a page, in its order, and how many were found in all."""

    ids: tuple[int, ...]
    total: int


class Standing(msgspec.Struct, frozen=True):
    """What other rooms know of digests.

    Attributes:
        states: by digest, of those that were decided on; every other digest is a candidate.
        running: by digest, how many services run it; None: no cluster was asked.
        only: of these digests alone; None: of all.
    """

    states: Mapping[str, ImageState] = {}
    running: Mapping[str, int] | None = None
    only: frozenset[str] | None = None


NOTHING_DECIDED: Final = Standing()


async def find_entries(
    database: Database,
    query: Query,
    now: datetime,
    standing: Standing = NOTHING_DECIDED,
    *,
    sort: str = "name",
    descending: bool = False,
    offset: int = 0,
    limit: int | None = 200,
) -> Found:
    """The entries that a query means.

    Args:
        sort: one of `SORTS`. By name, the newest version of a repository comes first.
        limit: at most so many, after `offset`; None: all.

    Raises:
        UsageError: no such order, or the query asks for what is not known.
        StoreError: the database cannot be read.
    """
    if sort not in SORTS:
        raise UsageError("sort", f"{sort!r} is not known", f"use one of {', '.join(SORTS)}")
    match = await _match(database, query, now, standing)
    few = await _few(database, match)
    total = await _count(database, match) if few is None else len(few)
    if offset >= total:
        return Found((), total)
    sql, parameters = _page(match, standing, sort, descending, few)
    rows = await database.fetch_all(sql, (*parameters, -1 if limit is None else limit, offset))
    return Found(tuple(row[0] for row in rows), total)


async def find_repositories(
    database: Database,
    query: Query,
    now: datetime,
    standing: Standing = NOTHING_DECIDED,
    *,
    sort: str = "name",
    descending: bool = False,
) -> list[RepositoryView]:
    """The repositories in which a query finds anything, with what it finds in them.

    Args:
        sort: one of `REPOSITORY_SORTS`.

    Raises:
        UsageError: no such order, or the query asks for what is not known.
        StoreError: the database cannot be read.
    """
    if sort not in REPOSITORY_SORTS:
        raise UsageError("sort", f"{sort!r} is not known", f"use one of {', '.join(REPOSITORY_SORTS)}")
    match = await _match(database, query, now, standing)
    rows = await _grouped(
        database, match, "shelf, count(*) AS tags, sum(gone) AS gone, max(changed) AS changed, max(sort_key) AS newest"
    )
    if not rows:
        return []
    shelves = {
        row["id"]: row for row in await database.fetch_all("SELECT id, repository, type, framework FROM shelf")
    }  # fmt: skip
    places = {
        row["id"]: row for row in await database.fetch_all("SELECT id, registry, host, name FROM repository")
    }  # fmt: skip
    marked = await _marked(database, query, now, standing)
    by_repository: dict[int, list[sqlite3.Row]] = {}
    for row in rows:
        by_repository.setdefault(shelves[row["shelf"]]["repository"], []).append(row)
    found = [
        _repository_view(places[number], held, shelves, marked[number], asked=standing.running is not None)
        for number, held in by_repository.items()
    ]  # fmt: skip
    found.sort(key=lambda view: (view.registry, view.name))
    if sort != "name" or descending:
        found.sort(key=REPOSITORY_SORTS[sort], reverse=descending)
    return found


async def bring_index_up(transaction: Transaction) -> None:
    """Index the texts that were added since; does nothing where SQLite has no full-text index.

    What is not indexed yet is found all the same, by looking it through.
    """
    row = await transaction.fetch_one(
        f"SELECT (SELECT max(id) FROM search_text) AS last, reaches, {_ABLE} FROM search_index"
    )
    if row is None or not row["able"] or row["last"] is None or row["last"] <= row["reaches"]:
        return
    await transaction.execute(
        "CREATE VIRTUAL TABLE IF NOT EXISTS search_words USING fts5"
        " (text, content = 'search_text', content_rowid = 'id', tokenize = 'trigram')"
    )
    await transaction.execute(
        "INSERT INTO search_words (rowid, text) SELECT id, text FROM search_text WHERE id > ? AND id <= ?",
        (row["reaches"], row["last"]),
    )
    await transaction.execute("UPDATE search_index SET reaches = ?", (row["last"],))


async def vocabulary(database: Database) -> dict[str, tuple[str, ...]]:
    """What the library holds of the values that terms name, by key, for completion and for telling what is not known.

    Raises:
        StoreError: the database cannot be read.
    """
    found: dict[str, tuple[str, ...]] = {}
    for key in ("framework", "engine", "family", "parameters", "precision", "licence"):
        rows = await database.fetch_all(f"SELECT DISTINCT {key} FROM shelf WHERE {key} <> '' ORDER BY 1 LIMIT 500")
        found[key] = tuple(row[0] for row in rows)
    rows = await database.fetch_all("SELECT DISTINCT registry FROM repository ORDER BY 1 LIMIT 500")
    found["registry"] = tuple(row[0] for row in rows)
    return found


# ------------------------------------------------------------ statements


async def _match(database: Database, query: Query, now: datetime, standing: Standing) -> Match:
    row = await database.fetch_one(
        "SELECT reaches, (SELECT count(*) FROM sqlite_schema WHERE name = 'search_words') AS made,"
        f" {_ABLE} FROM search_index"
    )
    indexed = int(row["reaches"]) if row is not None and row["made"] and row["able"] else None
    facts = Facts(
        states=standing.states, running=standing.running, only=standing.only,
        now=int(now.astimezone(UTC).timestamp()), indexed=indexed,
    )  # fmt: skip
    return matching(query, facts)


async def _few(database: Database, match: Match) -> list[int] | None:
    """The numbers of all entries that were found, in no order; None: they are too many to be sorted by themselves."""
    sql = " UNION ALL ".join(f"SELECT id FROM entry{_how(match)} WHERE {arm}" for arm in match.arms)
    rows = await database.fetch_all(*match.statement(f"{sql} LIMIT {_FEW + 1}"))
    return None if len(rows) > _FEW else [row[0] for row in rows]


async def _count(database: Database, match: Match) -> int:
    counts = " + ".join(f"(SELECT count(*) FROM entry{_how(match)} WHERE {arm})" for arm in match.arms)
    rows = await database.fetch_all(*match.statement(f"SELECT {counts}"))
    return int(rows[0][0])


def _how(match: Match) -> str:
    return " NOT INDEXED" if match.by_scan else ""


async def _grouped(database: Database, match: Match, columns: str) -> list[sqlite3.Row]:
    """The shelves on which anything was found, with the columns; one that several arms find comes once for each."""
    rows: list[sqlite3.Row] = []
    for arm in match.arms:
        sql = f"SELECT {columns} FROM entry WHERE {arm} GROUP BY shelf"
        rows += await database.fetch_all(*match.statement(sql))
    return rows


def _page(
    match: Match, standing: Standing, sort: str, descending: bool, few: list[int] | None
) -> tuple[str, tuple[SqlValue, ...]]:
    up, down = ("DESC", "ASC") if descending else ("ASC", "DESC")
    ranks, ranked = _ranks(standing) if sort == "state" else ("", ())
    match = msgspec.structs.replace(match, tables=(*match.tables, *ranked))
    order = [term.format(up=up, down=down, ranks=ranks) for term in _ORDERS[sort]]
    where, tables = match.condition, "entry"
    if sort != "name":
        order += _ALIKE
    if few is not None:
        found = "few(id) AS MATERIALIZED (SELECT value FROM json_each(?))"
        match = Match((*ranked, (found, (msgspec.json.encode(few).decode(),))), "", (), by_scan=False)
        where = "entry.id IN (SELECT id FROM few)"
        if sort == "name":
            tables = "entry JOIN repository ON repository.id = entry.repository"
    elif sort == "name":
        tables = _IN_ORDER
    if sort in {"type", "framework"}:
        tables += " JOIN shelf ON shelf.id = entry.shelf"
    return match.statement(f"SELECT entry.id FROM {tables} WHERE {where} ORDER BY {', '.join(order)} LIMIT ? OFFSET ?")


def _ranks(standing: Standing) -> tuple[str, tuple[Table, ...]]:
    """The cases of an expression that ranks entries by their state, and the tables that it uses."""
    decided = [state for state in ImageState if state is not ImageState.CANDIDATE]
    tables = tuple(
        entries_of(f"is_{state.value}", [digest for digest, of in standing.states.items() if of is state])
        for state in decided
    )
    cases = (
        f" WHEN entry.id IN (SELECT id FROM is_{state.value}) THEN {rank}" for rank, state in enumerate(decided, 1)
    )  # fmt: skip
    return "".join(cases), tables


# ------------------------------------------------------------ repositories


async def _marked(database: Database, query: Query, now: datetime, standing: Standing) -> dict[int, Counter[str]]:
    """By number of a repository, how many of the tags that were found are approved, decided on, and run."""
    states, running = standing.states, standing.running or {}
    digests = frozenset(states) | frozenset(running)
    if standing.only is not None:
        digests &= standing.only
    found: dict[int, Counter[str]] = defaultdict(Counter)
    if not digests:
        return found
    match = await _match(database, query, now, msgspec.structs.replace(standing, only=digests))
    sql = f"SELECT repository, digest, count(*) FROM entry WHERE {match.arms[0]} GROUP BY 1, 2"
    for repository, digest, tags in await database.fetch_all(*match.statement(sql)):
        state = states.get(digest, ImageState.CANDIDATE)
        found[repository]["approved"] += tags * (state is ImageState.APPROVED)
        found[repository]["decided"] += tags * (state is not ImageState.CANDIDATE)
        found[repository]["running"] += tags * (digest in running)
    return found


def _repository_view(
    place: sqlite3.Row,
    held: Sequence[sqlite3.Row],
    shelves: Mapping[int, sqlite3.Row],
    marked: Counter[str],
    *,
    asked: bool,
) -> RepositoryView:
    tags = sum(row["tags"] for row in held)
    of = [shelves[row["shelf"]] for row in held]
    return RepositoryView(
        registry=place["registry"],
        host=place["host"],
        name=place["name"],
        tags=tags,
        approved=marked["approved"],
        waiting=tags - marked["decided"],
        gone=sum(row["gone"] for row in held),
        running=marked["running"] if asked else None,
        newest=_tag_of(max(row["newest"] for row in held)),
        changed_at=datetime.fromtimestamp(max(row["changed"] for row in held), UTC),
        types=tuple(sorted({shelf["type"] for shelf in of})),
        frameworks=tuple(sorted({shelf["framework"] for shelf in of})),
    )


def _tag_of(sort_key: str) -> str:
    """The tag that `backend.library.versions.order_key` made a key of: no tag holds an exclamation mark."""
    return sort_key[1:] if sort_key.startswith("0") else sort_key.rpartition("!")[2]
