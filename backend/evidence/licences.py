"""Licences as SPDX expressions (SPDX 2.3, annex D), and whether a list allows them.

An expression is kept as a small tree of JSON, so that judging it needs no parser: a licence is a string, and
`["AND", ...]` or `["OR", ...]` holds its operands. Text that is no expression is one licence under its own name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from typing import Any, Final, TypeAlias

import msgspec
from license_expression import ExpressionError, Licensing, get_spdx_licensing

from backend.evidence.decoding import clean

Tree: TypeAlias = "str | list[Any]"

_TEXT_LIMIT: Final = 2_000
_MOST_OPERANDS: Final = 200
# SPDX 2.3, 7.13 and 7.15: nobody claims a licence, which is not the same as claiming that there is none to mind.
_NO_CLAIM: Final = frozenset({"", "NOASSERTION", "NONE"})
# Names that package registries and model hubs write where an SPDX identifier is meant.
_ALIASES: Final = {
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "mit license": "MIT",
    "the mit license": "MIT",
    "bsd 3-clause": "BSD-3-Clause",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "gpl-2": "GPL-2.0-only",
    "gpl-2+": "GPL-2.0-or-later",
    "gpl-3": "GPL-3.0-only",
    "gpl-3+": "GPL-3.0-or-later",
    "lgpl-2.1": "LGPL-2.1-only",
    "lgpl-2.1+": "LGPL-2.1-or-later",
    "python software foundation license": "PSF-2.0",
}


class Licence(msgspec.Struct, frozen=True, kw_only=True):
    """A licence statement.

    Attributes:
        expression: in SPDX's normal form, or the text as found where it is none.
        tree: the same, to be judged.
        recognised: every name in it is SPDX's own or a `LicenseRef-`.
    """

    expression: str
    tree: Tree
    recognised: bool


@lru_cache(maxsize=4096)
def read_licence(text: str) -> Licence | None:
    """Read a licence statement; None when it claims nothing (`NOASSERTION`, `NONE`, empty)."""
    kept = clean(text, _TEXT_LIMIT).strip()
    if kept.upper() in _NO_CLAIM:
        return None
    kept = _ALIASES.get(kept.casefold(), kept)
    plain = Licence(expression=kept, tree=kept, recognised=False)
    # Each operator takes a name on both sides; the parser's time and depth grow with their number.
    if len(text) > _TEXT_LIMIT or kept.count(" ") + kept.count("(") > _MOST_OPERANDS:
        return plain
    try:
        parsed = _spdx().parse(kept)
    except (ExpressionError, RecursionError, AssertionError, AttributeError, IndexError, TypeError):
        # Text that is no expression is still a licence's name. On unbalanced text the parser stumbles over its own
        # stack instead of saying so.
        return plain
    if parsed is None:
        return plain
    unknown = [key for key in _spdx().unknown_license_keys(parsed) if not _is_own_reference(key)]
    return Licence(expression=parsed.render("{symbol.key}"), tree=_tree(parsed), recognised=not unknown)


def all_of(licences: Iterable[Licence]) -> Licence | None:
    """One statement under which all of these hold at once; None for none."""
    distinct = {licence.expression: licence for licence in licences}
    if not distinct:
        return None
    parts = [distinct[expression] for expression in sorted(distinct)]
    if len(parts) == 1:
        return parts[0]
    return Licence(
        expression=" AND ".join(f"({p.expression})" if isinstance(p.tree, list) else p.expression for p in parts),
        tree=["AND", *(part.tree for part in parts)],
        recognised=all(part.recognised for part in parts),
    )


def refused_names(tree: Tree, allow: Sequence[str], deny: Sequence[str]) -> tuple[str, ...]:
    """The licences in the way of accepting the expression; empty when it is acceptable.

    `AND` needs all its operands, `OR` one of them. With an empty `allow` everything is allowed that is not denied.
    A licence `X WITH E` is matched as a whole and as `X`: an SPDX exception only adds permissions.

    Args:
        tree: of a `Licence`.
        allow, deny: SPDX identifiers, `*` and `?` as in file names, letter case ignored (SPDX 2.3, annex D.2).
    """
    allowed, denied = tuple(allow), tuple(deny)
    if isinstance(tree, str):
        return () if _is_acceptable(tree, allowed, denied) else (tree,)
    return tuple(sorted(set(_refused(tree, allowed, denied))))


def _refused(tree: Tree, allow: tuple[str, ...], deny: tuple[str, ...]) -> list[str]:
    if isinstance(tree, str):
        return [] if _is_acceptable(tree, allow, deny) else [tree]
    parts = [_refused(operand, allow, deny) for operand in tree[1:]]
    if tree[0] == "OR" and any(not part for part in parts):
        return []
    return [name for part in parts for name in part]


@lru_cache(maxsize=65_536)
def _is_acceptable(name: str, allow: tuple[str, ...], deny: tuple[str, ...]) -> bool:
    whole = name.casefold()
    base = whole.partition(" with ")[0]

    def listed(patterns: tuple[str, ...]) -> bool:
        folded = [pattern.casefold() for pattern in patterns]
        return any(fnmatchcase(whole, pattern) or fnmatchcase(base, pattern) for pattern in folded)

    return (not allow or listed(allow)) and not listed(deny)


def _tree(parsed: Any) -> Tree:
    # boolean.py names its operators by their class: AND, OR; everything else is a licence.
    operator = type(parsed).__name__
    if operator in {"AND", "OR"}:
        return [operator, *(_tree(operand) for operand in parsed.args)]
    return str(parsed.render("{symbol.key}"))


def _is_own_reference(key: str) -> bool:
    return key.casefold().startswith(("licenseref-", "documentref-"))


@cache
def _spdx() -> Licensing:
    # Reading the index of licences takes 50 ms: not at import.
    return get_spdx_licensing()
