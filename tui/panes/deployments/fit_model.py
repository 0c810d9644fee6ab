"""Where a deployment would run, as the form and the plan tell it: an estimate, called so."""

from __future__ import annotations

from backend.core.views import FitView
from tui.document import Line, Section, Span, join, text

_VERDICTS = {
    "now": ("✓", "ok"),
    "preempts": ("!", "warn"),
    "waits": ("!", "warn"),
    "never": ("✗", "bad"),
    "unknown": ("?", "muted"),
}
_MOST_NODES = 10
_MOST_GOES = 3


def verdict_line(fit: FitView) -> Line:
    """Whether it runs now, and what it waits for."""
    mark, role = _VERDICTS.get(fit.verdict, ("?", "muted"))
    return (Span(f"{mark} ", role), *text(fit.sentence, role))


def goes_line(fit: FitView) -> Line:
    """What would be pushed out or have to go, in a line."""
    verb = "pushes out" if fit.by_itself else "would have to go"
    names = ", ".join(
        f"{each.namespace}/{each.name} ({each.gpus} GPU{'' if each.gpus == 1 else 's'}, {each.reason})"
        for each in fit.goes[:_MOST_GOES]
    )
    more = f" and {len(fit.goes) - _MOST_GOES} more" if len(fit.goes) > _MOST_GOES else ""
    return join(text(f"{verb}:", "muted"), text(names + more))


def nodes_of(fit: FitView) -> tuple[Line, ...]:
    """The nodes that matter, a line each, those that take most pods first."""
    nodes = fit.nodes[:_MOST_NODES]
    width = max((len(node.name) for node in nodes), default=0) + 2
    lines: list[Line] = []
    for node in nodes:
        free = text(f"{node.free:>3} of {node.gpus:<3} free  ") if node.gpus else ()
        told = text(node.barred, "muted") if node.barred else text(f"takes {node.pods}", "ok" if node.pods else "muted")
        product = text(f"  {node.product}", "muted")
        lines.append((*text(node.name.ljust(width), "name"), *free, *told, *product))
    return tuple(lines)


def fit_section(fit: FitView) -> Section:
    """A fit as a part of the plan."""
    lines: list[Line] = [verdict_line(fit)]
    if fit.goes:
        lines.append(goes_line(fit))
    # What quotas say stands among what the plan needs.
    lines += [(Span("! ", "warn"), *text(fit.queue, "warn"))] if fit.queue else []
    lines += [text(fit.memory, "muted")] if fit.memory else []
    lines += [text(f"not counted: {note}", "muted") for note in fit.notes]
    return Section("Where it would run", (*lines, *nodes_of(fit)), note="an estimate")
