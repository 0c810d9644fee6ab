"""What is told of one image, tab by tab."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from backend.core.views import EvidenceView, ImageDetailView, ImageView, LineageView, TagEventView
from tui import format as fmt
from tui.document import EMPTY, Line, Section, Span, facts, join, label, pad, text
from tui.panes.common.text import yaml_line
from tui.panes.library.rows import Row
from tui.panes.library.view_model import changed_cell, inside_section, model_words, server_words, state_cell
from tui.panes.queue.detail_model import evidence_sections

TABS: Final = ("overview", "tags", "layers", "evidence", "card", "lineage", "manifest")
_TEXTS_SHOWN: Final = 40
_LAYERS_SHOWN: Final = 200
_LINES_SHOWN: Final = 2000
_SHARE: Final = 20
_READING: Final = (text("reading…", "muted"),)
_CHANGE_ROLE: Final = {"new": "ok", "back": "ok", "moved": "warn", "gone": "bad"}


def tab_line(chosen: str, width: int) -> Line:
    """The names of the tabs, the one that is shown between marks."""
    gap = Span("  " if width >= 90 else " ")
    line: list[Span] = [Span(" ")]
    for name in TABS:
        line.append(Span(f"▸{name}◂", "title-focus") if name == chosen else Span(f" {name} ", "muted"))
        line.append(gap)
    return tuple(line[:-1])


def preview_sections(row: Row, now: datetime) -> list[Section]:
    """What stands beside the list."""
    if row.image is not None:
        return [image_section(row.image, now)]
    return [inside_section(row, now)] if row.repository is not None or row.registry is not None else []


def sections_of(
    tab: str,
    image: ImageView,
    detail: ImageDetailView | None,
    history: Sequence[TagEventView] | None,
    evidence: Sequence[EvidenceView] | None,
    now: datetime,
) -> list[Section]:
    """A tab as sections; None is what was not read yet."""
    if tab == "tags":
        return _tags(detail, history)
    if tab == "evidence":
        # Its notes name keys of the queue's pages.
        return [section._replace(note="") for section in evidence_sections(evidence, now)]
    if detail is None:
        head = [image_section(image, now)] if tab == "overview" else []
        return [*head, Section("" if head else tab.capitalize(), _READING)]
    if tab == "layers":
        return _layers(detail)
    if tab == "card":
        return _card(detail)
    if tab == "lineage":
        return _lineage(detail, now)
    return _manifest(detail) if tab == "manifest" else _overview(image, detail, now)


def image_section(image: ImageView, now: datetime, detail: ImageDetailView | None = None) -> Section:
    """What the list knows of an image, and with its detail a little more."""
    rows = [
        ("state", state_cell(image)),
        ("type", join(text(image.type, "name"), text(image.kind, "muted"), gap="  ")),
        ("server", text(server_words(image))),
        ("model", text(model_words(image))),
        ("licence", text(image.licence)),
        ("size", text(fmt.size(image.size))),
        ("registry", join(text(image.registry), text(image.host, "muted"), gap="  ")),
        ("digest", text(image.digest, "muted")),
        (
            "before",
            join(text(image.previous_digest, "faint"), text("the tag moved", "warn"))
            if image.previous_digest
            else EMPTY,
        ),
        ("platforms", text(" ".join(image.platforms), "muted")),
        ("rule", text(image.rule, "muted")),
        ("created", text(fmt.moment(image.created_at)) if image.created_at else EMPTY),
        ("seen", text(f"first {fmt.moment(image.first_seen_at)}", "muted")),
        ("changed", join(changed_cell(image, now), text(fmt.moment(image.changed_at), "muted"), gap="  ")),
        ("running", _running(image.running)),
        ("tags", text(" ".join(detail.tags), "accent") if detail is not None else EMPTY),
        ("user", text(detail.user or "root: none is named", "" if detail.user else "warn") if detail else EMPTY),
        ("ports", text(" ".join(detail.exposed_ports)) if detail is not None else EMPTY),
    ]
    return Section("Image", facts(rows), side=True)


def history_lines(history: Sequence[TagEventView]) -> tuple[Line, ...]:
    """What tags named over time, the newest first."""
    ordered = sorted(history, key=lambda event: event.at, reverse=True)
    widest = min(28, max((len(event.tag) for event in ordered), default=0))
    lines = tuple(
        join(
            text(fmt.moment(event.at), "muted"),
            pad(text(event.change, _CHANGE_ROLE.get(event.change, "")), 5),
            pad(text(event.tag, "accent"), widest) if widest else EMPTY,
            text(fmt.digest(event.previous_digest) + " →" if event.previous_digest else "", "muted"),
            text(fmt.digest(event.digest) if event.digest else "", "name"),
            gap="  ",
        )
        for event in ordered
    )
    return lines or (text("nothing was recorded", "muted"),)


# ---------------------------------------------------------------- tabs


def _overview(image: ImageView, detail: ImageDetailView, now: datetime) -> list[Section]:
    sections = [image_section(image, now, detail)]
    if detail.classifications:
        lines: list[Line] = []
        for found in detail.classifications:
            by = (
                text(f"set by {found.set_by}", "accent")
                if found.set_by
                else text(f"{found.confidence:.0%} sure", "muted")
            )
            lines.append((*label(found.name, 12), *join(text(found.value or fmt.UNKNOWN, "name"), by, gap="  ")))
            if found.evidence:
                lines.append((Span(" " * 12, "label"), *text(found.evidence, "muted")))
        sections.append(Section("What it was found to be", tuple(lines), note="e corrects"))
    for title, values in (("Labels", detail.labels), ("Annotations", detail.annotations)):
        if values:
            sections.append(Section(title, _texts(values), note=_of(len(values), _TEXTS_SHOWN)))
    if detail.entrypoint:
        sections.append(Section("Entrypoint", (text(" ".join(detail.entrypoint)),)))
    if detail.environment:
        shown = tuple(text(entry) for entry in detail.environment[:_TEXTS_SHOWN])
        sections.append(Section("Environment", shown, note=_of(len(detail.environment), _TEXTS_SHOWN)))
    return sections


def _tags(detail: ImageDetailView | None, history: Sequence[TagEventView] | None) -> list[Section]:
    named = Section("Tags that name this digest", _READING)
    if detail is not None:
        tags = tuple(text(tag, "accent") for tag in detail.tags) or (text("none names it now", "warn"),)
        named = Section("Tags that name this digest", tags, note=str(len(detail.tags)))
    lines = history_lines(history) if history is not None else _READING
    return [named, Section("History of the tag", lines, note="newest first")]


def _layers(detail: ImageDetailView) -> list[Section]:
    sections: list[Section] = []
    if detail.platforms:
        lines = tuple(
            join(
                pad(text(platform.platform, "name"), 22),
                pad(text(fmt.size(platform.size), "muted"), 9, right=True),
                text(fmt.digest(platform.digest), "faint"),
                gap="  ",
            )
            for platform in detail.platforms
        )
        sections.append(Section("Platforms", lines, note=str(len(detail.platforms))))
    if not detail.layers:
        return [*sections, Section("Layers", (text("none: an index names manifests, not layers", "muted"),))]
    largest = max(size for _, _, size in detail.layers) or 1
    layers = tuple(
        (
            *pad(text(fmt.size(size)), 9, right=True),
            Span("  "),
            Span("█" * round(_SHARE * size / largest), "gauge-low"),
            Span("░" * (_SHARE - round(_SHARE * size / largest)), "faint"),
            Span("  "),
            *pad(text(fmt.digest(digest), "muted"), 14),
            *text(media, "faint"),
        )
        for media, digest, size in detail.layers[:_LAYERS_SHOWN]
    )
    total = sum(size for _, _, size in detail.layers)
    note = f"{_of(len(detail.layers), _LAYERS_SHOWN)}, {fmt.size(total)} compressed"
    return [*sections, Section("Layers", layers, note=note)]


def _card(detail: ImageDetailView) -> list[Section]:
    if not detail.card.strip():
        told = text("No model card came with it: neither a label nor a layer holds one.", "muted")
        return [Section("Model card", (told,))]
    lines = detail.card.splitlines()
    return [Section("Model card", tuple(_card_line(line) for line in lines[:_LINES_SHOWN]), note=_cut(len(lines)))]


def _card_line(line: str) -> Line:
    if line.startswith("#"):
        return text(line, "heading")
    return text(line, "accent") if line.lstrip().startswith(("- ", "* ")) else text(line)


def _lineage(detail: ImageDetailView, now: datetime) -> list[Section]:
    lineage = detail.lineage
    rules = tuple(
        join(text(rule, "name"), text(f"run {run}", "muted"), text(fmt.moment(at), "muted"), gap="  ")
        for rule, run, at in lineage.rules
    )
    base = join(text(lineage.base_name, "name"), text(lineage.base_digest, "faint"), gap="  ")
    order = facts(
        [
            ("follows", text(lineage.predecessor, "muted")),
            ("followed by", text(lineage.successor, "muted")),
        ]
    )
    attached = tuple((*pad(text(kind, "name"), 18), *text(digest, "faint")) for kind, digest in detail.referrers)
    return [
        Section("Taken in by", rules or (text("no rule that is known", "muted"),)),
        Section("Base image", (base or text("its annotations do not tell", "muted"),)),
        Section("In the order of versions", order or (text("it is the only one of its kind here", "muted"),)),
        Section("Made from", _parents(lineage, now), note="p names a parent"),
        *(
            (Section("Others were made from it", tuple(text(child, "name") for child in lineage.children)),)
            if lineage.children
            else ()
        ),
        Section("Attached to it", attached or (text("no signature, SBOM or report was found", "muted"),)),
        _running_section(lineage),
    ]


def _parents(lineage: LineageView, now: datetime) -> tuple[Line, ...]:
    if not lineage.parents:
        return (text("nobody named a parent", "muted"),)
    lines: list[Line] = []
    for parent in lineage.parents:
        lines.append(join(text(parent.relation, "accent"), text(parent.reference, "name"), gap="  "))
        who = f"named by {parent.named_by} {fmt.ago(parent.at, now)}"
        lines.append((Span("  "), *join(text(who, "muted"), text(parent.note), gap="  ")))
    return tuple(lines)


def _running_section(lineage: LineageView) -> Section:
    if lineage.running is None:
        return Section("Runs in", (text("unknown: no cluster was asked", "warn"),))
    services = tuple(text(service, "accent") for service in lineage.running)
    return Section("Runs in", services or (text("no service", "muted"),), note=str(len(services)) if services else "")


def _manifest(detail: ImageDetailView) -> list[Section]:
    lines = detail.manifest.splitlines()
    told = facts(
        [
            ("media type", text(detail.media_type, "muted")),
            ("artifact type", text(detail.artifact_type, "muted")),
        ]
    )
    shown = tuple(_sanitised(line) for line in lines[:_LINES_SHOWN])
    return [
        Section("Manifest", (*told, *((EMPTY,) if told else ()), *shown), note=_cut(len(lines)) or "y searches in it")
    ]


def _sanitised(line: str) -> Line:
    return tuple(part for span in yaml_line(line) for part in text(span.text, span.role))


# ---------------------------------------------------------------- words


def _texts(values: dict[str, str]) -> tuple[Line, ...]:
    widest = min(34, max(len(key) for key in values))
    shown = sorted(values.items())[:_TEXTS_SHOWN]
    return tuple((*label(key, widest + 2), *text(value)) for key, value in shown)


def _running(count: int | None) -> Line:
    if count is None:
        return text("unknown: no cluster was asked", "muted")
    return text(fmt.count(count, "service"), "accent") if count else text("no service", "muted")


def _of(number: int, shown: int) -> str:
    return str(number) if number <= shown else f"{shown} of {number}"


def _cut(number: int) -> str:
    return f"the first {_LINES_SHOWN} of {number} lines; y shows all" if number > _LINES_SHOWN else ""
