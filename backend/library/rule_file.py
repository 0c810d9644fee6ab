"""The `[[rule]]` tables of a configuration's text: found, replaced, added and taken out, the rest left byte for byte.

A rule's own lines are the comment directly above its header, its keys and tables, and comments that follow its last
key without an empty line. What an edit makes is read again before anybody gets it, and held against what it was made
of: a text that is written in a way that lines alone do not tell is refused, and never damaged.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from backend.core.canonical import sha256_hex
from backend.core.errors import ConflictError, NotFoundError
from backend.core.toml_lines import key_lines

_EDIT_BY_HAND: Final = "edit the file with an editor of your own"
_LONGEST_DIFFERENCE: Final = 20_000
_TEMPLATE: Final = """\
# What it is for, in a line.
[[rule]]
name = {name}
registry = {registry}
repositories = ["group/*"]         # globs: * stays within a part of a path, ** crosses slashes
#exclude_repositories = ["**/*-dev"]
#tags = {{ versions = ">=1.0" }}     # or {{ glob = ["1.*"] }}, {{ regex = "v[0-9.]+" }}; exclude = ["*-rc*"]
#types = ["chat", "embedding"]
#platforms = ["linux/amd64"]
newest = 20
#max_age = "180d"
#every = "15m"                     # without it the rule runs only when it is asked to
enabled = true
max_new = 500                      # more than this asks first
"""


class _Span(NamedTuple):
    """Lines from `start` up to `end`, which is not of them; counted from 0."""

    start: int
    end: int


def file_hash(data: bytes) -> str:
    """What tells whether a file is still the one that was seen."""
    return f"sha256:{sha256_hex(data)}"


def rule_text(text: str, name: str) -> str:
    """A rule's lines, with their comments.

    Raises:
        NotFoundError: there is no rule of that name. ConflictError: its lines cannot be told from others.
    """
    span = _span_of(text, name)
    return "".join(_lines(text)[span.start : span.end])


def with_rule(text: str, new: str, replaces: str | None) -> str:
    """The text with a rule in place of another, or, where it replaces none, behind the last rule.

    Raises:
        NotFoundError: there is no rule that is to be replaced. ConflictError: the text cannot be edited by lines.
    """
    lines, ending = _lines(text), _ending(text)
    mine = [f"{line}{ending}" for line in new.replace("\r\n", "\n").strip("\n").split("\n")]
    names = rule_names(text)
    if replaces is not None:
        span = _span_of(text, replaces)
    else:
        end = _span_of(text, names[-1]).end if names else len(lines)
        span = _Span(end, end)
        if end and not lines[end - 1].endswith("\n"):
            lines[end - 1] += ending
        mine = ([ending] if end and lines[end - 1].strip() else []) + mine
        if end < len(lines) and lines[end].strip():
            mine.append(ending)
    result = "".join([*lines[: span.start], *mine, *lines[span.end :]])
    table = _table(new)["rule"][0]
    expected = list(_table(text).get("rule", []))
    if replaces is None:
        expected.append(table)
    else:
        expected[names.index(replaces)] = table
    return _checked(text, result, expected)


def without_rule(text: str, name: str) -> str:
    """The text without a rule and the empty lines that follow it.

    Raises:
        NotFoundError: there is no rule of that name. ConflictError: the text cannot be edited by lines.
    """
    lines = _lines(text)
    start, end = _span_of(text, name)
    while end < len(lines) and not lines[end].strip():
        end += 1
    if end == len(lines):
        while start and not lines[start - 1].strip():
            start -= 1
    expected = [rule for rule in _table(text)["rule"] if rule.get("name") != name]
    return _checked(text, "".join([*lines[:start], *lines[end:]]), expected)


def switched(rule: str, enabled: bool) -> str:
    """A rule's text with its `enabled` set, everything else as it was.

    Raises:
        ConflictError: the text cannot be edited.
    """
    # Imported when needed: only an edit needs it.
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        document = tomlkit.parse(rule)
        table: Any = document["rule"]
        table[0]["enabled"] = enabled
        result = tomlkit.dumps(document)
    except (TOMLKitError, KeyError, IndexError, TypeError) as error:
        raise ConflictError("the rule", f"its text cannot be changed: {error}", _EDIT_BY_HAND) from error
    before, after = _table(rule)["rule"][0], _table(result)["rule"][0]
    if after != {**before, "enabled": enabled}:
        raise ConflictError("the rule", "its text cannot be changed by itself", _EDIT_BY_HAND)
    return result


def template(registries: Sequence[str], taken: Sequence[str]) -> str:
    """A rule to begin with, under a name that is free."""
    number, name = 1, "new-rule"
    while name in taken:
        number += 1
        name = f"new-rule-{number}"
    registry = registries[0] if registries else "name-of-a-registry"
    return _TEMPLATE.format(name=_quoted(name), registry=_quoted(registry))


def rule_names(text: str) -> list[str]:
    """The names of the rules of a whole configuration, in their order; a rule without one has an empty name."""
    return [str(rule.get("name", "")) for rule in _table(text).get("rule", [])]


def difference(before: str, after: str) -> str:
    """What an edit changes, as a unified diff; cut where it is very long."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), "before", "after", lineterm="")
    told = "\n".join(lines)
    return told if len(told) <= _LONGEST_DIFFERENCE else f"{told[:_LONGEST_DIFFERENCE]}\n(cut)"


# ---------------------------------------------------------------- lines


def _lines(text: str) -> list[str]:
    return [line for line in text.replace("\n", "\n\0").split("\0") if line]


def _ending(text: str) -> str:
    return "\r\n" if text.count("\r\n") * 2 > text.count("\n") else "\n"


def _span_of(text: str, name: str) -> _Span:
    names = rule_names(text)
    if name not in names:
        known = ", ".join(names) or "none is configured"
        raise NotFoundError(f"rule {name}", "the configuration file does not hold it", f"use one of: {known}")
    position = names.index(name)
    numbers = key_lines(text)
    mine = [line for path, line in numbers.items() if path[:2] == ("rule", position)]
    header = numbers.get(("rule", position))
    if header is None or not mine:
        raise _scattered(name)
    later = [line for path, line in numbers.items() if path[:2] != ("rule", position) and line > header]
    following = min(later, default=None)
    if following is not None and max(mine) > following:
        raise _scattered(name)
    lines = _lines(text)
    start, end = header - 1, len(lines) if following is None else following - 1
    while end > header and _is_bare(lines[end - 1]):
        end -= 1
    last = end
    while last < len(lines) and _is_comment(lines[last]):
        last += 1
    # A comment that stands directly above the next header belongs to that.
    if following is None or last < following - 1:
        end = last
    while start and _is_comment(lines[start - 1]):
        start -= 1
    return _Span(start, end)


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def _is_bare(line: str) -> bool:
    return not line.strip() or _is_comment(line)


def _quoted(name: str) -> str:
    import tomlkit

    return tomlkit.item(name).as_string()


def _table(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConflictError("the configuration file", f"it is not TOML: {error}", _EDIT_BY_HAND) from error


def _checked(before: str, after: str, rules: Sequence[dict[str, Any]]) -> str:
    """The edited text, if it says what the text before it said but for its rules."""
    told, wanted = _table(after), _table(before)
    if told.pop("rule", []) != list(rules) or told != {key: wanted[key] for key in wanted if key != "rule"}:
        raise ConflictError(
            "the configuration file", "its tables are written in a way that cannot be edited by lines", _EDIT_BY_HAND
        )
    return after


def _scattered(name: str) -> ConflictError:
    return ConflictError(f"rule {name}", "it is not written as one [[rule]] table in one place", _EDIT_BY_HAND)
