"""The audit pane's filter: terms that the ledger is asked by, and words that are looked for in what it answers."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from backend.core.ports import instant
from backend.core.settings import parse_duration

_OUTCOMES: Final = ("done", "refused", "failed", "started")
_NAMES: Final = ("actor", "action", "object", "outcome", "since", "until")
_DAY: Final = len("2026-01-31")


@dataclass(frozen=True)
class Terms:
    """What was typed.

    Attributes:
        actor, action: whole names, in which `*` stands for any characters; object: a part of a name.
        since, until: instants; since is included, until is not.
        rest: what is no term, a regular expression for what the entries say.
        problem: what is wrong with it and what to write, or empty.
    """

    actor: str = ""
    action: str = ""
    object: str = ""
    outcome: str = ""
    since: datetime | None = None
    until: datetime | None = None
    rest: str = ""
    problem: str = ""

    @property
    def asks(self) -> bool:
        """Whether the ledger has to be asked: it holds more than the screen has read."""
        return self != Terms(rest=self.rest, problem=self.problem)


def read_terms(typed: str, now: datetime) -> Terms:
    """Read a filter such as `actor:mira action:queue.* since:7d CVE`.

    Args:
        now: where `since:7d` counts from.
    """
    try:
        words = shlex.split(typed)
    except ValueError:
        words = typed.split()
    terms, rest = Terms(), []
    for word in words:
        name, colon, value = word.partition(":")
        if not colon or name not in _NAMES:
            rest.append(word)
        elif not value:
            continue
        elif name in {"since", "until"}:
            at = _time(value, now, whole_day=name == "until")
            if at is None:
                return Terms(problem=f"{name}:{value[:30]} is no time: write {name}:7d or {name}:2026-01-31")
            terms = replace(terms, since=at) if name == "since" else replace(terms, until=at)
        elif name == "outcome" and value not in _OUTCOMES:
            return Terms(problem=f"outcome:{value[:30]} is none: write {', '.join(_OUTCOMES)}")
        else:
            terms = _with(terms, name, value)
    return replace(terms, rest=" ".join(rest))


def complete(typed: str, actors: Sequence[str], actions: Sequence[str]) -> list[str]:
    """Whole filters that the typed one may become, by its last word."""
    head, space, last = typed.rpartition(" ")
    name, colon, value = last.partition(":")
    if not colon:
        words = [f"{one}:" for one in _NAMES if last and one.startswith(last)]
    else:
        choices = {"actor": actors, "action": actions, "outcome": _OUTCOMES, "since": ("1h", "24h", "7d", "30d")}
        words = [
            f"{name}:{one}" for one in sorted(set(choices.get(name, ()))) if one.startswith(value) and one != value
        ]
    return [f"{head}{space}{word}" for word in words]


def _with(terms: Terms, name: str, value: str) -> Terms:
    if name == "actor":
        return replace(terms, actor=value)
    if name == "action":
        return replace(terms, action=value)
    return replace(terms, object=value) if name == "object" else replace(terms, outcome=value)


def _time(value: str, now: datetime, *, whole_day: bool) -> datetime | None:
    try:
        if len(value) == _DAY:
            begin = instant(f"{value}T00:00:00+00:00")
            return begin + timedelta(days=1) if whole_day else begin
        try:
            return now - parse_duration(value)
        except ValueError:
            return instant(value)
    except (ValueError, OverflowError):
        return None
