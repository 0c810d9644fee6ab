"""Services as rows: worst first, with the reason in a clause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from typing import Final

from backend.core.gpu_lists import short_product
from backend.core.views import (
    INFERENCE_SERVICE,
    KIND_PREFIXES,
    ServiceMetricsView,
    ServiceView,
    Verdict,
)
from tui import format as fmt
from tui.document import EMPTY, Line, Span, join, text
from tui.service_tally import is_slow, replaced

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


def worst_first(services: Iterable[ServiceView], slow: Container[str] = ()) -> list[ServiceView]:
    """By urgency, then by the GPUs that are held, then by name.

    Args:
        slow: keys of those that serve and miss an objective.
    """
    return sorted(services, key=lambda service: _order(service, slow))


def _order(service: ServiceView, slow: Container[str]) -> tuple[int, int, str, str]:
    is_late = service.verdict is Verdict.SERVING and (service.proposal or (slow and service.key in slow))
    urgency = _RANK[Verdict.SLOW_TO_LOAD] if is_late else _RANKS[service.verdict, service.approved is False]
    return urgency, -service.gpus, service.namespace, service.name


class WorstFirst:
    """`worst_first` from one look to the next: thousands of services are sorted only when the order of one changed."""

    def __init__(self) -> None:
        self._seen: list[ServiceView] = []
        self._sorted: list[ServiceView] = []
        self._places: list[int] = []
        self._slow: Container[str] = ()

    def of(self, services: Mapping[str, ServiceView], slow: Container[str] = ()) -> list[ServiceView]:
        """The services by urgency, in a list of its own.

        Args:
            services: by key. slow: as in `worst_first`.
        """
        now = list(services.values())
        found = self._moved(now) if slow == self._slow else None
        if found is None:
            found = worst_first(now, slow)
            places = {service.key: place for place, service in enumerate(found)}
            self._places = [places[service.key] for service in now]
        self._seen, self._sorted, self._slow = now, found, slow
        return found

    def _moved(self, now: list[ServiceView]) -> list[ServiceView] | None:
        """What was sorted with what is new in its place; None: one is somewhere else now."""
        changed = replaced(self._seen, now)
        if changed is None:
            return None
        found = self._sorted.copy()
        for at in changed:
            if _order(self._seen[at], self._slow) != _order(now[at], self._slow):
                return None
            found[self._places[at]] = now[at]
        return found


def look(service: ServiceView, metrics: ServiceMetricsView | None = None) -> tuple[str, str, str]:
    """Mark, word and role of a service."""
    if is_slow(service, metrics):
        return _LOOK[Verdict.SLOW_TO_LOAD]
    mark, word, role = _LOOK[service.verdict]
    if service.proposal and service.verdict is Verdict.SERVING:
        return "?", "BACK?", "warn"
    if is_unapproved(service) and _RANK[service.verdict] > _UNAPPROVED_RANK:
        return "U", word, "violet"
    return mark, word, role


def mark_cell(service: ServiceView, metrics: ServiceMetricsView | None = None) -> Line:
    """The mark that tells a verdict without colour."""
    mark, _, role = look(service, metrics)
    return (Span(mark, role),) if mark.strip() else EMPTY


def verdict_cell(service: ServiceView, metrics: ServiceMetricsView | None = None) -> Line:
    """The verdict in a word, dim where nobody watches any more."""
    _, word, role = look(service, metrics)
    return (Span(word, role if service.as_of is None else "faint"),)


def name_cell(service: ServiceView) -> Line:
    """`namespace/name`, and the kind where it is not the usual one."""
    space = text(service.namespace + "/", "space") if service.namespace else ()
    kind = text(f" {KIND_PREFIXES[service.kind]}", "accent") if service.kind != INFERENCE_SERVICE else ()
    return (*space, *text(service.name, "name"), *kind)


def lost_note(service: ServiceView) -> str:
    """As of when a row is that nobody watches any more."""
    return f"as of {fmt.clock_time(service.as_of)}, watch lost" if service.as_of is not None else ""


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


def reason_cell(service: ServiceView, metrics: ServiceMetricsView | None = None) -> Line:
    """Why the verdict is so; of a service that is well, what it serves."""
    if metrics is not None and is_slow(service, metrics):
        return text(metrics.slow)
    if service.as_of is not None:
        # The title bar says that the cluster is lost; a row has room for the time and for why.
        return join(text(f"as of {fmt.clock_time(service.as_of)}:", "warn"), text(service.reason, "faint"), gap=" ")
    if is_unapproved(service) and _RANK[service.verdict] > _UNAPPROVED_RANK:
        return text(service.approval_note or "its digest was never approved", "violet")
    if service.verdict is Verdict.SERVING:
        return text(service.model or service.reason, "muted")
    role = "" if rank(service) < _UNAPPROVED_RANK else "muted"
    return join(text(service.reason, role), text(service.approval_note, "violet") if is_unapproved(service) else EMPTY)


def approved_cell(service: ServiceView) -> Line:
    """Whether what it runs was approved."""
    if service.kind in {"InferenceGraph", "LocalModelCache"}:
        return text("no image", "faint")
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


def metrics_key(service: ServiceView) -> str:
    """By which its metrics are found: model servers are told by namespace and name, whatever kind runs them."""
    if service.kind in {"InferenceGraph", "LocalModelCache"}:
        return ""
    return f"{service.context}/{service.namespace}/{service.name}"


def field_values(services: Iterable[ServiceView]) -> dict[str, tuple[str, ...]]:
    """By field of a filter, what services have there, for completion."""
    found: dict[str, set[str]] = {
        name: set() for name in ("verdict", "ns", "context", "runtime", "mode", "owner", "kind")
    }
    for one in services:
        found["verdict"].add(one.verdict.value.replace(" ", "-"))
        found["ns"].add(one.namespace)
        found["context"].add(one.context)
        found["runtime"].add(one.runtime)
        found["mode"].add(one.mode)
        found["owner"].add(one.owner or "none")
        found["kind"].add(one.kind)
    return {name: tuple(sorted(value for value in values if value)) for name, values in found.items()}
