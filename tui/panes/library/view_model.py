"""Rows of the library as cells, and what the keys sort them by."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from backend.core.views import ImageState, ImageView
from tui import format as fmt
from tui.document import EMPTY, Line, Section, Span, facts, join, text
from tui.panes.library.marks import Marks
from tui.panes.library.rows import RegistryRow, Row
from tui.panes.queue.view_model import STATE_ROLE
from tui.widgets.columns import Column

MARK: Final = "■"
OPEN, FOLDED = "▾", "▸"
_STATE_MARK: Final = {
    ImageState.CANDIDATE: "○",
    ImageState.APPROVED: "✓",
    ImageState.REJECTED: "✗",
    ImageState.REVOKED: "✗",
    ImageState.EXPIRED: "!",
}
_NEW_HOURS: Final = 24
_MOVED_DAYS: Final = 7
#: What `s` sorts by: the library's word, the column, the heading's words, and whether what is highest comes first.
SORTS: Final[tuple[tuple[str, str, str, bool], ...]] = (
    ("name", "name", "by repository, newest tag first", False),
    ("changed", "changed", "by last change", True),
    ("created", "", "by age of the image", True),
    ("size", "size", "by size", True),
    ("state", "state", "by state", False),
    ("type", "type", "by type", False),
    ("framework", "framework", "by framework", False),
    ("version", "", "by version", True),
)
TREE_SORTS: Final = frozenset({"name", "changed"})


def name_cell(image: ImageView) -> Line:
    """Registry, repository and tag."""
    head, slash, tail = image.repository.rpartition("/")
    return (
        *text(f"{image.registry}/{head}{slash}", "space"),
        *text(tail, "name" if image.gone_at is None else "faint"),
        *text(f":{image.tag}", "accent" if image.gone_at is None else "faint"),
    )


def state_cell(image: ImageView) -> Line:
    """Where it stands in curation: a mark and the word."""
    return text(f"{_STATE_MARK[image.state]} {image.state.value}", STATE_ROLE[image.state])


def is_moved(image: ImageView) -> bool:
    """Whether the tag's last change was that it named another digest."""
    return image.previous_digest is not None and image.changed_at > image.first_seen_at


def changed_cell(image: ImageView, now: datetime) -> Line:
    """What last became of the tag, in a word where that is news, and how long ago."""
    ago = fmt.age(image.changed_at, now)
    if image.gone_at is not None:
        return text(f"gone {fmt.age(image.gone_at, now)}", "warn")
    if is_moved(image) and now - image.changed_at < timedelta(days=_MOVED_DAYS):
        return text(f"moved {ago}", "warn")
    if now - image.changed_at < timedelta(hours=_NEW_HOURS):
        return text(f"new {ago}", "ok")
    return text(ago, "muted")


def news_cell(image: ImageView, now: datetime) -> Line:
    """What last became of the tag, where that is news."""
    return tuple(span for span in changed_cell(image, now) if span.role != "muted")


def model_words(image: ImageView) -> str:
    """Family, size and precision of the model, as far as they are told."""
    return " ".join(part for part in (image.family, image.parameters, image.precision) if part)


def server_words(image: ImageView) -> str:
    """What serves the model: `nim·vllm` where a framework holds an engine."""
    if image.engine and image.engine not in {image.framework, "unknown"}:
        return f"{image.framework}·{image.engine}"
    return "" if image.framework == "unknown" else image.framework


def row_name(row: Row) -> Line:
    """The name of a row: indented in the tree, whole in the flat list."""
    if row.registry is not None:
        return (
            Span(f"{OPEN if row.is_open else FOLDED} ", "accent"),
            *text(row.registry.name, "strong"),
            *text(f"  {row.registry.host}" if row.registry.host != row.registry.name else "", "faint"),
            *text(f"  {fmt.count(row.registry.repositories, 'repository', 'repositories')}", "muted"),
        )
    if row.repository is not None:
        newest = f", newest {row.repository.newest}" if row.repository.newest and not row.is_open else ""
        head, slash, tail = row.repository.name.rpartition("/")
        return (
            Span(f"  {OPEN if row.is_open else FOLDED} ", "accent"),
            *text(head + slash, "space"),
            *text(tail, "name"),
            *text(f"  {fmt.count(row.repository.tags, 'tag')}{newest}", "muted"),
        )
    if row.image is None:
        return EMPTY
    if row.in_tree:
        return (Span("      "), *text(row.image.tag, "accent" if row.image.gone_at is None else "faint"))
    return name_cell(row.image)


def _counts(approved: int, waiting: int) -> Line:
    return join(
        text(f"{_STATE_MARK[ImageState.APPROVED]} {approved}" if approved else "", "ok"),
        text(f"{_STATE_MARK[ImageState.CANDIDATE]} {waiting}" if waiting else "", "info"),
        gap="  ",
    )


def row_state(row: Row) -> Line:
    """Where an image stands; of a repository, how many of its tags are approved and how many wait."""
    if row.image is not None:
        return state_cell(row.image)
    inside = row.repository or row.registry
    return _counts(inside.approved, inside.waiting) if inside is not None else EMPTY


def row_changed(row: Row, now: datetime) -> Line:
    """When it last changed."""
    if row.image is not None:
        return changed_cell(row.image, now)
    inside = row.repository or row.registry
    return text(fmt.age(inside.changed_at, now), "muted") if inside is not None else EMPTY


def _of_image(say: Callable[[ImageView], str], role: str = "muted") -> Callable[[Row], Line]:
    return lambda row: text(say(row.image), role) if row.image is not None else EMPTY


def _row_types(row: Row) -> Line:
    if row.repository is not None:
        return text(" ".join(row.repository.types), "muted")
    return text(row.image.type, "muted") if row.image is not None else EMPTY


def _row_servers(row: Row) -> Line:
    if row.repository is not None:
        return text(" ".join(name for name in row.repository.frameworks if name != "unknown"), "muted")
    return text(server_words(row.image), "muted") if row.image is not None else EMPTY


def _row_running(row: Row) -> Line:
    running = row.image.running if row.image is not None else row.repository.running if row.repository else None
    return text(running, "accent") if running else EMPTY


def library_columns(now: Callable[[], datetime], marks: Marks, *, tree: bool = False) -> tuple[Column[Row], ...]:
    """The columns of the library; what matters less is left out where there is little room."""
    return (
        Column(
            key="mark",
            title="",
            cell=lambda row: (Span(MARK, "mine"),) if row.key in marks else EMPTY,
            minimum=1,
            tight=True,
        ),
        Column(key="name", title="IMAGE", cell=row_name, minimum=30, maximum=72, flex=1, keep_end=not tree),
        Column(key="state", title="STATE", cell=row_state, minimum=11),
        Column(key="type", title="TYPE", cell=_row_types, minimum=8, maximum=15, priority=3, shown_from=90),
        Column(key="framework", title="SERVER", cell=_row_servers, minimum=6, maximum=13, priority=4, shown_from=100),
        Column(
            key="model",
            title="MODEL",
            cell=_of_image(model_words),
            minimum=8,
            maximum=20,
            priority=6,
            shown_from=136,
        ),
        Column(
            key="size",
            title="SIZE",
            cell=_of_image(lambda image: fmt.size(image.size)),
            minimum=8,
            right=True,
            priority=2,
        ),
        Column(key="running", title="RUNS", cell=_row_running, minimum=4, right=True, priority=5, shown_from=112),
        Column(
            key="digest",
            title="DIGEST",
            cell=_of_image(lambda image: fmt.digest(image.digest), "faint"),
            minimum=12,
            priority=7,
            shown_from=124,
        ),
        Column(
            key="rule",
            title="RULE",
            cell=_of_image(lambda image: image.rule, "faint"),
            minimum=8,
            maximum=16,
            priority=8,
            shown_from=150,
        ),
        Column(
            key="changed",
            title="CHANGED",
            cell=lambda row: row_changed(row, now()),
            minimum=9,
            right=True,
            priority=2,
        ),
    )


def inside_section(row: Row, now: datetime) -> Section:
    """A repository or a registry, for the preview."""
    if row.repository is not None:
        view = row.repository
        rows = [
            ("registry", join(text(view.registry), text(view.host, "muted"), gap="  ")),
            ("tags", text(fmt.count(view.tags, "tag"))),
            ("newest", text(view.newest, "accent")),
            ("approved", text(view.approved, "ok" if view.approved else "muted")),
            ("candidates", text(view.waiting, "info" if view.waiting else "muted")),
            ("gone", text(view.gone, "warn") if view.gone else EMPTY),
            ("running", text(view.running, "accent") if view.running else EMPTY),
            ("types", text(" ".join(view.types))),
            ("servers", text(" ".join(view.frameworks), "muted")),
            ("changed", text(fmt.ago(view.changed_at, now))),
        ]
        return Section(view.name, facts(rows))
    return _registry_section(row.registry, now) if row.registry is not None else Section("", ())


def _registry_section(view: RegistryRow, now: datetime) -> Section:
    rows = [
        ("host", text(view.host)),
        ("holds", text(fmt.count(view.repositories, "repository", "repositories"))),
        ("tags", text(fmt.count(view.tags, "tag"))),
        ("approved", text(view.approved, "ok" if view.approved else "muted")),
        ("candidates", text(view.waiting, "info" if view.waiting else "muted")),
        ("changed", text(fmt.ago(view.changed_at, now))),
    ]
    return Section(view.name, facts(rows))
