"""The language that the library is searched in: words, and terms such as `type:chat size:<20GB`; pure.

A word has to occur in the reference (`registry/repository:tag`, with the registry's name or its host), in what the
image is, in the first words of its labels, or be the beginning of its digest; of `repository@digest` both parts have
to hold. A term is `key:value`; all must hold.
Quotes keep spaces together, `-` in front turns a word or term round.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final

import msgspec

from backend.core.errors import UsageError
from backend.core.settings import parse_duration
from backend.core.views import CompletionView, ImageState

KINDS: Final = ("image", "index", "modelpack", "kitops", "docker-model", "modelcar", "artifact")
TYPES: Final = (
    "chat", "completion", "embedding", "reranking", "image-embedding", "ocr", "vision", "moderation", "generic",
)  # fmt: skip
STATES: Final = tuple(state.value for state in ImageState)
FRAMEWORKS: Final = (
    "nim", "vllm", "triton", "sglang", "tgi", "tei", "tensorrt-llm", "llama.cpp", "ollama", "unknown",
)  # fmt: skip
ENGINES: Final = ("vllm", "tensorrt-llm", "sglang", "tgi", "tei", "onnxruntime", "llama.cpp", "unknown")
_YES_NO: Final = ("yes", "no")
_DURATIONS: Final = ("1d", "7d", "30d")
_SIZES: Final = ("<5GB", "<20GB", ">50GB")
#: What each key may be given; a key without a list takes any text.
VALUES: Final[Mapping[str, tuple[str, ...]]] = {
    "type": TYPES, "framework": FRAMEWORKS, "engine": ENGINES, "registry": (), "repo": (), "tag": (), "kind": KINDS,
    "state": STATES, "approved": _YES_NO, "size": _SIZES, "moved": _DURATIONS, "new": _DURATIONS, "gone": _YES_NO,
    "platform": ("linux/amd64", "linux/arm64"), "licence": (), "family": (), "parameters": (), "precision": (),
    "digest": (), "rule": (), "running": _YES_NO,
}  # fmt: skip
_ALIASES: Final = {"repository": "repo", "license": "licence", "params": "parameters"}
_CHOICES: Final = {"reranker": "reranking", "rerank": "reranking", "embed": "embedding"}
#: Keys that take one of a fixed list of values; others take what the library may hold beyond what we know of.
_CLOSED: Final = frozenset({"type", "kind", "state"})
_SAMPLES: Final = {
    "registry": "registry:ngc", "repo": "repo:llama", "tag": "tag:1.8", "licence": "licence:apache",
    "family": "family:llama", "parameters": "parameters:70b", "precision": "precision:fp8", "digest": "digest:0a1b2c",
    "rule": "rule:nim-llama", "framework": "framework:vllm", "engine": "engine:vllm", "platform": "platform:arm64",
}  # fmt: skip
_KEY: Final = re.compile(r"([a-zA-Z]+):")
_SIZE: Final = re.compile(r"(<=|>=|<|>|=)\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\Z", re.IGNORECASE)
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_HEX: Final = re.compile(r"(?:sha(?:256|512):)?[0-9a-f]{6,128}\Z")
_HEX_ONLY: Final = re.compile(r"(?:sha(?:256|512):)?[0-9a-f]+\Z")
_ESCAPED_PORT: Final = re.compile(r"\d+(?:/|\Z)")
#: Longer queries are typed by nobody.
LONGEST: Final = 2000
_MOST_TERMS: Final = 32
_LARGEST: Final = 2**62
_LONGEST_DURATION: Final = timedelta(days=36500)


class Term(msgspec.Struct, frozen=True):
    """One thing that must hold of an image, or with `negated` must not.

    Attributes:
        key: of `VALUES`; empty for a word.
        values: any of them, in lower case; for `size`, `moved` and `new` empty.
        operator: of `size`: <, <=, >, >= or =.
        amount: bytes of `size`; seconds of `moved` and `new`.
    """

    key: str
    values: tuple[str, ...] = ()
    negated: bool = False
    operator: str = ""
    amount: int = 0


class Query(msgspec.Struct, frozen=True):
    """What is searched for: all of the terms must hold. None: everything is found."""

    terms: tuple[Term, ...] = ()

    def asks(self, *keys: str) -> bool:
        """Whether any term has one of the keys."""
        return any(term.key in keys for term in self.terms)


class _Piece(msgspec.Struct, frozen=True):
    """A part of a query as it was written, from `start` to `end`; `text` without quotes and sign."""

    start: int
    end: int
    text: str
    negated: bool
    key: str = ""


def parse(text: str) -> Query:
    """Read a query. What cannot be printed counts as a space.

    Raises:
        UsageError: a term is not understood; it tells what to write instead.
    """
    text = "".join(character if character.isprintable() else " " for character in text)
    if len(text) > LONGEST:
        raise UsageError("filter", f"it is longer than {LONGEST} characters", "write less")
    terms = [term for piece in _pieces(text) for term in _terms(piece)]
    if len(terms) > _MOST_TERMS:
        raise UsageError("filter", f"it has more than {_MOST_TERMS} terms", "write fewer")
    return Query(tuple(terms))


def words_of(query: Query) -> tuple[str, ...]:
    """The words of a query that must occur, for marking them where results are shown."""
    words = (term.values[0] for term in query.terms if not term.key and not term.negated)
    return tuple(word if (pinned := name_and_digest(word)) is None else pinned[0] or pinned[1] for word in words)


def names_one_of(value: str, known: Sequence[str]) -> bool:
    """Whether a term's value names any of what is known: its beginning, or all of it where it has wildcards."""
    if "*" in value or "?" in value:
        return any(fnmatch.fnmatchcase(one.lower(), value.replace("[", "[[]")) for one in known)
    return any(one.lower().startswith(value) for one in known)


def is_digest_prefix(word: str) -> bool:
    """Whether a word may be the beginning of a digest: six hexadecimal digits or more, with or without `sha256:`."""
    return _HEX.match(word) is not None


def name_and_digest(word: str) -> tuple[str, str] | None:
    """The two parts of `registry/repository:tag@sha256:...`, of which the first may be empty; None: it is no such word.

    The digest may be no more than the beginning of one.
    """
    name, at, digest = word.rpartition("@")
    return (name, digest) if at and is_digest_prefix(digest) else None


def completions(
    text: str, cursor: int, vocabulary: Mapping[str, Sequence[str]] | None = None
) -> tuple[CompletionView, ...]:
    """What the term at the cursor could become: keys, or the values of its key.

    Args:
        cursor: position in the text, from 0.
        vocabulary: by key, what the library holds beyond the known values, such as names of registries.
    """
    cursor = max(0, min(cursor, len(text)))
    start = max((text.rfind(space, 0, cursor) for space in " \t"), default=-1) + 1
    typed = text[start:cursor]
    if typed.startswith("-"):
        start, typed = start + 1, typed[1:]
    typed = typed.lower()
    key, colon, value = typed.partition(":")
    if not colon:
        return tuple(
            CompletionView(start=start, end=cursor, text=f"{name}:", hint=_hint(name))
            for name in VALUES if name.startswith(typed)
        )  # fmt: skip
    key = _ALIASES.get(key, key)
    if key not in VALUES:
        return ()
    *before, last = value.split(",")
    kept = "".join(f"{one}," for one in before)
    known = dict.fromkeys((*VALUES[key], *(vocabulary or {}).get(key, ())))
    return tuple(
        CompletionView(start=start, end=cursor, text=f"{key}:{kept}{_quoted(one)}")
        for one in known if one.lower().startswith(last) and one not in before
    )  # fmt: skip


def _hint(key: str) -> str:
    known = VALUES[key]
    return ", ".join(known[:4]) if known else _SAMPLES[key]


def _quoted(value: str) -> str:
    return f'"{value}"' if re.search(r"\s", value) else value


def _pieces(text: str) -> list[_Piece]:
    """Take a query apart at its spaces.

    Raises:
        UsageError: a quote is not closed, or a `-` turns nothing round.
    """
    found: list[_Piece] = []
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        start = position
        negated = text[position] == "-"
        position += negated
        key = ""
        if match := _KEY.match(text, position):
            key = match.group(1)
            position = match.end()
        told, position = _value(text, position)
        if negated and not key and not told.strip():
            raise UsageError(
                "filter", "a - by itself leaves nothing out", 'write -word or -type:chat, or "-" for itself'
            )
        found.append(_Piece(start, position, told, negated, key))
    return found


def _value(text: str, position: int) -> tuple[str, int]:
    """What stands up to the next space outside quotes, without the quotes, and where it ends.

    Raises:
        UsageError: a quote is not closed.
    """
    told: list[str] = []
    quoted = False
    while position < len(text) and (quoted or not text[position].isspace()):
        if text[position] == '"':
            quoted = not quoted
        else:
            told.append(text[position])
        position += 1
    if quoted:
        raise UsageError("filter", "a quote is not closed", f'write "{"".join(told).strip() or "two words"}"')
    return "".join(told), position


def _terms(piece: _Piece) -> tuple[Term, ...]:
    value = piece.text.casefold().strip()
    if not piece.key:
        return _word(value, piece.negated)
    key = piece.key.lower()
    if _is_name_and_tag(key, value):
        return _word(f"{key}:{value}", piece.negated)
    key = _ALIASES.get(key, key)
    if key not in VALUES:
        close = difflib.get_close_matches(key, VALUES, 1)
        instead = f"write {close[0]}:" if close else f"keys are {', '.join(VALUES)}"
        raise UsageError(
            "filter", f"{piece.key}: is not known", f'{instead}, or "{piece.key}:..." in quotes to look for that text'
        )
    if not value:
        raise _not_understood(key, value)
    reader = _READERS.get(key, _texts)
    return (reader(key, value, piece.negated),)


def _word(value: str, negated: bool) -> tuple[Term, ...]:
    return (Term("", (value,), negated),) if value else ()


def _is_name_and_tag(key: str, value: str) -> bool:
    """Whether `host:port/...` was meant and not a key."""
    return key == "localhost" and _ESCAPED_PORT.match(value) is not None


def _texts(key: str, value: str, negated: bool) -> Term:
    values = tuple(dict.fromkeys(_CHOICES.get(one, one) for part in value.split(",") if (one := part.strip())))
    if not values:
        raise _not_understood(key, "")
    if key in _CLOSED:
        for one in values:
            if one not in VALUES[key]:
                raise _not_understood(key, one)
    return Term(key, values, negated)


def _flag(key: str, value: str, negated: bool) -> Term:
    if value not in _YES_NO:
        raise _not_understood(key, value)
    return Term(key, (value,), negated)


def _size(key: str, value: str, negated: bool) -> Term:
    match = _SIZE.match(value)
    if match is None:
        raise UsageError("filter", f"{key}:{value} is not understood", "write size:<20GB, size:>1.5GiB or size:<=500MB")
    operator, number, power, binary = match.groups()
    amount = float(number) * (1024 if binary else 1000) ** _POWERS[power.lower()]
    return Term(key, (), negated, operator, int(min(amount, _LARGEST)))


def _since(key: str, value: str, negated: bool) -> Term:
    try:
        duration = parse_duration(value)
    except (ValueError, OverflowError):
        duration = timedelta(0)
    if not timedelta(0) < duration <= _LONGEST_DURATION:
        raise UsageError(
            "filter", f"{key}:{value} is not understood", f"write {key}:7d, with m, h, d or w, for what is {key} since"
        )
    return Term(key, (), negated, "", max(1, int(duration.total_seconds())))


def _digest(key: str, value: str, negated: bool) -> Term:
    if not _HEX_ONLY.match(value):
        raise UsageError("filter", f"{key}:{value} is not understood", "write its first hexadecimal digits")
    return Term(key, (value,), negated)


def _not_understood(key: str, value: str) -> UsageError:
    known = VALUES[key]
    if not value:
        told = ", ".join(f"{key}:{one}" for one in known[:4]) or _SAMPLES[key]
        return UsageError("filter", f"{key}: has no value", f"write {told}")
    close = difflib.get_close_matches(value, known, 1)
    instead = f"{key}:{close[0]}" if close else f"{key}: with {', '.join(known)}"
    return UsageError("filter", f"{key}:{value} is not known", f"write {instead}")


_READERS: Final[Mapping[str, Callable[[str, str, bool], Term]]] = {
    "approved": _flag, "gone": _flag, "running": _flag, "size": _size, "moved": _since, "new": _since,
    "digest": _digest,
}  # fmt: skip
