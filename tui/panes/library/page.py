"""The library pane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backend.core.views import ImageState, ImageView
from tui.document import Line, Section, Span, join, text
from tui.format import count
from tui.model import Part, PartName
from tui.panes.common.listing import ListPage
from tui.panes.common.messages import first_run
from tui.panes.library import view_model
from tui.panes.library.actions import ImageActions, SyncAction
from tui.panes.library.detail import image_sections
from tui.widgets.columns import Column


class LibraryPage(ListPage[ImageView], ImageActions, SyncAction):
    """Everything that was synchronised."""

    CSS_PATH = "../common/common.tcss"
    pane = "library"
    parts = frozenset({PartName.LIBRARY, PartName.STATUS, PartName.SYNC})
    number = "1"
    heading_title = "LIBRARY"
    order = "by repository, newest tag first"

    def __init__(self) -> None:
        super().__init__()
        self._approved_only = False
        self._ordered: tuple[Sequence[ImageView], bool, list[ImageView]] = ((), False, [])

    def columns(self) -> tuple[Column[ImageView], ...]:
        return view_model.image_columns(self.room.clock.now)

    def key(self, item: ImageView) -> str:
        return item.name

    def part(self) -> Part[Any]:
        return self.model.library

    def items(self) -> Sequence[ImageView]:
        images = self.model.library.value
        source, approved, _ = self._ordered
        if source is not images or approved != self._approved_only:
            kept = [image for image in images if image.state is ImageState.APPROVED] if self._approved_only else images
            self._ordered = (images, self._approved_only, view_model.by_name(kept))
        return self._ordered[2]

    def haystack(self, item: ImageView) -> str:
        return view_model.haystack(item)

    def tally(self) -> Line:
        approved = sum(image.state is ImageState.APPROVED for image in self.model.library.value)
        running = [run for run in self.model.sync.values() if not run.finished]
        return join(
            text(f"{approved} approved", "ok" if approved else "muted"),
            text("approved only", "accent") if self._approved_only else (),
            *((Span("sync ", "info"), *text(f"{run.rule} {count(run.done, 'tag')}", "info")) for run in running[:1]),
            gap="  ",
        )

    def empty(self) -> Sequence[Line]:
        if self._approved_only and self.model.library.value:
            return (text("Nothing was approved yet.", "strong"), text("o shows all images; 2 is the queue.", "muted"))
        status = self.model.status
        sources = status.sources if status is not None else ()
        return first_run(any(source.kind == "registry" for source in sources))

    def preview(self, item: ImageView) -> Sequence[Section]:
        return image_sections(item, None, None, self.room.clock.now())[:1]

    def current_image(self) -> ImageView | None:
        return self.table.current

    def reference(self) -> str:
        image = self.table.current
        return image.reference if image is not None else ""

    def act_look_open(self) -> None:
        from tui.panes.library.detail import ImagePage

        if image := self.table.current:
            self.room.push_screen(ImagePage(image))

    def act_library_rules(self) -> None:
        from tui.panes.library.rules import RulesPage

        self.room.push_screen(RulesPage())

    def act_library_approved(self) -> None:
        self._approved_only = not self._approved_only
        self.show()
