"""Images that a person marked, to do something to all of them at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from backend.core.views import ImageState, ImageView

MOST: Final = 10_000


class Marked(NamedTuple):
    """An image as it was when it was marked: a tag that moves afterwards does not change what is meant."""

    name: str
    reference: str
    state: ImageState

    @classmethod
    def of(cls, image: ImageView) -> Marked:
        """What is kept of an image."""
        return cls(image.name, image.reference, image.state)


class Marks:
    """Marked images by name, in the order in which they were marked. They stay when a filter hides them."""

    def __init__(self) -> None:
        self._marked: dict[str, Marked] = {}
        # How many of them the filter hides; None: not known.
        self.hidden: int | None = 0
        # Where a range starts: the row that was marked last.
        self.anchor = ""

    def __len__(self) -> int:
        return len(self._marked)

    def __contains__(self, name: object) -> bool:
        return name in self._marked

    def all(self) -> list[Marked]:
        """Everything that is marked."""
        return list(self._marked.values())

    def toggle(self, images: Iterable[ImageView]) -> bool:
        """Mark them, or take the marks from them where all have one; whether they are marked now."""
        found = [Marked.of(image) for image in images]
        if found and all(mark.name in self._marked for mark in found):
            for mark in found:
                del self._marked[mark.name]
            return False
        self._put(found)
        return True

    def put(self, images: Iterable[ImageView]) -> None:
        """Mark them."""
        self._put(Marked.of(image) for image in images)

    def invert(self, images: Iterable[ImageView]) -> None:
        """Mark those of them that are not marked, and take the marks from the others."""
        for image in images:
            if self._marked.pop(image.name, None) is None:
                self._put((Marked.of(image),))

    def clear(self) -> None:
        """Take every mark away."""
        self._marked.clear()
        self.hidden, self.anchor = 0, ""

    def count_hidden(self, shown: Iterable[ImageView]) -> None:
        """Count those that are not among what is shown."""
        self.hidden = len(self._marked) - sum(image.name in self._marked for image in shown)

    def _put(self, found: Iterable[Marked]) -> None:
        for mark in found:
            if len(self._marked) >= MOST and mark.name not in self._marked:
                return
            self._marked[mark.name] = mark
