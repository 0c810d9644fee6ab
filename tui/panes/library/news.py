"""What happened to the library lately, for the overview."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from backend.core.views import ImageView, SourceState, SourceView, SyncProgressView
from tui import format as fmt
from tui.document import EMPTY, Span, text
from tui.panes.library.view_model import is_moved
from tui.widgets.columns import Column


class NewsRow(NamedTuple):
    """Something that happened to the library: a tag that is new, moved or gone, or a registry that fails."""

    key: str
    what: str
    role: str
    name: str
    detail: str
    at: datetime | None


def news(
    images: Iterable[ImageView],
    sources: Iterable[SourceView],
    runs: Iterable[SyncProgressView],
    now: datetime,
    hours: int = 24,
    limit: int = 50,
) -> list[NewsRow]:
    """What happened to the library lately: runs under way, registries that fail, tags that changed, newest first."""
    rows = [_run_row(run) for run in runs if not run.finished or run.error]
    rows += [
        NewsRow(
            f"source/{source.name}", "FAILED", "bad", source.name, source.detail or source.state.value, source.as_of
        )
        for source in sources
        if source.kind == "registry" and source.state in {SourceState.LOST, SourceState.REFUSED}
    ]
    start = now - timedelta(hours=hours)
    changed = sorted(
        (image for image in images if image.changed_at > start), key=lambda image: image.changed_at, reverse=True
    )
    return rows + [_image_row(image) for image in changed[:limit]]


def _run_row(run: SyncProgressView) -> NewsRow:
    if run.error:
        return NewsRow(f"run/{run.run}", "FAILED", "bad", run.rule, run.error, None)
    total = f" of {run.total}" if run.total is not None else ""
    return NewsRow(f"run/{run.run}", "sync", "info", run.rule, f"{run.done}{total}  {run.repository}", None)


def _image_row(image: ImageView) -> NewsRow:
    name = f"{image.repository}:{image.tag}"
    key = f"image/{image.registry}/{name}"
    if image.gone_at is not None:
        return NewsRow(key, "gone", "warn", name, fmt.digest(image.digest, 4), image.changed_at)
    if is_moved(image):
        moved = f"{fmt.digest(image.previous_digest or '', 4)}→{fmt.digest(image.digest, 4)}"
        return NewsRow(key, "moved", "warn", name, moved, image.changed_at)
    return NewsRow(key, "new", "ok", name, image.type, image.changed_at)


def news_columns(now: Callable[[], datetime]) -> tuple[Column[NewsRow], ...]:
    """The columns of the library's news, for the overview."""
    del now
    return (
        Column(key="what", title="", cell=lambda row: (Span(row.what, row.role),), minimum=6),
        Column(
            key="name", title="", cell=lambda row: text(row.name, "name"), minimum=16, maximum=44, flex=2, keep_end=True
        ),
        Column(
            key="detail",
            title="",
            cell=lambda row: text(row.detail, "muted"),
            minimum=9,
            maximum=30,
            flex=1,
            priority=2,
        ),
        Column(
            key="at",
            title="",
            cell=lambda row: text(fmt.clock_time(row.at), "faint") if row.at else EMPTY,
            minimum=5,
            right=True,
            priority=3,
        ),
    )
