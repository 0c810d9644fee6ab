"""`images`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

import typer

from backend.cli.output import Column, cell, note, pairs, parse_time, plain, size_text
from backend.cli.session import Session
from backend.core.errors import UsageError
from backend.core.references import short_digest
from backend.core.settings import parse_duration
from backend.core.text import sanitise
from backend.core.views import (
    ClassificationView,
    ImageDetailView,
    ImageView,
    LineageView,
    PruneView,
    TagEventView,
)
from backend.yard import Yard

_CARD_LINES: Final = 200
_NO_CLUSTER: Final = "modelyard: no cluster was asked what is in use: none is configured, and there is no kubeconfig"


_FILTER_HELP = (
    "Words that must occur, and terms: type framework engine registry repo tag kind state approved:yes size:<20GB "
    "moved:7d new:7d gone:yes platform licence family parameters precision digest rule running:yes. Quotes keep "
    "spaces; - in front turns a word or term round."
)


def add_to(application: typer.Typer) -> None:
    """Add `images`."""
    images = typer.Typer(help="Images of the library.", rich_markup_mode=None)
    images.command("list")(_images_list)
    images.command("show")(_images_show)
    images.command("history")(_images_history)
    images.command("correct")(_images_correct)
    images.command("parent")(_images_parent)
    images.command("prune")(_images_prune)
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
    filter_text: Annotated[str, typer.Option("--filter", metavar="Q", help=_FILTER_HELP)] = "",
    approved: Annotated[bool, typer.Option("--approved", help="Only the curated library.")] = False,
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help="With --approved: as it was then.")] = None,
) -> None:
    """List the library, or what is (or was) approved."""
    session: Session = context.obj
    moment = _moment(at)
    if moment is not None and not approved:
        raise UsageError("images list", "--at tells what was approved then", "give --approved with it")
    images = session.run(lambda yard: yard.library.images(filter_text, approved=approved, at=moment))
    empty = "no images match" if filter_text or approved else "no images; run modelyard sync"
    session.print.rows(images, _IMAGES, empty=empty)


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
        ("licence", image.licence),
        ("entrypoint", " ".join(detail.entrypoint)),
        ("user", detail.user),
        ("ports", detail.exposed_ports),
    ]
    values += [(one.name, f"{one.value}  ({_said_by(one)})") for one in detail.classifications]
    values += [("layer", f"{size_text(size)}  {short_digest(digest)}  {kind}") for kind, digest, size in detail.layers]
    values += [
        ("platform", f"{one.platform}  {size_text(one.size)}  {short_digest(one.digest)}") for one in detail.platforms
    ]
    values += _lineage_lines(detail.lineage)
    values += [(f"label {name}", value) for name, value in sorted(detail.labels.items())]
    values += [(f"annotation {name}", value) for name, value in sorted(detail.annotations.items())]
    values += [("referrer", f"{kind} {short_digest(digest)}") for kind, digest in detail.referrers]
    card = "\n".join(sanitise(line) for line in detail.card.splitlines()[:_CARD_LINES])
    return pairs(values) + (f"\n\n{card}" if card else "")


def _said_by(one: ClassificationView) -> str:
    return f"{one.set_by}: {one.evidence}" if one.set_by else f"{one.evidence}, {one.confidence:.0%} sure"


def _lineage_lines(lineage: LineageView) -> list[tuple[str, object]]:
    lines: list[tuple[str, object]] = []
    for rule, run, at in lineage.rules:
        lines.append((f"taken in by {rule}", f"{cell(at)}  run {run or 'not known'}"))
    base = " ".join(part for part in (lineage.base_name, lineage.base_digest) if part)
    lines += [
        (name, told)
        for name, told in (
            ("base", base),
            ("version before", lineage.predecessor),
            ("version after", lineage.successor),
        )
        if told
    ]
    lines += [
        (f"{one.relation} from", f"{one.reference}  ({one.named_by}{': ' + one.note if one.note else ''})")
        for one in lineage.parents
    ]
    lines += [("parent of", child) for child in lineage.children]
    if lineage.running is None:
        return [*lines, ("runs as", "not known: no cluster was heard")]
    return [*lines, ("runs as", lineage.running or "nothing")]


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


def _images_correct(
    context: typer.Context,
    reference: Annotated[str, typer.Argument(metavar="REF")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the ledger.")],
    kind: Annotated[str | None, typer.Option("--kind", help="Such as image, modelpack, modelcar.")] = None,
    type_: Annotated[str | None, typer.Option("--type", help="Such as chat, embedding, reranking.")] = None,
    framework: Annotated[str | None, typer.Option("--framework", help="Such as nim, vllm, triton.")] = None,
    engine: Annotated[str | None, typer.Option("--engine", help="What computes inside of the framework.")] = None,
    family: Annotated[str | None, typer.Option("--family", help="Such as llama.")] = None,
    parameters: Annotated[str | None, typer.Option("--parameters", help="Such as 70b.")] = None,
    precision: Annotated[str | None, typer.Option("--precision", help="Such as fp8.")] = None,
) -> None:
    """Correct what is told of an image; an empty value takes a correction back. No later run overwrites it."""
    session: Session = context.obj
    told = {
        "kind": kind, "type": type_, "framework": framework, "engine": engine, "family": family,
        "parameters": parameters, "precision": precision,
    }  # fmt: skip
    given = {name: value for name, value in told.items() if value is not None}
    if not given:
        raise UsageError("images correct", "it says nothing", "give --type, --kind or another property")

    async def work(yard: Yard) -> ImageDetailView:
        image = await yard.library.image(reference)
        for name, value in given.items():
            image = await yard.library.correct(image.image.reference, name=name, value=value, reason=reason)
        return image

    detail = session.run(work)
    session.print.item(detail, _detail_text(detail), data=_detail_data(detail))


def _images_parent(
    context: typer.Context,
    reference: Annotated[str, typer.Argument(metavar="REF")],
    parent: Annotated[str, typer.Option("--parent", metavar="X", help="What it was made from: a REF, or any text.")],
    relation: Annotated[
        str, typer.Option("--relation", help="fine-tuned, distilled, quantised, merged or derived.")
    ] = "derived",
    text: Annotated[str, typer.Option("--note", metavar="TEXT", help="What else there is to say.")] = "",
    remove: Annotated[bool, typer.Option("--remove", help="Take it back.")] = False,
) -> None:
    """Name what an image was made from."""
    session: Session = context.obj
    detail = session.run(
        lambda yard: yard.library.name_parent(reference, parent=parent, relation=relation, note=text, remove=remove)
    )
    session.print.item(detail, _detail_text(detail), data=_detail_data(detail))


def _images_prune(
    context: typer.Context,
    older_than: Annotated[str, typer.Option("--older-than", metavar="TIME", help="Such as 90d.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be removed; remove nothing.")] = False,
) -> None:
    """Remove what no tag has named for long; never what is in use, approved, waiting, or needed for a rollback."""
    session: Session = context.obj
    try:
        duration = parse_duration(older_than)
    except (ValueError, OverflowError) as error:
        raise UsageError("--older-than", f"{older_than!r} is no time", "write 90d") from error
    if not dry_run:
        planned = session.run(lambda yard: yard.library.prune(duration, dry_run=True))
        if not planned.asked_cluster:
            note(_NO_CLUSTER)
        if planned.removed:
            session.confirm(f"remove {len(planned.removed)} images ({size_text(planned.bytes)}) from the library?")
    result = session.run(lambda yard: yard.library.prune(duration, dry_run=dry_run))
    if dry_run and not result.asked_cluster:
        note(_NO_CLUSTER)
    session.print.item(result, _prune_text(result))


def _prune_text(result: PruneView) -> str:
    done = "would be removed" if result.dry_run else "removed"
    lines = [f"{done}  {cell(one.reference)}  {cell(one.tag)}  {cell(one.reason)}" for one in result.removed]
    lines += [f"kept  {cell(one.reference)}  {cell(one.tag)}  {cell(one.reason)}" for one in result.kept]
    lines.append(
        f"{len(result.removed)} {done} ({size_text(result.bytes)}), {len(result.kept)} kept, of what no tag has named"
        f" since {cell(result.before)}"
    )
    return "\n".join(lines)
