"""Regular expressions over tags that cannot hang: read as Python reads them, matched in a time that is bounded.

Python's own matcher goes back and tries again, which takes an hour for `(a+)+b` on thirty letters and cannot be
interrupted. Here all ways through the expression are followed at once (K. Thompson, "Regular Expression Search
Algorithm", 1968): the time grows with the length of the text times the size of the expression, whatever either holds.
What cannot be matched like that, a reference back to a group above all, is refused when the rule is read.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias

# Python's own reader, so that an expression means what its documentation says. Underscored, and there since 3.11.
_reader: Final[Any] = importlib.import_module("re._parser")
_MOST_STATES: Final = 1000
# The longest tag (distribution-spec 1.1, "Pulling manifests").
_MOST_TEXT: Final = 128
#: Steps of the matcher that are remembered; expressions that rules hold need some dozens.
_MOST_REMEMBERED: Final = 5000
_WORD: Final = re.compile(r"\w")

_Test: TypeAlias = Callable[[str], bool]
#: Holds at a position of the text or not: an anchor, or a look around.
_Condition: TypeAlias = Callable[[str, int], bool]


class _Machine:
    """States, each with the states that follow it: at once, at once under a condition, or after a character.

    Args:
        outer: of the expression that this one is looked for in; both count their states together.
    """

    def __init__(self, outer: _Machine | None = None) -> None:
        self.free: list[list[int]] = []
        self.conditional: list[list[tuple[_Condition, int]]] = []
        self.reading: list[tuple[_Test, int] | None] = []
        self._made: list[int] = [0] if outer is None else outer._made

    def state(self) -> int:
        """A new state.

        Raises:
            ValueError: there are too many.
        """
        self._made[0] += 1
        if self._made[0] > _MOST_STATES:
            raise ValueError("it is too large: repeat less often, or say it with globs")
        self.free.append([])
        self.conditional.append([])
        self.reading.append(None)
        return len(self.free) - 1


class Expression:
    """A regular expression, ready to be matched.

    Args:
        text: as `re` reads it.

    Raises:
        ValueError: it is none, is too large, or holds what cannot be matched in bounded time.
    """

    def __init__(self, text: str) -> None:
        try:
            tree = _reader.parse(text)
            self._found = _Walk(tree, tree.state.flags)
        except (re.error, OverflowError) as error:
            raise ValueError(f"not a regular expression: {error}") from error
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error

    def matches(self, text: str) -> bool:
        """Whether the whole text matches; a text longer than any tag never does."""
        return len(text) <= _MOST_TEXT and self._found.match_between(text, 0, len(text))


class _Walk:
    """Follows all ways through a machine at once."""

    def __init__(self, tree: Any, flags: int, outer: _Machine | None = None) -> None:
        self._machine = _Machine(outer)
        self._start = self._machine.state()
        self._end = _Builder(self._machine).sequence(tree, self._start, flags)
        self._steps: dict[tuple[frozenset[int], str], frozenset[int]] = {}
        self._first = frozenset({self._start})

    def match_between(self, text: str, start: int, end: int) -> bool:
        """Whether the part of the text matches; anchors see the whole."""
        states = self._closed(self._first, text, start)
        for position in range(start, end):
            states = self._step(states, text, position)
            if not states:
                return False
        return self._end in states

    def match_from(self, text: str, start: int) -> bool:
        """Whether some part that begins there matches."""
        states = self._closed(self._first, text, start)
        for position in range(start, len(text)):
            if self._end in states:
                return True
            states = self._step(states, text, position)
        return self._end in states

    def _step(self, states: frozenset[int], text: str, position: int) -> frozenset[int]:
        character = text[position]
        key = (states, character)
        if (remembered := self._steps.get(key)) is not None:
            return remembered
        reached: set[int] = set()
        for state in states:
            reading = self._machine.reading[state]
            if reading is not None and reading[0](character):
                reached.add(reading[1])
        following = self._closed(reached, text, position + 1)
        # What a condition lets through depends on more than the character.
        if len(self._steps) < _MOST_REMEMBERED and not any(self._machine.conditional[state] for state in following):
            self._steps[key] = following
        return following

    def _closed(self, states: Iterable[int], text: str, position: int) -> frozenset[int]:
        """The states and those that are reached from them without reading."""
        reached = set(states)
        pending = list(reached)
        while pending:
            state = pending.pop()
            following = [*self._machine.free[state]]
            following += [to for holds, to in self._machine.conditional[state] if holds(text, position)]
            for to in following:
                if to not in reached:
                    reached.add(to)
                    pending.append(to)
        return frozenset(reached)


class _Builder:
    """Makes states of what Python's reader gives; every method gives the state where its part ends."""

    def __init__(self, machine: _Machine) -> None:
        self._machine = machine

    def sequence(self, items: Iterable[Any], start: int, flags: int) -> int:
        """One after the other."""
        for operation, argument in items:
            start = self._item(str(operation), argument, start, flags)
        return start

    def _item(self, operation: str, argument: Any, start: int, flags: int) -> int:
        if operation in {"LITERAL", "NOT_LITERAL", "ANY", "IN"}:
            end = self._machine.state()
            self._machine.reading[start] = (_test(operation, argument, flags), end)
            return end
        if operation == "SUBPATTERN":
            _, added, dropped, inner = argument
            return self.sequence(inner, start, (flags | added) & ~dropped)
        if operation == "BRANCH":
            return self._branch(argument[1], start, flags)
        if operation in {"MAX_REPEAT", "MIN_REPEAT"}:
            least, most, inner = argument
            return self._repeat(least, None if str(most) == "MAXREPEAT" else int(most), inner, start, flags)
        if operation == "AT":
            return self._condition(_anchor(str(argument), flags), start)
        if operation in {"ASSERT", "ASSERT_NOT"}:
            return self._condition(self._look_around(argument, flags, wanted=operation == "ASSERT"), start)
        if operation == "FAILURE":
            return self._machine.state()
        raise ValueError(
            "it refers back to a group, or forbids to try again, which cannot be matched in bounded time: write it "
            "without, or leave tags out with exclude"
        )

    def _branch(self, branches: Sequence[Any], start: int, flags: int) -> int:
        end = self._machine.state()
        for branch in branches:
            first = self._machine.state()
            self._machine.free[start].append(first)
            self._machine.free[self.sequence(branch, first, flags)].append(end)
        return end

    def _repeat(self, least: int, most: int | None, inner: Any, start: int, flags: int) -> int:
        for _ in range(least):
            start = self._once(inner, start, flags)
        if most is None:
            loop, end = self._machine.state(), self._machine.state()
            self._machine.free[start] += [loop, end]
            self._machine.free[self.sequence(inner, loop, flags)] += [loop, end]
            return end
        end = self._machine.state()
        for _ in range(most - least):
            self._machine.free[start].append(end)
            start = self._once(inner, start, flags)
        self._machine.free[start].append(end)
        return end

    def _once(self, inner: Any, start: int, flags: int) -> int:
        first = self._machine.state()
        self._machine.free[start].append(first)
        return self.sequence(inner, first, flags)

    def _condition(self, holds: _Condition, start: int) -> int:
        end = self._machine.state()
        self._machine.conditional[start].append((holds, end))
        return end

    def _look_around(self, argument: Any, flags: int, *, wanted: bool) -> _Condition:
        direction, inner = argument
        looked = _Walk(inner, flags, self._machine)
        # What is looked for behind has one width, which Python's reader saw to.
        width = inner.getwidth()[0] if direction < 0 else 0
        asked: tuple[str, dict[int, bool]] = ("", {})

        def holds(text: str, at: int) -> bool:
            nonlocal asked
            # Asked once for each position, however deep one look is inside of another; threads keep their own.
            current = asked if asked[0] == text else (text, {})
            asked, answers = current, current[1]
            if at not in answers:
                if direction < 0:
                    answers[at] = (at >= width and looked.match_between(text, at - width, at)) == wanted
                else:
                    answers[at] = looked.match_from(text, at) == wanted
            return answers[at]

        return holds


def _test(operation: str, argument: Any, flags: int) -> _Test:
    """Whether a character is one of those that a part of the expression reads."""
    if operation == "ANY":
        return (lambda _: True) if flags & re.DOTALL else (lambda character: character != "\n")
    parts = argument if operation == "IN" else [("LITERAL", argument)]
    # One character is left to `re`, which knows cases, categories and ranges and cannot go back in it.
    negated = operation == "NOT_LITERAL" or (operation == "IN" and str(argument[0][0]) == "NEGATE")
    inner = "".join(_class_part(str(kind), value) for kind, value in parts if str(kind) != "NEGATE")
    kept = flags & (re.IGNORECASE | re.ASCII)
    compiled = re.compile(f"[{'^' if negated else ''}{inner}]", kept)
    return lambda character: compiled.fullmatch(character) is not None


_CATEGORIES: Final = {
    "CATEGORY_DIGIT": r"\d", "CATEGORY_NOT_DIGIT": r"\D", "CATEGORY_SPACE": r"\s", "CATEGORY_NOT_SPACE": r"\S",
    "CATEGORY_WORD": r"\w", "CATEGORY_NOT_WORD": r"\W",
}  # fmt: skip


def _class_part(kind: str, value: Any) -> str:
    if kind == "LITERAL":
        return _escaped(value)
    if kind == "RANGE":
        return f"{_escaped(value[0])}-{_escaped(value[1])}"
    return _CATEGORIES[str(value)]


def _escaped(code: int) -> str:
    return f"\\U{code:08x}"


def _anchor(name: str, flags: int) -> _Condition:
    lines = bool(flags & re.MULTILINE)
    if name in {"AT_BEGINNING", "AT_BEGINNING_STRING"}:
        lines = lines and name == "AT_BEGINNING"
        return lambda text, at: at == 0 or (lines and text[at - 1] == "\n")
    if name == "AT_END_STRING":
        return lambda text, at: at == len(text)
    if name == "AT_END":
        return lambda text, at: (
            at == len(text) or (text[at] == "\n" and (lines or at == len(text) - 1))
        )  # fmt: skip
    wanted = name == "AT_BOUNDARY"
    word = re.compile(r"\w", re.ASCII) if flags & re.ASCII else _WORD

    def at_boundary(text: str, at: int) -> bool:
        before = at > 0 and word.match(text[at - 1]) is not None
        after = at < len(text) and word.match(text[at]) is not None
        return (before != after) == wanted

    return at_boundary
