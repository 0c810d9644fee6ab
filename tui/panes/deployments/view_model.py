"""Services as rows: worst first, with the reason in a clause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

from backend.core.gpu_lists import short_product
from backend.core.views import ServiceView, Verdict
from tui import format as fmt
from tui.document import EMPTY, Line, Span, join, text
from tui.widgets.columns import Column

_RANK: Final = {
    Verdict.FAILED: 0,
    Verdict.STUCK: 1,
    Verdict.DEGRADED: 2,
    Verdict.SLOW_TO_LOAD: 3,
    Verdict.UNKNOWN: 5,
    Verdict.STARTING: 6,
    Verdict.SERVING: 7,
    Verdict.SCALED_TO_ZERO: 8,
    Verdict.STOPPED: 9,
}
_UNAPPROVED_RANK: Final = 4
# By verdict, and whether something unapproved runs.
_RANKS: Final = {
    (verdict, unapproved): min(own, _UNAPPROVED_RANK) if unapproved else own
    for verdict, own in _RANK.items()
    for unapproved in (False, True)
}
_LOOK: Final = {
    Verdict.FAILED: ("X", "FAILED", "bad"),
    Verdict.STUCK: ("X", "STUCK", "bad"),
    Verdict.DEGRADED: ("!", "DEGRADED", "warn"),
    Verdict.SLOW_TO_LOAD: ("!", "SLOW", "warn"),
    Verdict.UNKNOWN: ("?", "UNKNOWN", "warn"),
    Verdict.STARTING: ("~", "STARTING", "info"),
    Verdict.SERVING: (" ", "SERVING", "ok"),
    Verdict.SCALED_TO_ZERO: ("z", "AT ZERO", "muted"),
    Verdict.STOPPED: ("-", "STOPPED", "faint"),
}


def is_unapproved(service: ServiceView) -> bool:
    """Whether something runs or is asked for that nobody approved."""
    return service.approved is False


def rank(service: ServiceView) -> int:
    """How urgent: 0 is failed."""
    return _RANKS[service.verdict, service.approved is False]


def worst_first(services: Iterable[ServiceView]) -> list[ServiceView]:
    """By urgency, then by the GPUs that are held, then by name."""
    return sorted(
        services,
        key=lambda service: (
            _RANKS[service.verdict, service.approved is False],
            -service.gpus,
            service.namespace,
            service.name,
        ),
    )


def verdict_counts(services: Iterable[ServiceView]) -> Counter[tuple[Verdict, bool]]:
    """How many services there are of each verdict, approved and not."""
    return Counter((service.verdict, service.approved is False) for service in services)


def look(service: ServiceView) -> tuple[str, str, str]:
    """Mark, word and role of a service."""
    mark, word, role = _LOOK[service.verdict]
    if is_unapproved(service) and _RANK[service.verdict] > _UNAPPROVED_RANK:
        return "U", word, "violet"
    return mark, word, role


def mark_cell(service: ServiceView) -> Line:
    """The mark that tells a verdict without colour."""
    mark, _, role = look(service)
    return (Span(mark, role),) if mark.strip() else EMPTY


def verdict_cell(service: ServiceView) -> Line:
    """The verdict in a word."""
    _, word, role = look(service)
    return (Span(word, role),)


def name_cell(service: ServiceView) -> Line:
    """`namespace/name`."""
    return (*text(service.namespace + "/", "space"), *text(service.name, "name"))


def lost_note(service: ServiceView) -> str:
    """As of when a row is that nobody watches any more."""
    return f"as of {fmt.clock_time(service.as_of)} UTC, watch lost" if service.as_of is not None else ""


def replicas_cell(service: ServiceView) -> Line:
    """Ready of wanted replicas."""
    short = service.ready_replicas < service.wanted_replicas
    role = "warn" if short else "muted"
    return (Span(f"{service.ready_replicas}/{service.wanted_replicas}", role),)


def gpus_cell(service: ServiceView) -> Line:
    """GPUs that it asks for: `16xH100`."""
    if not service.gpus:
        return text("no GPU", "faint")
    product = short_product(service.gpu_type)
    return text(f"{service.gpus}x{product}" if product else f"{service.gpus} GPU", "muted")


def reason_cell(service: ServiceView) -> Line:
    """Why the verdict is so; of a service that is well, what it serves."""
    if service.as_of is not None:
        return join(text(lost_note(service), "warn"), text(service.reason, "faint"), gap="; ")
    if is_unapproved(service) and _RANK[service.verdict] > _UNAPPROVED_RANK:
        return text(service.approval_note or "its digest was never approved", "violet")
    if service.verdict is Verdict.SERVING:
        return text(service.model or service.reason, "muted")
    role = "" if rank(service) < _UNAPPROVED_RANK else "muted"
    return join(text(service.reason, role), text(service.approval_note, "violet") if is_unapproved(service) else EMPTY)


def service_columns(now: Callable[[], datetime], *, narrow: bool = False) -> tuple[Column[ServiceView], ...]:
    """The columns of services; `narrow` is for the overview."""
    since = lambda service: text(fmt.age(service.since, now()), "muted")  # noqa: E731 - a column's cell
    columns = [
        Column(key="mark", title="", cell=mark_cell, minimum=1, tight=True),
        Column(key="verdict", title="VERDICT", cell=verdict_cell, minimum=8, sort=rank),
        Column(
            key="name",
            title="NAMESPACE/NAME",
            cell=name_cell,
            minimum=20,
            maximum=26 if narrow else 34,
            sort=lambda service: (service.namespace, service.name),
        ),
        Column(
            key="replicas",
            title="READY",
            cell=replicas_cell,
            minimum=3 if narrow else 5,
            maximum=7,
            right=True,
            sort=lambda service: service.ready_replicas - service.wanted_replicas,
        ),
        Column(
            key="gpus",
            title="GPUS",
            cell=gpus_cell,
            minimum=7,
            maximum=10,
            priority=3,
            right=True,
            shown_from=84,
            sort=lambda service: -service.gpus,
        ),
        Column(key="reason", title="WHY", cell=reason_cell, minimum=22 if narrow else 26, maximum=60, flex=1),
        Column(
            key="since",
            title="SINCE",
            cell=since,
            minimum=4 if narrow else 5,
            right=True,
            sort=lambda service: service.since or datetime.min.replace(tzinfo=now().tzinfo),
        ),
    ]
    if not narrow:
        columns[6:6] = [
            Column(
                key="approved",
                title="IMAGE",
                cell=approved_cell,
                minimum=10,
                maximum=12,
                priority=4,
                sort=lambda service: str(service.approved),
            ),
            Column(
                key="mode",
                title="MODE",
                cell=lambda service: text(service.mode, "faint"),
                minimum=8,
                maximum=10,
                priority=5,
                shown_from=140,
                sort=lambda service: service.mode,
            ),
            Column(
                key="runtime",
                title="RUNTIME",
                cell=lambda service: text(service.runtime, "faint"),
                minimum=8,
                maximum=16,
                priority=7,
                shown_from=150,
                sort=lambda service: service.runtime,
            ),
            Column(
                key="owner",
                title="OWNER",
                cell=lambda service: text(service.owner, "muted"),
                minimum=7,
                maximum=12,
                priority=6,
                shown_from=125,
                sort=lambda service: service.owner,
            ),
        ]
    return tuple(columns)


def approved_cell(service: ServiceView) -> Line:
    """Whether what it runs was approved."""
    if service.approved is None:
        return text("no digest", "warn")
    return text("approved", "muted") if service.approved else text("unapproved", "violet")


def tally(counts: Counter[tuple[Verdict, bool]]) -> Line:
    """How many of each verdict, the bad ones first: `1 failed · 1 stuck · 36 ok`."""
    words: dict[tuple[int, str, str], int] = {}
    for (verdict, unapproved), number in counts.items():
        at = _RANKS[verdict, unapproved]
        word, role = str(verdict), _LOOK[verdict][2]
        if at == _UNAPPROVED_RANK:
            word, role = "unapproved", "violet"
        elif verdict is Verdict.SERVING:
            word = "ok"
        words[at, word, role] = words.get((at, word, role), 0) + number
    parts: list[Span] = []
    for (_, word, role), number in sorted(words.items()):
        parts.extend((*((Span(" · ", "faint"),) if parts else ()), Span(f"{number} {word}", role)))
    return tuple(parts)


def haystack(service: ServiceView) -> str:
    """What a filter looks at."""
    return " ".join(
        (
            service.namespace + "/" + service.name,
            service.verdict.value,
            look(service)[1],
            service.reason,
            service.runtime,
            service.model,
            service.gpu_type,
            service.owner,
            *service.images,
            "unapproved" if is_unapproved(service) else "",
        )
    )


def why_and_next(service: ServiceView) -> tuple[Line, Line]:
    """Why a service is as it is, and what to do."""
    why = service.reason or ("serving, nothing to do" if service.verdict is Verdict.SERVING else "no reason was found")
    if is_unapproved(service):
        note = service.approval_note or "its digest was never approved"
        is_urgent = _RANK[service.verdict] < _UNAPPROVED_RANK
        why = "; ".join(part for part in ((why, note) if is_urgent else (note, service.reason)) if part)
    return text(why), text(service.next_step)
