"""Globs over repository names and tags: `*` and `?` stay within a path segment, `**` crosses slashes."""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import Final


class _Wild(Enum):
    ONE = "?"  # one character but a slash
    SEGMENT = "*"  # any characters but slashes
    ANYTHING = "**"
    FOLDERS = "**/"  # nothing, or anything that ends in a slash


_WILDCARDS: Final = "*?"


def has_wildcard(pattern: str) -> bool:
    """Whether the pattern can match more than one name."""
    return any(character in pattern for character in _WILDCARDS)


def matches(pattern: str, name: str) -> bool:
    """Whether the glob matches the whole name.

    `**/` also matches nothing, so `**/*-dev` matches `x-dev` and `a/b/x-dev`. Takes time in proportion to the lengths
    of pattern and name, whatever they are: names come from registries.
    """
    if not has_wildcard(pattern):
        return pattern == name
    tokens = _tokens(pattern)
    end = len(tokens)
    states = _closed({0}, tokens)
    for position, character in enumerate(name):
        following: set[int] = set()
        for state in states:
            if state == end:
                continue
            token = tokens[state]
            if token == character or (token is _Wild.ONE and character != "/"):
                following.add(state + 1)
            elif token is _Wild.ANYTHING or (token is _Wild.SEGMENT and character != "/"):
                following.add(state)
            elif token is _Wild.FOLDERS:
                following.add(state)
                if character == "/":
                    following.add(state + 1)
        states = _closed(following, tokens, at_folder_start=name[position] == "/")
        if not states:
            return False
    return end in states


def first_match(patterns: tuple[str, ...], name: str) -> str | None:
    """The first of the globs that matches the name, or None."""
    return next((pattern for pattern in patterns if matches(pattern, name)), None)


@lru_cache(maxsize=1024)
def _tokens(pattern: str) -> tuple[str | _Wild, ...]:
    tokens: list[str | _Wild] = []
    position = 0
    while position < len(pattern):
        for wild in (_Wild.FOLDERS, _Wild.ANYTHING, _Wild.SEGMENT, _Wild.ONE):
            if pattern.startswith(wild.value, position):
                # `a**/b` is no folder wildcard: the name before it has not ended.
                if wild is _Wild.FOLDERS and position and pattern[position - 1] != "/":
                    continue
                tokens.append(wild)
                position += len(wild.value)
                break
        else:
            tokens.append(pattern[position])
            position += 1
    return tuple(tokens)


def _closed(states: set[int], tokens: tuple[str | _Wild, ...], *, at_folder_start: bool = True) -> set[int]:
    """The states and those that are reached from them without reading a character."""
    pending = list(states)
    while pending:
        state = pending.pop()
        if state == len(tokens):
            continue
        token = tokens[state]
        skippable = token in (_Wild.SEGMENT, _Wild.ANYTHING) or (token is _Wild.FOLDERS and at_folder_start)
        if skippable and state + 1 not in states:
            states.add(state + 1)
            pending.append(state + 1)
    return states
