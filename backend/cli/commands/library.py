"""`sync` and `images`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from backend.cli.output import Column, pairs, parse_time, plain, size_text
from backend.cli.session import Session
from backend.core.errors import ModelyardError, PartialFailureError, UnreachableError, UsageError
from backend.core.references import short_digest
from backend.core.text import sanitise
from backend.core.views import (
    ImageDetailView,
    ImageView,
    SyncEntryView,
    SyncResultView,
    TagEventView,
)


def add_to(application: typer.Typer) -> None:
    """Add `sync` and `images`."""
    application.command("sync")(_sync)
    images = typer.Typer(help="Images of the library.", rich_markup_mode=None)
    images.command("list")(_images_list)
    images.command("show")(_images_show)
    images.command("history")(_images_history)
    application.add_typer(images, name="images")


def _sync(
    context: typer.Context,
    rule: Annotated[str | None, typer.Option("--rule", help="Only this rule.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would change; write nothing.")] = False,
) -> None:
    """Synchronise images from the registries, by the rules."""
    session: Session = context.obj
    result = session.run(lambda yard: yard.runs.synchronise(rule, dry_run=dry_run, allow_many=session.options.yes))
    session.print.item(result, _sync_text(result), data=_sync_data(result))
    raise_for_failures(result)


def raise_for_failures(result: SyncResultView) -> None:
    """Turn the failures of a run into the error that the contract's exit status asks for.

    Raises:
        UnreachableError: nothing that was asked for could be reached.
        UsageError: nothing was, for the configuration is wrong.
        PartialFailureError: a part failed.
    """
    if not result.failed:
        return
    first = result.failed[0]
    where = "/".join(part for part in (first.registry, first.repository) if part)
    where += f":{first.tag}" if first.tag else ""
    more = f" (and {len(result.failed) - 1} more)" if len(result.failed) > 1 else ""
    seen = len(result.new) + len(result.moved) + len(result.gone) + result.unchanged
    failure: type[ModelyardError] = PartialFailureError
    if not seen and all(failed.unreachable for failed in result.failed):
        failure = UnreachableError
    elif not seen and all(failed.misconfigured for failed in result.failed):
        failure = UsageError
    raise failure(f"sync of {where}", first.reason + more, first.action or "run modelyard doctor, then sync again")


def _sync_data(result: SyncResultView) -> dict[str, Any]:
    def entry(of: SyncEntryView) -> dict[str, Any]:
        data = {"registry": of.registry, "repository": of.repository, "tag": of.tag, "digest": of.digest}
        return data if of.previous is None else {**data, "from": of.previous, "to": of.digest}

    return {
        "new": [entry(one) for one in result.new],
        "moved": [entry(one) for one in result.moved],
        "gone": [entry(one) for one in result.gone],
        "failed": [plain(one) for one in result.failed],
        "unchanged": result.unchanged,
        "skipped": result.skipped,
        "dry_run": result.dry_run,
        "run": result.run,
        "requests": result.requests,
        "bytes": result.bytes,
        "seconds": round(result.seconds, 3),
    }


def _sync_text(result: SyncResultView) -> str:
    lines = [f"new    {one.registry}/{one.repository}:{one.tag}  {short_digest(one.digest)}" for one in result.new]
    lines += [
        f"moved  {one.registry}/{one.repository}:{one.tag}"
        f"  {short_digest(one.previous or '')} > {short_digest(one.digest)}"
        for one in result.moved
    ]
    lines += [f"gone   {one.registry}/{one.repository}:{one.tag}  {short_digest(one.digest)}" for one in result.gone]
    lines += [f"FAILED {one.registry}/{one.repository}:{one.tag}  {sanitise(one.reason)}" for one in result.failed]
    would = "would be " if result.dry_run else ""
    lines.append(
        f"{would}{len(result.new)} new, {len(result.moved)} moved, {len(result.gone)} gone, "
        f"{len(result.failed)} failed, {result.unchanged} unchanged; {result.requests} requests, "
        f"{size_text(result.bytes)}, {result.seconds:.1f} s"
    )
    return "\n".join(lines)


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
