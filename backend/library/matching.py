"""A query as conditions in SQL; pure.

All values stand in common table expressions, so that a condition can be used several times in a statement. What words
and most terms mean is found among the few texts and shelves first; entries are then reached by their shelf or name.
"""

# Names of tables and columns are of this file; what a person typed is never part of a statement.
# ruff: noqa: S608

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from backend.core.errors import UsageError
from backend.core.views import ImageState
from backend.library.query import Query, Term, is_digest_prefix, name_and_digest
from backend.store.connection import SqlValue

_SHORTEST_INDEXED: Final = 3
#: After every digest that begins with what stands before it: "g" follows the last hexadecimal digit.
_BEYOND: Final = "g"

_SHELVES: Final = "SELECT shelf.id FROM shelf JOIN repository ON repository.id = shelf.repository"

#: A common table expression and its parameters.
Table: TypeAlias = tuple[str, tuple[SqlValue, ...]]


class Match(msgspec.Struct, frozen=True):
    """Conditions on `entry`.

    Attributes:
        tables: that the conditions use, with their parameters.
        condition: holds of what was found.
        arms: conditions that exclude each other and together mean the same, each of which an index answers.
        by_scan: reading all entries is no slower than the arms.
    """

    tables: tuple[Table, ...]
    condition: str
    arms: tuple[str, ...]
    by_scan: bool

    def statement(self, sql: str, parameters: Sequence[SqlValue] = ()) -> tuple[str, tuple[SqlValue, ...]]:
        """A statement that uses the conditions, and its parameters.

        Args:
            parameters: of `sql` itself.
        """
        if not self.tables:
            return sql, tuple(parameters)
        before = "WITH " + ", ".join(table for table, _ in self.tables)
        return f"{before} {sql}", (*(value for _, values in self.tables for value in values), *parameters)


class Facts(msgspec.Struct, frozen=True):
    """What a query is held against beside the entries.

    Attributes:
        states: by digest, of those that were decided on.
        running: by digest, how many services run it; None: not known.
        only: of these digests alone; None: of all.
        now: seconds since 1970.
        indexed: up to which text the full-text index reaches; None: there is none.
    """

    states: Mapping[str, ImageState] = {}
    running: Mapping[str, int] | None = None
    only: frozenset[str] | None = None
    now: int = 0
    indexed: int | None = None


class _Piece(msgspec.Struct, frozen=True):
    """What a term means.

    Attributes:
        condition: on an entry.
        shelves: the table of shelves all of whose entries meet it; empty: none does so as a whole.
        names, ids: selects of texts of tags, and of numbers of entries, among which all others are that meet it.
        plain: to be on one of the shelves or to have one of the names is all that it means.
        tables: that these use.
    """

    condition: str
    shelves: str = ""
    names: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    plain: bool = False
    tables: tuple[Table, ...] = ()

    @property
    def leads(self) -> bool:
        """Whether what meets it can be found without reading all entries."""
        return bool(self.shelves or self.names or self.ids)


def matching(query: Query, facts: Facts) -> Match:
    """The query as conditions.

    Raises:
        UsageError: it asks for what runs, and that is not known.
    """
    alone = len(query.terms) == 1
    pieces = [(_piece(term, f"t{number}", facts, alone), term.negated) for number, term in enumerate(query.terms)]
    if facts.only is not None:
        pieces.append((_of_digests("only", facts.only), False))
    tables = [table for piece, _ in pieces for table in piece.tables]
    conditions = [
        f"({piece.condition}) IS NOT TRUE" if negated else f"({piece.condition})" for piece, negated in pieces
    ]
    leading = [piece for piece, negated in pieces if piece.leads and not negated]
    if not leading:
        condition = " AND ".join(conditions) or "TRUE"
        return Match(tuple(tables), condition, (condition,), by_scan=True)
    rest = [
        text for (piece, negated), text in zip(pieces, conditions, strict=True) if negated or not piece.leads
    ]  # fmt: skip
    if all(piece.shelves for piece in leading):
        shelves = " INTERSECT ".join(f"SELECT id FROM {piece.shelves}" for piece in leading)
        tables.append((f"shelves(id) AS MATERIALIZED ({shelves})", ()))
    return Match(tuple(tables), " AND ".join(conditions), _arms(leading, conditions, rest), by_scan=False)


def _arms(leading: Sequence[_Piece], conditions: Sequence[str], rest: Sequence[str]) -> tuple[str, ...]:
    """Conditions by shelves, by names and by numbers, each without what those before it find."""
    arms: list[str] = []
    before: list[str] = []
    # An entry that no shelf brings in has to come from the term that no shelf meets, or else from any of them.
    alone = next((piece for piece in leading if not piece.shelves), None)
    sources = leading if alone is None else (alone,)
    if alone is None:
        arms.append(" AND ".join(["entry.shelf IN (SELECT id FROM shelves)", *rest]))
        before.append("+entry.shelf NOT IN (SELECT id FROM shelves)")
    if names := " UNION ".join(one for piece in sources for one in piece.names):
        told = rest if len(leading) == 1 and leading[0].plain else conditions
        arms.append(" AND ".join([f"entry.name IN ({names})", *before, *told]))
        before.append(f"+entry.name NOT IN ({names})")
    if ids := " UNION ".join(one for piece in sources for one in piece.ids):
        arms.append(" AND ".join([f"entry.id IN ({ids})", *before, *conditions]))
    return tuple(arms)


def _piece(term: Term, name: str, facts: Facts, alone: bool) -> _Piece:
    if not term.key:
        word = term.values[0]
        if (pinned := name_and_digest(word)) is not None:
            return _pinned(*pinned, name, facts)
        # One or two characters with a digit or sign are in so many tags that they lead nowhere.
        if len(word) >= _SHORTEST_INDEXED or word.isalpha():
            return _word(word, name, facts)
        if alone:
            return _short_word(word, name)
        found = _word(word, name, facts)
        return _Piece(found.condition, tables=found.tables)
    if term.key in _OF_SHELVES:
        return _of_shelves(name, *_OF_SHELVES[term.key](term.values))
    return _OF_ENTRIES[term.key](term, name, facts)


# ------------------------------------------------------------ words


def _word(word: str, name: str, facts: Facts) -> _Piece:
    texts, shelves = f"{name}_texts", f"{name}_shelves"
    tables = [
        _texts_with(texts, word, facts.indexed),
        (
            f"{shelves}(id) AS MATERIALIZED ({_SHELVES}"
            f" WHERE repository.text IN (SELECT id FROM {texts}) OR shelf.text IN (SELECT id FROM {texts}))",
            (),
        ),
    ]
    conditions = [
        f"+entry.shelf IN (SELECT id FROM {shelves})", f"+entry.name IN (SELECT id FROM {texts})",
    ]  # fmt: skip
    names, ids = [f"SELECT id FROM {texts}"], []
    if is_digest_prefix(word):
        tables.append(_beginning_so(f"{name}_digests", word))
        conditions.append(f"+entry.id IN (SELECT id FROM {name}_digests)")
        ids.append(f"SELECT id FROM {name}_digests")
    repository, colon, tag = word.rpartition(":")
    if colon and repository and tag:
        tables += _name_and_tag(name, repository, tag)
        conditions.append(
            f"+entry.shelf IN (SELECT id FROM {name}_left) AND +entry.name IN (SELECT id FROM {name}_right)"
        )
        names.append(f"SELECT id FROM {name}_right")
    return _Piece(
        " OR ".join(conditions), shelves, tuple(names), tuple(ids), plain=len(conditions) == 2, tables=tuple(tables)
    )


def _pinned(repository: str, digest: str, name: str, facts: Facts) -> _Piece:
    """A reference with its digest: few entries have that, and of those the name has to be right."""
    found = _numbered(f"{name}_pinned", _beginning_so(f"{name}_pinned", digest))
    if not repository:
        return found
    called = _word(repository, name, facts)
    return _Piece(
        f"({called.condition}) AND ({found.condition})", ids=found.ids, tables=(*called.tables, *found.tables)
    )


def _short_word(word: str, name: str) -> _Piece:
    """One or two characters by themselves: so many tags hold them that each is best looked at itself."""
    shelves = (
        f"{name}_shelves(id) AS MATERIALIZED ({_SHELVES} JOIN search_text AS called ON called.id = repository.text"
        " JOIN search_text AS told ON told.id = shelf.text WHERE instr(called.text, ?) OR instr(told.text, ?))"
    )
    return _Piece(
        f"+entry.shelf IN (SELECT id FROM {name}_shelves) OR instr(lower(entry.tag), (SELECT word FROM {name}_word))",
        tables=((shelves, (word, word)), (f"{name}_word(word) AS (VALUES (?))", (word,))),
    )


def _texts_with(name: str, word: str, indexed: int | None) -> Table:
    """The texts that hold a word: by the index, and what it does not reach by looking it through."""
    if indexed is None or len(word) < _SHORTEST_INDEXED:
        return f"{name}(id) AS MATERIALIZED (SELECT id FROM search_text WHERE instr(text, ?))", (word,)
    phrase = '"' + word.replace('"', '""') + '"'
    return (
        f"{name}(id) AS MATERIALIZED (SELECT rowid FROM search_words WHERE search_words MATCH ?"
        " UNION ALL SELECT id FROM search_text WHERE id > ? AND instr(text, ?))",
        (phrase, indexed, word),
    )


def _name_and_tag(name: str, repository: str, tag: str) -> list[Table]:
    """The shelves of repositories whose names end so, and the texts that begin so: for `llama:1.8`."""
    left = (
        f"{name}_left(id) AS MATERIALIZED ({_SHELVES} JOIN search_text ON search_text.id = repository.text"
        " WHERE instr(search_text.text || ' ', ?))"
    )
    return [(left, (f"{repository} ",)), _texts_like(f"{name}_right", [_pattern(tag, open_end=True)])]


def _texts_like(name: str, patterns: Sequence[str]) -> Table:
    tests = " OR ".join("text GLOB ?" for _ in patterns)
    return f"{name}(id) AS MATERIALIZED (SELECT id FROM search_text WHERE {tests})", tuple(patterns)


# ------------------------------------------------------------ terms that whole shelves meet

_ShelfTest = tuple[str, tuple[SqlValue, ...]]


def _of_shelves(name: str, test: str, parameters: tuple[SqlValue, ...]) -> _Piece:
    table = f"{name}(id) AS MATERIALIZED ({_SHELVES} WHERE {test})"
    return _Piece(f"+entry.shelf IN (SELECT id FROM {name})", name, plain=True, tables=((table, parameters),))


def _like(*columns: str) -> Callable[[Sequence[str]], _ShelfTest]:
    """Columns that begin with one of the values, or fit it where it has wildcards."""

    def test(values: Sequence[str]) -> _ShelfTest:
        tests = " OR ".join(f"lower({column}) GLOB ?" for _ in values for column in columns)
        return tests, tuple(_pattern(value, open_end=True) for value in values for _ in columns)

    return test


def _holding(column: str) -> Callable[[Sequence[str]], _ShelfTest]:
    """A column that holds one of the values, or fits it where it has wildcards."""

    def test(values: Sequence[str]) -> _ShelfTest:
        tests = " OR ".join(f"lower({column}) GLOB ?" for _ in values)
        return tests, tuple(_pattern(value, open_start=True, open_end=True) for value in values)

    return test


def _one_of(column: str) -> Callable[[Sequence[str]], _ShelfTest]:
    def test(values: Sequence[str]) -> _ShelfTest:
        return f"{column} IN ({', '.join('?' for _ in values)})", tuple(values)

    return test


def _pattern(value: str, *, open_start: bool = False, open_end: bool = False) -> str:
    """A value as SQLite's GLOB has it; with wildcards of its own it has to fit from end to end."""
    pattern = value.replace("[", "[[]")
    if "*" in value or "?" in value:
        return pattern
    return ("*" if open_start else "") + pattern + ("*" if open_end else "")


_OF_SHELVES: Final[Mapping[str, Callable[[Sequence[str]], _ShelfTest]]] = {
    "type": _one_of("shelf.type"),
    "kind": _one_of("shelf.kind"),
    "framework": _like("shelf.framework"),
    "engine": _like("shelf.engine"),
    "family": _like("shelf.family"),
    "parameters": _like("shelf.parameters"),
    "precision": _like("shelf.precision"),
    "licence": _holding("shelf.licence"),
    "platform": _holding("shelf.platforms"),
    "registry": _like("repository.registry", "repository.host"),
    "repo": _holding("repository.name"),
}


# ------------------------------------------------------------ terms that single entries meet


def _tag(term: Term, name: str, _: Facts) -> _Piece:
    table = _texts_like(name, [_pattern(value, open_end=True) for value in term.values])
    names = f"SELECT id FROM {name}"
    return _Piece(f"+entry.name IN ({names})", names=(names,), plain=True, tables=(table,))


def _digest(term: Term, name: str, _: Facts) -> _Piece:
    return _numbered(name, _beginning_so(name, term.values[0]))


def _beginning_so(name: str, digits: str) -> Table:
    starts = [digits] if ":" in digits else [f"sha256:{digits}", f"sha512:{digits}"]
    tests = " OR ".join("(digest >= ? AND digest < ?)" for _ in starts)
    return (
        f"{name}(id) AS MATERIALIZED (SELECT id FROM entry WHERE {tests})",
        tuple(value for start in starts for value in (start, f"{start}{_BEYOND}")),
    )


def _rule(term: Term, name: str, _: Facts) -> _Piece:
    patterns = tuple(_pattern(value, open_end=True) for value in term.values)
    tables = tuple((f"{name}_{number}(rule) AS (VALUES (?))", (one,)) for number, one in enumerate(patterns))
    tests = (f"lower(entry.rule) GLOB (SELECT rule FROM {name}_{number})" for number in range(len(patterns)))
    return _Piece(" OR ".join(tests), tables=tables)


def _state(term: Term, name: str, facts: Facts) -> _Piece:
    wanted = {ImageState(value) for value in term.values}
    if ImageState.CANDIDATE not in wanted:
        return _of_digests(name, (digest for digest, state in facts.states.items() if state in wanted))
    others = [digest for digest, state in facts.states.items() if state not in wanted]
    return _without_digests(name, others)


def _approved(term: Term, name: str, facts: Facts) -> _Piece:
    approved = [digest for digest, state in facts.states.items() if state is ImageState.APPROVED]
    return _of_digests(name, approved) if term.values == ("yes",) else _without_digests(name, approved)


def _running(term: Term, name: str, facts: Facts) -> _Piece:
    if facts.running is None:
        raise UsageError(
            "filter", "running: cannot be told, no cluster was heard", "see modelyard doctor, or leave running: out"
        )
    return _of_digests(name, facts.running) if term.values == ("yes",) else _without_digests(name, facts.running)


def _size(term: Term, _: str, __: Facts) -> _Piece:
    return _Piece(f"entry.size {term.operator} {term.amount:d}")


def _moved(term: Term, _: str, facts: Facts) -> _Piece:
    return _Piece(f"entry.moved >= {facts.now - term.amount:d}")


def _new(term: Term, _: str, facts: Facts) -> _Piece:
    return _Piece(f"entry.first_seen >= {facts.now - term.amount:d}")


def _gone(term: Term, _: str, __: Facts) -> _Piece:
    return _Piece(f"entry.gone = {term.values == ('yes',):d}")


def _of_digests(name: str, digests: Iterable[str]) -> _Piece:
    return _numbered(name, entries_of(name, digests))


def _without_digests(name: str, digests: Iterable[str]) -> _Piece:
    return _Piece(f"+entry.id NOT IN (SELECT id FROM {name})", tables=(entries_of(name, digests),))


def entries_of(name: str, digests: Iterable[str]) -> Table:
    """A table of the entries that name any of the digests now."""
    return (
        f"{name}(id) AS MATERIALIZED (SELECT id FROM entry WHERE digest IN (SELECT value FROM json_each(?)))",
        (json.dumps(list(digests)),),
    )


def _numbered(name: str, table: Table) -> _Piece:
    return _Piece(f"+entry.id IN (SELECT id FROM {name})", ids=(f"SELECT id FROM {name}",), tables=(table,))


_OF_ENTRIES: Final[Mapping[str, Callable[[Term, str, Facts], _Piece]]] = {
    "tag": _tag, "digest": _digest, "rule": _rule, "state": _state, "approved": _approved, "running": _running,
    "size": _size, "moved": _moved, "new": _new, "gone": _gone,
}  # fmt: skip
