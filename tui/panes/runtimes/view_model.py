"""Serving runtimes as rows and sections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from backend.core.views import RuntimeDetailView, RuntimeView, TemplateView
from tui import format as fmt
from tui.document import EMPTY, Line, Section, Span, join, label, text
from tui.panes.common.text import yaml_line
from tui.widgets.columns import Column


def ordered(runtimes: Iterable[RuntimeView]) -> list[RuntimeView]:
    """What is not approved first, then what is used most, then by name."""
    return sorted(runtimes, key=lambda one: (one.approved is not False, -len(one.used_by), one.namespace, one.name))


def key(runtime: RuntimeView) -> str:
    """What names a runtime among those of all contexts."""
    return f"{runtime.context}/{runtime.namespace}/{runtime.name}"


def where(runtime: RuntimeView) -> str:
    """Its namespace, or that it is the cluster's."""
    return runtime.namespace or "(cluster)"


def haystack(runtime: RuntimeView) -> str:
    """What a filter looks at."""
    words = (where(runtime), runtime.name, *runtime.formats, *runtime.images, *runtime.used_by, runtime.template)
    return " ".join(words)


def approved_cell(runtime: RuntimeView) -> Line:
    """Whether its images are approved."""
    if runtime.approved is None:
        return text("no image", "warn")
    return text("approved", "muted") if runtime.approved else text("unapproved", "violet")


def mark_cell(runtime: RuntimeView) -> Line:
    """What needs a look, without colour."""
    if runtime.approved is False:
        return text("U", "violet")
    return text("-", "faint") if runtime.disabled else EMPTY


def name_cell(runtime: RuntimeView) -> Line:
    """`namespace/name`."""
    return (*text(where(runtime) + "/", "space"), *text(runtime.name, "name"))


def image_cell(runtime: RuntimeView) -> Line:
    """Its first image, by repository and digest."""
    if not runtime.images:
        return text("no image", "warn")
    name, _, digest = runtime.images[0].partition("@")
    return join(text(name.rpartition("/")[2], "muted"), text(fmt.digest(digest) if digest else "by tag", "faint"))


def columns(contexts: Callable[[], int]) -> tuple[Column[RuntimeView], ...]:
    """The columns of runtimes; `contexts` tells of how many clusters they are."""
    context = Column[RuntimeView](
        key="context",
        title="CONTEXT",
        cell=lambda one: text(one.context if contexts() > 1 else "", "muted"),
        minimum=0,
        maximum=16,
        priority=6,
        shown_from=130,
        sort=lambda one: one.context,
    )
    return (
        Column(key="mark", title="", cell=mark_cell, minimum=1, tight=True),
        Column(
            key="name",
            title="NAMESPACE/NAME",
            cell=name_cell,
            minimum=24,
            maximum=44,
            flex=1,
            sort=lambda one: (one.namespace, one.name),
        ),
        Column(
            key="used",
            title="USED",
            cell=lambda one: text(str(len(one.used_by)) if one.used_by else "-", "" if one.used_by else "faint"),
            minimum=4,
            right=True,
            sort=lambda one: -len(one.used_by),
        ),
        Column(
            key="approved",
            title="IMAGE",
            cell=approved_cell,
            minimum=10,
            maximum=10,
            sort=lambda one: str(one.approved),
        ),
        Column(
            key="formats",
            title="FORMATS",
            cell=lambda one: text(", ".join(one.formats), "muted"),
            minimum=10,
            maximum=24,
            priority=3,
        ),
        Column(
            key="template",
            title="TEMPLATE",
            cell=lambda one: text(one.template or "-", "muted" if one.template else "faint"),
            minimum=10,
            maximum=18,
            priority=4,
            shown_from=84,
            sort=lambda one: one.template,
        ),
        Column(
            key="protocols",
            title="PROTOCOLS",
            cell=lambda one: text(", ".join(one.protocols), "faint"),
            minimum=8,
            maximum=16,
            priority=5,
            shown_from=120,
        ),
        Column(key="from", title="OF", cell=image_cell, minimum=20, maximum=40, priority=5, shown_from=110),
        context,
    )


def tally(runtimes: Sequence[RuntimeView]) -> Line:
    """How many are not approved, and how many nobody uses."""
    unapproved = sum(one.approved is False for one in runtimes)
    unused = sum(not one.used_by for one in runtimes)
    return join(
        text(f"{unapproved} unapproved" if unapproved else "", "violet"),
        text(f"{unused} unused" if unused else "", "muted"),
        gap="  ",
    )


def facts(runtime: RuntimeView, notes: Sequence[str] = ()) -> list[Section]:
    """A runtime's facts, who uses it, and what to know before it is touched."""
    lines: list[Line] = [
        *((*label("image", 10), *text(image, "name")) for image in runtime.images),
        (*label("approved", 10), *approved_cell(runtime), *text(f"  {runtime.approval_note}", "muted")),
        (*label("serves", 10), *text(", ".join(runtime.formats) or "nothing that it names")),
        (*label("protocols", 10), *text(", ".join(runtime.protocols) or "not told", "muted")),
        (*label("template", 10), *text(runtime.template or "none of Modelyard's", "muted")),
        *(
            [(*label("state", 10), *text("disabled: KServe uses it for no service", "warn"))]
            if runtime.disabled
            else []
        ),
    ]
    used = [text(name, "name") for name in runtime.used_by] or [text("no service names it", "muted")]
    sections = [Section("Runtime", tuple(lines)), Section("Used by", tuple(used))]
    if notes:
        told = tuple((Span("! ", "warn"), *text(note, "warn")) for note in notes)
        sections.insert(0, Section("Know before", told))
    return sections


def detail_sections(detail: RuntimeDetailView) -> list[Section]:
    """The page of a runtime."""
    manifest = tuple(yaml_line(line) for line in detail.manifest.splitlines())
    beside = [section._replace(side=True) for section in facts(detail.runtime, detail.notes)]
    return [*beside, Section("Manifest", manifest)]


def template_line(template: TemplateView) -> Line:
    """A template in a line."""
    return join(
        (Span(f"{template.name:<16}", "name"),),
        text(template.title),
        text(f"{template.version} {template.source.rpartition('/')[2]}", "faint"),
        gap="  ",
    )
