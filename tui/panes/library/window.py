"""The images that a search found, of which only those near the window are held."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final, overload

from backend.core.views import ImagePageView, ImageView

CHUNK: Final = 128
_CHUNKS_KEPT: Final = 12


class ImageWindow(Sequence[ImageView | None]):
    """A list of `total` images in the order of a search, read by chunks; an image that is not held is None.

    A window belongs to one answer of the library: when the library changes, another one is made.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._chunks: OrderedDict[int, tuple[ImageView, ...]] = OrderedDict()

    def __len__(self) -> int:
        return self._total

    @overload
    def __getitem__(self, index: int) -> ImageView | None: ...
    @overload
    def __getitem__(self, index: slice) -> list[ImageView | None]: ...
    def __getitem__(self, index: int | slice) -> ImageView | list[ImageView | None] | None:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(self._total))]
        if not -self._total <= index < self._total:
            raise IndexError(index)
        number, within = divmod(index % self._total, CHUNK)
        chunk = self._chunks.get(number)
        return chunk[within] if chunk is not None and within < len(chunk) else None

    @property
    def held(self) -> int:
        """How many images are held."""
        return sum(len(chunk) for chunk in self._chunks.values())

    def put(self, page: ImagePageView) -> None:
        """Hold a page; its offset is that of a chunk. What was put longest ago gives way."""
        number, odd = divmod(page.offset, CHUNK)
        if odd:
            raise ValueError(f"a page starts at a multiple of {CHUNK}, not at {page.offset}")
        for start in range(0, max(1, len(page.images)), CHUNK):
            self._chunks[number] = page.images[start : start + CHUNK]
            self._chunks.move_to_end(number)
            number += 1
        while len(self._chunks) > _CHUNKS_KEPT:
            self._chunks.popitem(last=False)

    def missing(self, indices: Iterable[int]) -> list[int]:
        """Offsets of the chunks that hold these positions and are not held, in order; outside positions are ignored."""
        numbers = dict.fromkeys(index // CHUNK for index in indices if 0 <= index < self._total)
        for number in numbers:
            if number in self._chunks:
                # What is looked at gives way last.
                self._chunks.move_to_end(number)
        return [number * CHUNK for number in numbers if number not in self._chunks]

    def position(self, name: str) -> int | None:
        """Where the image of a name stands among those that are held."""
        for number, chunk in self._chunks.items():
            for within, image in enumerate(chunk):
                if image.name == name:
                    return number * CHUNK + within
        return None

    def images(self) -> list[ImageView]:
        """The images that are held."""
        return [image for chunk in self._chunks.values() for image in chunk]
