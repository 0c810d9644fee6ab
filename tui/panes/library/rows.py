"""Rows of the library: flat, or as a tree of registries, repositories and tags. None of them holds every image."""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import Final, NamedTuple, overload

from backend.core.views import ImageView, RepositoryView
from tui.panes.library.window import ImageWindow

# In a search that found so few, the tree shows them instead of the repositories that they are in.
OPEN_BELOW: Final = 200


class RegistryRow(NamedTuple):
    """A registry with what was found in it."""

    name: str
    host: str
    repositories: int
    tags: int
    approved: int
    waiting: int
    changed_at: datetime


class Row(NamedTuple):
    """A line of the table: an image, a repository, a registry, or an image that is still being read."""

    key: str
    image: ImageView | None = None
    repository: RepositoryView | None = None
    registry: RegistryRow | None = None
    is_open: bool = False
    in_tree: bool = False


class Rows(Sequence[Row]):
    """What the table shows; `images` are those that the search found, in its own order."""

    images: ImageWindow

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            return [self.row(position) for position in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self.row(index % len(self))

    @abstractmethod
    def row(self, index: int) -> Row:
        """The row at a position."""

    @abstractmethod
    def image_indices(self, first: int, last: int) -> Iterable[int]:
        """Positions in `images` of what the rows from `first` to before `last` show."""

    @abstractmethod
    def position(self, key: str) -> int | None:
        """Where the row with this key is, as far as that is known."""

    @abstractmethod
    def near(self, key: str, index: int, moved: int) -> Iterable[int]:
        """Positions in `images` where an image may be now that was at a row when `moved` fewer were found."""

    @abstractmethod
    def under(self, index: int) -> range:
        """Positions in `images` of all that the row at a position stands for."""


class FlatRows(Rows):
    """One row an image."""

    def __init__(self, images: ImageWindow) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def row(self, index: int) -> Row:
        image = self.images[index]
        return Row(image.name, image) if image is not None else Row(f"?{index}")

    def image_indices(self, first: int, last: int) -> Iterable[int]:
        return range(max(0, first), min(last, len(self.images)))

    def position(self, key: str) -> int | None:
        return self.images.position(key)

    def near(self, key: str, index: int, moved: int) -> Iterable[int]:
        low, high = sorted((index, index + moved))
        return range(max(0, low), high + 1)

    def under(self, index: int) -> range:
        return range(index, index + 1)


class Folding:
    """Which rows of the tree are open."""

    def __init__(self) -> None:
        self._all_open = False
        self._opened: set[str] = set()
        self._closed: set[str] = set()

    def set(self, row: Row, is_open: bool) -> bool:
        """Open or fold a row; whether that changed anything."""
        if row.is_open == is_open or (row.registry is None and row.repository is None):
            return False
        (self._opened if is_open else self._closed).add(row.key)
        (self._closed if is_open else self._opened).discard(row.key)
        return True

    def all(self) -> bool:
        """Open every repository, or fold all where any was opened; whether they are open now."""
        self._all_open = not (self._all_open or self._opened)
        self._opened.clear()
        self._closed.clear()
        return self._all_open

    def registry_is_open(self, key: str) -> bool:
        """Whether the repositories of a registry are shown."""
        return key not in self._closed

    def repository_is_open(self, key: str, *, few: bool) -> bool:
        """Whether the tags of a repository are shown; `few`: they are, unless a person folded them."""
        return key in self._opened or ((self._all_open or few) and key not in self._closed)


class _Node(NamedTuple):
    row: Row
    offset: int
    tags: int


class TreeRows(Rows):
    """Registries, their repositories, and the tags of those that are open.

    The tags stand in `images` one repository after the other, in the order of `repositories` as given: so a tag's
    position is known without asking for it.

    Args:
        repositories: as the library gives them, sorted by name.
        by_change: show the repositories that changed last first.
        few: open every repository unless it was folded.
    """

    def __init__(
        self,
        repositories: Sequence[RepositoryView],
        images: ImageWindow,
        folding: Folding,
        *,
        by_change: bool = False,
        descending: bool = False,
        few: bool = False,
    ) -> None:
        self.images = images
        offsets: dict[str, int] = {}
        at = 0
        for repository in repositories:
            offsets[_repository_key(repository)] = at
            at += repository.tags
        nodes: list[_Node] = []
        for name, members in groupby(sorted(repositories, key=lambda item: item.registry), lambda item: item.registry):
            inside = list(members)
            if by_change:
                inside.sort(key=lambda item: item.changed_at, reverse=descending)
            elif descending:
                inside.reverse()
            key = f"{name}/"
            opened = folding.registry_is_open(key)
            first = min(offsets[_repository_key(item)] for item in inside)
            total = _total(name, inside)
            nodes.append(_Node(Row(key, registry=total, is_open=opened, in_tree=True), first, 0))
            if not opened:
                continue
            for item in inside:
                own = _repository_key(item)
                is_open = folding.repository_is_open(own, few=few)
                row = Row(own, repository=item, is_open=is_open, in_tree=True)
                nodes.append(_Node(row, offsets[own], item.tags if is_open else 0))
        self._nodes = nodes
        self._starts: list[int] = []
        self._at: dict[str, int] = {}
        at = 0
        for number, node in enumerate(nodes):
            self._starts.append(at)
            self._at[node.row.key] = number
            at += 1 + node.tags
        self._count = at

    def __len__(self) -> int:
        return self._count

    def row(self, index: int) -> Row:
        number = bisect_right(self._starts, index) - 1
        node = self._nodes[number]
        within = index - self._starts[number]
        if within == 0:
            return node.row
        position = node.offset + within - 1
        image = self.images[position] if position < len(self.images) else None
        # Between two readings the library may have changed: what belongs elsewhere is not shown here.
        if image is None or node.row.key != f"{image.registry}/{image.repository}":
            return Row(f"?{position}", in_tree=True)
        return Row(image.name, image, in_tree=True)

    def image_indices(self, first: int, last: int) -> Iterable[int]:
        index = max(0, first)
        while index < min(last, self._count):
            number = bisect_right(self._starts, index) - 1
            node = self._nodes[number]
            end = min(last, self._starts[number] + 1 + node.tags)
            within = index - self._starts[number]
            yield from range(node.offset + max(0, within - 1), node.offset + end - self._starts[number] - 1)
            index = end

    def position(self, key: str) -> int | None:
        number = self._at.get(key)
        if number is not None:
            return self._starts[number]
        at = self.images.position(key)
        number = self._at.get(key.rpartition(":")[0])
        if at is None or number is None:
            return None
        node = self._nodes[number]
        within = at - node.offset
        return self._starts[number] + 1 + within if 0 <= within < node.tags else None

    def near(self, key: str, index: int, moved: int) -> Iterable[int]:
        number = self._at.get(key.rpartition(":")[0])
        if number is None:
            return ()
        node = self._nodes[number]
        return range(node.offset, node.offset + node.tags)

    def under(self, index: int) -> range:
        number = bisect_right(self._starts, index) - 1
        node = self._nodes[number]
        within = index - self._starts[number]
        if within > 0:
            return range(node.offset + within - 1, node.offset + within)
        if node.row.repository is not None:
            return range(node.offset, node.offset + node.row.repository.tags)
        return range(node.offset, node.offset + (node.row.registry.tags if node.row.registry is not None else 0))


def _repository_key(repository: RepositoryView) -> str:
    return f"{repository.registry}/{repository.name}"


def _total(name: str, inside: Sequence[RepositoryView]) -> RegistryRow:
    return RegistryRow(
        name,
        inside[0].host,
        len(inside),
        sum(item.tags for item in inside),
        sum(item.approved for item in inside),
        sum(item.waiting for item in inside),
        max(item.changed_at for item in inside),
    )
