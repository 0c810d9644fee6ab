"""The page of one image, and its tag's history."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from backend.core.errors import ModelyardError
from backend.core.views import ImageDetailView, ImageView, TagEventView
from tui import format as fmt
from tui.document import EMPTY, Line, Section, Span, facts, join, label, pad, text
from tui.model import PartName, Problem
from tui.panes.common.detail import DetailPage
from tui.panes.common.messages import problem_lines
from tui.panes.library.actions import ImageActions
from tui.panes.library.view_model import state_cell

_LAYERS_SHOWN = 20
_TEXTS_SHOWN = 30


class ImagePage(DetailPage, ImageActions):
    """All that the library knows of one digest."""

    CSS_PATH = "../common/common.tcss"
    pane = "image"
    parts = frozenset({PartName.LIBRARY})

    def __init__(self, image: ImageView) -> None:
        super().__init__()
        self._image = image
        self._detail: ImageDetailView | None = None
        self._history: list[TagEventView] | None = None
        self._problem: Problem | None = None
        self._read_of = ""

    def current_image(self) -> ImageView | None:
        return self._image

    def reference(self) -> str:
        return self._image.reference

    def title_parts(self) -> tuple[str, str, Line, Line]:
        return "1", self._image.name, state_cell(self._image), text("Tab next section", "muted")

    def sections(self) -> Sequence[Section]:
        sections = image_sections(self._image, self._detail, self._history, self.room.clock.now())
        if self._problem is not None:
            sections.insert(0, Section("Could not be read", problem_lines(self._problem)))
        return sections

    def show(self) -> None:
        own = self._image
        current = next((image for image in self.model.library.value if image.name == own.name), None)
        if current is not None:
            self._image = current
        super().show()
        if self._image.reference != self._read_of:
            self._read_of = self._image.reference
            self.room.feed.spawn(self._read(self._image), "reading the image")

    async def _read(self, image: ImageView) -> None:
        yard = self.room.feed.yard
        if yard is None:
            return
        try:
            self._detail = await yard.library.image(image.reference)
            self._history = await yard.library.history(image.name)
            self._problem = None
        except ModelyardError as error:
            self._problem = Problem.of(error)
        if self.is_attached:
            self.show()


def image_sections(
    image: ImageView, detail: ImageDetailView | None, history: Sequence[TagEventView] | None, now: datetime
) -> list[Section]:
    """An image as sections; without its detail, what the list knows."""
    rows = [
        ("state", state_cell(image)),
        ("type", join(text(image.type), text(image.framework, "muted"), text(image.kind, "muted"), gap="  ")),
        ("size", text(fmt.size(image.size))),
        ("digest", text(image.digest, "muted")),
        ("platforms", text(" ".join(image.platforms), "muted")),
        ("rule", text(image.rule, "muted")),
        ("created", text(fmt.moment(image.created_at)) if image.created_at else EMPTY),
        ("seen", text(f"first {fmt.age(image.first_seen_at, now)} ago")),
        ("tags", text(" ".join(detail.tags), "accent") if detail is not None else EMPTY),
    ]
    sections = [Section("Image", facts(rows), side=True)]
    if history is not None:
        sections.append(Section("History of the tag", history_lines(history), note="newest first", side=True))
    if detail is None:
        return [*sections, Section("Details", (text("reading…", "muted"),))]
    if detail.classifications:
        lines = tuple(
            (
                *label(found.name, 12),
                *pad(text(found.value, "name"), 20),
                *text(f"{found.confidence:.0%} sure  ", "muted"),
                *text(found.evidence, "muted"),
                *text(f"  set by {found.set_by}" if found.set_by else "", "accent"),
            )
            for found in detail.classifications
        )
        sections.append(Section("How it was classified", lines))
    for title, values in (("Labels", detail.labels), ("Annotations", detail.annotations)):
        if values:
            shown = tuple(
                (*label(key, len(key) + 2), *text(value)) for key, value in sorted(values.items())[:_TEXTS_SHOWN]
            )
            sections.append(Section(title, shown, note=fmt.count(len(values), "entry", "entries")))
    if detail.entrypoint:
        sections.append(Section("Entrypoint", (text(" ".join(detail.entrypoint)),)))
    if detail.environment:
        sections.append(Section("Environment", tuple(text(entry) for entry in detail.environment[:_TEXTS_SHOWN])))
    if detail.layers:
        layers = tuple(
            (
                *pad(text(fmt.size(count), "muted"), 9, right=True),
                Span("  "),
                *pad(text(fmt.digest(digest)), 14),
                *text(media, "faint"),
            )
            for media, digest, count in detail.layers[:_LAYERS_SHOWN]
        )
        sections.append(Section("Layers", layers, note=str(len(detail.layers))))
    if detail.referrers:
        attached = tuple(
            (*pad(text(fmt.digest(digest)), 14), *text(kind, "muted")) for kind, digest in detail.referrers
        )
        sections.append(Section("Attached", attached))
    return sections


def history_lines(history: Sequence[TagEventView]) -> tuple[Line, ...]:
    """What a tag named over time, the newest first."""
    roles = {"new": "ok", "back": "ok", "moved": "warn", "gone": "bad"}
    ordered = sorted(history, key=lambda event: event.at, reverse=True)
    lines = tuple(
        join(
            text(fmt.moment(event.at), "muted"),
            pad(text(event.change, roles.get(event.change, "")), 6),
            text(fmt.digest(event.previous_digest) + " →" if event.previous_digest else "", "muted"),
            text(fmt.digest(event.digest) if event.digest else "", "name"),
        )
        for event in ordered
    )
    return lines or (text("nothing was recorded", "muted"),)
