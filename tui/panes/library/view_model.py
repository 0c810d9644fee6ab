"""Images as rows, and what changed of them lately."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from backend.core.views import ImageView, SourceState, SourceView, SyncProgressView
from tui import format as fmt
from tui.document import EMPTY, Line, Span, text
from tui.panes.queue.view_model import STATE_ROLE
from tui.widgets.columns import Column


class NewsRow(NamedTuple):
    """Something that happened to the library: a tag that is new, moved or gone, or a registry that fails."""

    key: str
    what: str
    role: str
    name: str
    detail: str
    at: datetime | None


def newest_first(images: Iterable[ImageView]) -> list[ImageView]:
    """By the time of their last change."""
    return sorted(images, key=lambda image: image.changed_at, reverse=True)


def by_name(images: Iterable[ImageView]) -> list[ImageView]:
    """By registry and repository, the newest tag of each first."""
    return sorted(images, key=lambda image: (image.registry, image.repository, -image.changed_at.timestamp()))


def name_cell(image: ImageView) -> Line:
    """Registry, repository and tag."""
    head, slash, tail = image.repository.rpartition("/")
    return (
        *text(f"{image.registry}/{head}{slash}", "space"),
        *text(tail, "name" if image.gone_at is None else "faint"),
        *text(f":{image.tag}", "accent" if image.gone_at is None else "faint"),
    )


def state_cell(image: ImageView) -> Line:
    """Where it stands in curation."""
    if image.gone_at is not None:
        return text("gone", "faint")
    return text(image.state.value, STATE_ROLE[image.state])


def image_columns(now: Callable[[], datetime]) -> tuple[Column[ImageView], ...]:
    """The columns of the library."""
    return (
        Column(
            key="name",
            title="IMAGE",
            cell=name_cell,
            minimum=34,
            maximum=72,
            flex=1,
            keep_end=True,
            sort=lambda image: (image.registry, image.repository, image.tag),
        ),
        Column(key="state", title="STATE", cell=state_cell, minimum=9, sort=lambda image: image.state.value),
        Column(
            key="type",
            title="TYPE",
            cell=lambda image: text(image.type, "muted"),
            minimum=8,
            maximum=15,
            priority=3,
            shown_from=78,
            sort=lambda image: image.type,
        ),
        Column(
            key="framework",
            title="ENGINE",
            cell=lambda image: text(image.framework, "muted"),
            minimum=6,
            maximum=9,
            priority=4,
            shown_from=95,
            sort=lambda image: image.framework,
        ),
        Column(
            key="size",
            title="SIZE",
            cell=lambda image: text(fmt.size(image.size), "muted"),
            minimum=8,
            right=True,
            priority=2,
            sort=lambda image: image.size or 0,
        ),
        Column(
            key="digest",
            title="DIGEST",
            cell=lambda image: text(fmt.digest(image.digest), "faint"),
            minimum=12,
            priority=6,
            shown_from=120,
            sort=lambda image: image.digest,
        ),
        Column(
            key="rule",
            title="RULE",
            cell=lambda image: text(image.rule, "faint"),
            minimum=8,
            maximum=16,
            priority=7,
            shown_from=140,
            sort=lambda image: image.rule,
        ),
        Column(
            key="changed",
            title="CHANGED",
            cell=lambda image: text(fmt.age(image.changed_at, now()), "muted"),
            minimum=4,
            maximum=8,
            right=True,
            priority=2,
            sort=lambda image: image.changed_at,
        ),
    )


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
    if image.previous_digest is not None and image.changed_at > image.first_seen_at:
        moved = f"{fmt.digest(image.previous_digest, 4)}→{fmt.digest(image.digest, 4)}"
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


def haystack(image: ImageView) -> str:
    """What a filter looks at."""
    gone = "gone" if image.gone_at is not None else ""
    return (
        f"{image.registry}/{image.repository}:{image.tag} {image.state.value} {image.type} {image.framework} "
        f"{image.kind} {image.digest} {image.rule} {gone}"
    )
