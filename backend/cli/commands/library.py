"""`images`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from backend.cli.output import Column, pairs, parse_time, plain, size_text
from backend.cli.session import Session
from backend.core.errors import UsageError
from backend.core.references import short_digest
from backend.core.views import (
    ImageDetailView,
    ImageView,
    TagEventView,
)


def add_to(application: typer.Typer) -> None:
    """Add `images`."""
    images = typer.Typer(help="Images of the library.", rich_markup_mode=None)
    images.command("list")(_images_list)
    images.command("show")(_images_show)
    images.command("history")(_images_history)
    application.add_typer(images, name="images")


_IMAGES: list[Column[ImageView]] = [
    ("REGISTRY", lambda image: image.registry),
    ("REPOSITORY", lambda image: image.repository),
    ("TAG", lambda image: image.tag),
    ("DIGEST", lambda image: short_digest(image.digest)),
    ("TYPE", lambda image: image.type),
    ("FRAMEWORK", lambda image: image.framework),
    ("SIZE", lambda image: size_text(image.size)),
    ("STATE", lambda image: image.state.value + (" (gone)" if image.gone_at else "")),
    ("CHANGED", lambda image: image.changed_at),
]


def _images_list(
    context: typer.Context,
    filter_text: Annotated[str, typer.Option("--filter", metavar="Q", help="Words that must occur.")] = "",
    approved: Annotated[bool, typer.Option("--approved", help="Only the curated library.")] = False,
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help="With --approved: as it was then.")] = None,
) -> None:
    """List the library, or what is (or was) approved."""
    session: Session = context.obj
    moment = _moment(at)
    if moment is not None and not approved:
        raise UsageError("images list", "--at tells what was approved then", "give --approved with it")
    images = session.run(lambda yard: yard.library.images(filter_text, approved=approved, at=moment))
    session.print.rows(images, _IMAGES, empty="no images; run modelyard sync")


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_time(text)
    except ValueError as error:
        raise UsageError("--at", f"{text!r} is not a time", "write 2026-01-31 or 2026-01-31T14:00:00Z") from error


def _images_show(context: typer.Context, reference: Annotated[str, typer.Argument(metavar="REF")]) -> None:
    """Show all that is known of an image."""
    session: Session = context.obj
    detail = session.run(lambda yard: yard.library.image(reference))
    session.print.item(detail, _detail_text(detail), data=_detail_data(detail))


def _detail_data(detail: ImageDetailView) -> dict[str, Any]:
    """The keys of an entry of `images list`, then those that only a single image has."""
    more = plain(detail)
    del more["image"]
    return {**plain(detail.image), **more}


def _detail_text(detail: ImageDetailView) -> str:
    image = detail.image
    values: list[tuple[str, object]] = [
        ("image", image.reference),
        ("tags", detail.tags),
        ("state", image.state.value),
        ("kind", image.kind),
        ("media type", detail.media_type),
        ("platforms", image.platforms),
        ("size", size_text(image.size)),
        ("created", image.created_at),
        ("first seen", image.first_seen_at),
        ("rule", image.rule),
        ("entrypoint", " ".join(detail.entrypoint)),
    ]
    values += [
        (one.name, f"{one.value}  ({one.evidence}, {one.confidence:.0%} sure)") for one in detail.classifications
    ]
    values += [(f"label {name}", value) for name, value in sorted(detail.labels.items())]
    values += [(f"annotation {name}", value) for name, value in sorted(detail.annotations.items())]
    values += [("referrer", f"{kind} {short_digest(digest)}") for kind, digest in detail.referrers]
    return pairs(values)


_EVENTS: list[Column[TagEventView]] = [
    ("AT", lambda event: event.at),
    ("CHANGE", lambda event: event.change),
    ("TAG", lambda event: f"{event.registry}/{event.repository}:{event.tag}"),
    ("FROM", lambda event: short_digest(event.previous_digest or "")),
    ("TO", lambda event: short_digest(event.digest or "")),
]


def _images_history(context: typer.Context, reference: Annotated[str, typer.Argument(metavar="REF")]) -> None:
    """Show every change of an image's tags."""
    session: Session = context.obj
    events = session.run(lambda yard: yard.library.history(reference))
    session.print.rows(events, _EVENTS, empty="no changes are recorded")
