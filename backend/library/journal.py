"""The journal of a run while it is made: a line a repository, each with what it cost and why something was left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, TypeAlias

import msgspec

from backend.core.ports import Clock
from backend.library.events import storable
from backend.registry.usage import Usage, count_for

# A repository that fails tag by tag, or whose tags are all of another type, need not say so ten thousand times.
_MOST_REASONS: Final = 100
_MOST_CLAUSES: Final = 5

Row: TypeAlias = tuple[str | int | float, ...]


class Line:
    """What was found in one repository so far."""

    def __init__(self, repository: str) -> None:
        self.repository = repository
        self.usage = Usage()
        self.seen = self.new = self.moved = self.gone = 0
        self.unchanged = self.resumed = self.skipped = self.failed = 0
        self.reasons: list[tuple[str, str]] = []
        self.reached = False
        #: Tags whose fate is not known yet; None: nor is which they are.
        self.left: int | None = None
        self.list_failed = False
        #: Nothing more comes, whatever is left.
        self.over = False
        self._untold = 0
        self._spent = 0.0
        self._began: float | None = None
        self._ended = 0.0

    @property
    def state(self) -> str:
        """done, partial (some of its tags failed), failed (its list did), running, not reached."""
        if self.list_failed:
            return "failed"
        if not self.reached:
            return "not reached"
        if self.left is None or self.left > 0:
            return "partial" if self.over else "running"
        return "partial" if self.failed else "done"

    def touch(self, now: float) -> None:
        """Work on the repository went on, and what this task sends counts for it; `now` by the monotonic clock."""
        self.reached = True
        if self._began is None:
            self._began = now
        self._ended = now
        count_for(self.usage)

    def rest(self, now: float) -> None:
        """Others have their turn before anything more is done for it."""
        self.touch(now)
        self._spent, self._began = self.seconds, None

    @property
    def seconds(self) -> float:
        """That its list and its tags took."""
        return self._spent + (self._ended - self._began if self._began is not None else 0.0)

    def add_reason(self, tag: str, why: str) -> None:
        """Say why a tag (empty: the repository) was left or failed."""
        if len(self.reasons) < _MOST_REASONS:
            self.reasons.append((storable(tag), storable(why)))
        else:
            self._untold += 1

    def left_out(self, clauses: Iterable[str]) -> None:
        """Tell how many of its tags the rule leaves out, by clause."""
        for clause, count in Counter(clauses).most_common(_MOST_CLAUSES):
            self.add_reason("", f"{count} left out by {clause}")

    def row(self) -> Row:
        """Its columns from `state` on."""
        reasons = self.reasons + ([("", f"and {self._untold} more")] if self._untold else [])
        return (
            self.state, self.seen, self.new, self.moved, self.gone, self.unchanged, self.resumed, self.skipped,
            self.failed, self.usage.requests, self.usage.bytes,
            round(self.seconds, 3), msgspec.json.encode(reasons).decode(),
        )  # fmt: skip

    def settle(self, kind: str, tags: int = 1) -> None:
        """So many of its tags were new, moved, gone, unchanged, skipped or failed; below 0: they were not after all."""
        setattr(self, kind, getattr(self, kind) + tags)
        if self.left is not None:
            self.left -= tags


class Journal:
    """The lines of one run of one rule."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lines: dict[str, Line] = {}
        self._dirty: set[str] = set()

    def expect(self, repositories: Iterable[str]) -> None:
        """These repositories are to be read."""
        for repository in repositories:
            self._line(repository)

    def at(self, repository: str) -> Line:
        """The line of a repository that is worked on now."""
        line = self._line(repository)
        line.touch(self._clock.monotonic())
        return line

    def listed(self, repository: str) -> None:
        """The list of a repository was read; its tags have their turn when all lists were."""
        self._line(repository).rest(self._clock.monotonic())

    def note(self, repository: str) -> Line:
        """The line of a repository that something is told of."""
        return self._line(repository)

    def close(self) -> None:
        """The run is over; what was not done by now will not be."""
        for line in self._lines.values():
            line.over = True
        self._dirty.update(self._lines)

    def rows(self) -> list[Row]:
        """The lines that something was told of since they were last taken, as rows that begin with the repository."""
        rows = [(storable(repository), *self._lines[repository].row()) for repository in sorted(self._dirty)]
        self._dirty.clear()
        return rows

    def total(self) -> Usage:
        """What all of it cost."""
        total = Usage()
        for line in self._lines.values():
            total.requests += line.usage.requests
            total.bytes += line.usage.bytes
        return total

    def _line(self, repository: str) -> Line:
        self._dirty.add(repository)
        line = self._lines.get(repository)
        if line is None:
            line = self._lines[repository] = Line(repository)
        return line
