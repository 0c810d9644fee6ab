"""What is wrong now, by the kinds that alerts are made of. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from backend.core.views import (
    GpuSnapshotView,
    GpuState,
    GpuView,
    ServiceMetricsView,
    ServiceView,
    Verdict,
)
from backend.telemetry import xid
from backend.telemetry.alert_config import AlertKind, Severity
from backend.telemetry.objectives import AVAILABILITY, HYSTERESIS
from backend.telemetry.rows import STALE_AFTER

#: An error that left nothing else behind counts as present for this long.
_XID_STANDS: Final = {xid.HARDWARE: timedelta(hours=1), xid.APPLICATION: timedelta(minutes=10)}
#: Kinds of which one alert stands for several services.
GROUPED: Final = frozenset({AlertKind.UNAPPROVED})
_DOWN: Final = frozenset({Verdict.FAILED, Verdict.STUCK})
_RUN_NOTHING: Final = frozenset({Verdict.STOPPED, Verdict.SCALED_TO_ZERO})
_NAMED: Final = 3


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong now.

    Attributes:
        object: what it is about, as alerts name it; one alert at a time stands for a kind and an object.
        services: `context/namespace/name` of those that it hits.
        since: when it began, where that is known better than by when it was first seen.
        severity: instead of the rule's.
        standing: it is not bad enough to begin, but too bad to be over.
    """

    kind: AlertKind
    object: str
    summary: str
    services: tuple[str, ...] = ()
    since: datetime | None = None
    severity: Severity | None = None
    standing: bool = False


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """All that is wrong, and what cannot be told.

    Attributes:
        unknown: objects of a kind that nothing is known of now: what was wrong with them may still be.
        blind: kinds of which nothing at all is known now.
        away: contexts whose services are not known now.
        dark: contexts none of whose GPUs was measured lately.
    """

    conditions: tuple[Condition, ...]
    unknown: frozenset[tuple[AlertKind, str]] = frozenset()
    blind: frozenset[AlertKind] = frozenset()
    away: frozenset[str] = frozenset()
    dark: frozenset[str] = frozenset()

    def cannot_tell(self, kind: AlertKind, object: str, services: Iterable[str]) -> bool:
        """Whether something that was wrong may still be so, though it was not found.

        Args:
            services: their keys, whose last two parts are namespace and name; a context may have slashes of its own.
        """
        if kind in self.blind or (kind, object) in self.unknown:
            return True
        if kind in _OF_GPUS and kind is not AlertKind.GPU_UNMEASURED:
            return any(object.startswith(f"{context}/") for context in self.dark)
        return kind in _OF_SERVICES and any(service.rsplit("/", 2)[0] in self.away for service in services)


_OF_GPUS: Final = frozenset(
    {
        AlertKind.GPU_FAULT,
        AlertKind.GPU_IDLE,
        AlertKind.GPU_USELESS,
        AlertKind.GPU_THROTTLED,
        AlertKind.GPU_UNMEASURED,
        AlertKind.GPU_PENDING,
        AlertKind.OBJECTIVE,
    }
)
_OF_SERVICES: Final = frozenset({AlertKind.SERVICE_DOWN, AlertKind.UNAPPROVED})


def findings(
    snapshot: GpuSnapshotView | None,
    services: Sequence[ServiceView] | None,
    now: datetime,
    away: Iterable[str] = (),
) -> Findings:
    """What is wrong by the last sample and the services' verdicts.

    Args:
        snapshot: None: nothing was sampled. services: None: they are not known. away: contexts without theirs.
    """
    found: list[Condition] = []
    unknown: set[tuple[AlertKind, str]] = set()
    blind: set[AlertKind] = set()
    if snapshot is None or snapshot.unreached:
        blind |= _OF_GPUS
    else:
        rows = {service.key: service for service in services or ()}
        found += _faults(snapshot.gpus, rows, now)
        unknown.update((AlertKind.GPU_FAULT, name_of(gpu)) for gpu in snapshot.gpus if _is_old(gpu))
        found += _by_holder(AlertKind.GPU_IDLE, snapshot.gpus, lambda gpu: gpu.state is GpuState.IDLE, _idle)
        found += _by_holder(AlertKind.GPU_USELESS, snapshot.gpus, lambda gpu: bool(gpu.useless), _useless)
        found += _throttled(snapshot.gpus)
        found += _unmeasured(snapshot.gpus)
        found += [
            Condition(
                kind=AlertKind.GPU_PENDING,
                object=_place(one.context, one.namespace, one.pod),
                summary=one.sentence,
                services=_service(one.context, one.namespace, one.service),
                since=one.since,
            )
            for one in snapshot.pending
        ]
        for metrics in snapshot.services:
            found += _missed(metrics)
            if not metrics.replicas:
                unknown.update((AlertKind.OBJECTIVE, f"{metrics.key} {one.name}") for one in metrics.objectives)
    if services is None:
        blind |= _OF_SERVICES
    else:
        found += _services(services)
    return Findings(
        conditions=tuple(found),
        unknown=frozenset(unknown),
        blind=frozenset(blind),
        away=frozenset(away),
        dark=_dark(snapshot.gpus if snapshot is not None else ()),
    )


def _dark(gpus: Iterable[GpuView]) -> frozenset[str]:
    named = [gpu for gpu in gpus if gpu.context]
    return frozenset(gpu.context for gpu in named) - {gpu.context for gpu in named if not _is_old(gpu)}


def name_of(gpu: GpuView) -> str:
    """How alerts name a GPU: its node and index, with its context where there is one."""
    profile = f" {gpu.mig_profile}" if gpu.mig_profile else ""
    return f"{gpu.context + '/' if gpu.context else ''}{gpu.node} GPU {gpu.place}{profile}"


def _is_old(gpu: GpuView) -> bool:
    return gpu.age is None or gpu.age > STALE_AFTER


def _place(context: str, namespace: str, name: str) -> str:
    return "/".join(part for part in (context, namespace, name) if part)


def _service(context: str, namespace: str, service: str) -> tuple[str, ...]:
    return (f"{context}/{namespace}/{service}",) if service else ()


def _faults(gpus: Iterable[GpuView], rows: Mapping[str, ServiceView], now: datetime) -> Iterator[Condition]:
    for gpu in gpus:
        told = _fault(gpu, now)
        if told is None:
            continue
        kind = gpu.xid_class if gpu.state is not GpuState.FAULT else xid.HARDWARE
        cordoned = {True: "node cordoned", False: "node not cordoned", None: "not known whether its node is cordoned"}
        services = _service(gpu.context, gpu.namespace, gpu.service)
        yield Condition(
            kind=AlertKind.GPU_FAULT,
            object=name_of(gpu),
            summary=f"{told}; {cordoned[gpu.cordoned]}{_hits(services, rows)}",
            services=services,
            since=gpu.xid_at if gpu.xid is not None else None,
            severity=Severity.WARNING if kind == xid.APPLICATION else None,
        )


def _fault(gpu: GpuView, now: datetime) -> str | None:
    """What is wrong with a GPU, in a clause; None: nothing."""
    told = []
    stands = _XID_STANDS.get(gpu.xid_class)
    if gpu.xid is not None and gpu.xid_at is not None and stands is not None and now - gpu.xid_at < stands:
        told.append(xid.sentence(gpu.xid))
    if gpu.state is GpuState.FAULT and not told:
        told.append(gpu.error or "it does not work")
    if gpu.remap_pending:
        told.append("rows wait for a reset to be remapped")
    return ", ".join(told) or None


def _hits(services: tuple[str, ...], rows: Mapping[str, ServiceView]) -> str:
    if not services:
        return ""
    row = rows.get(services[0])
    name = services[0].partition("/")[2]
    return f"; hits {name}" + (f", {row.ready_replicas} of {row.wanted_replicas} replicas serve" if row else "")


def _by_holder(
    kind: AlertKind, gpus: Iterable[GpuView], is_so: Callable[[GpuView], bool], told: Callable[[list[GpuView]], str]
) -> Iterator[Condition]:
    groups: dict[tuple[str, str, str, str], list[GpuView]] = {}
    for gpu in gpus:
        if is_so(gpu):
            groups.setdefault((gpu.context, gpu.namespace, gpu.service, "" if gpu.service else gpu.pod), []).append(gpu)
    for (context, namespace, service, pod), held in groups.items():
        yield Condition(
            kind=kind,
            object=_place(context, namespace, service or pod) or name_of(held[0]),
            summary=told(held),
            services=_service(context, namespace, service),
            since=min((gpu.idle_since for gpu in held if gpu.idle_since is not None), default=None),
        )


def _idle(held: list[GpuView]) -> str:
    spent = sum(gpu.idle_cost or 0.0 for gpu in held)
    hours = sum(gpu.wasted_hours or 0.0 for gpu in held)
    wasted = f", {hours:.0f} GPU hours so far" if hours >= 1 else ""
    cost = f" (about {spent:.0f} {held[0].currency}".rstrip() + ")" if spent >= 1 else ""
    team = f", {held[0].team}" if held[0].team else ""
    return f"holds {_gpus(held)} and does nothing{team}{wasted}{cost}"


def _useless(held: list[GpuView]) -> str:
    return f"{_gpus(held)}: {held[0].useless}"


def _gpus(held: Sequence[GpuView]) -> str:
    return f"{len(held)} GPU{'' if len(held) == 1 else 's'} on {_named(sorted({gpu.node for gpu in held}))}"


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _throttled(gpus: Iterable[GpuView]) -> Iterator[Condition]:
    nodes: dict[tuple[str, str], list[GpuView]] = {}
    for gpu in gpus:
        if any(is_harmful(reason) for reason in gpu.throttle):
            nodes.setdefault((gpu.context, gpu.node), []).append(gpu)
    for (context, node), held in nodes.items():
        reasons = sorted({reason for gpu in held for reason in gpu.throttle if is_harmful(reason)})
        hottest = max((gpu.temperature for gpu in held if gpu.temperature is not None), default=None)
        heat = f", up to {hottest:.0f} °C" if hottest is not None else ""
        yield Condition(
            kind=AlertKind.GPU_THROTTLED,
            object=_place(context, "", node),
            summary=f"clocks of {_gpus(held)} are held down: {', '.join(reasons)}{heat}",
            services=tuple(sorted({key for gpu in held for key in _service(gpu.context, gpu.namespace, gpu.service)})),
        )


def is_harmful(reason: str) -> bool:
    """Whether clocks held down for this reason are worth an alert: a power cap in full work is not."""
    told = reason.lower()
    return "thermal" in told or "slowdown" in told or "brake" in told


def _unmeasured(gpus: Iterable[GpuView]) -> Iterator[Condition]:
    nodes: dict[tuple[str, str], list[GpuView]] = {}
    for gpu in gpus:
        nodes.setdefault((gpu.context, gpu.node), []).append(gpu)
    for (context, node), all_of_it in nodes.items():
        old = [gpu for gpu in all_of_it if _is_old(gpu)]
        if old:
            ages = [gpu.age for gpu in old if gpu.age is not None]
            last = f"last measured {min(ages):.0f} s ago" if ages else "never measured"
            yield Condition(
                kind=AlertKind.GPU_UNMEASURED,
                object=_place(context, "", node),
                summary=f"what {len(old)} of its {len(all_of_it)} GPUs do is not known: {last}",
            )


def _missed(metrics: ServiceMetricsView) -> Iterator[Condition]:
    for one in metrics.objectives:
        if one.name == AVAILABILITY:
            # That none serves right now is told at once, as down; the promise is on time gone by.
            rate = one.burn or 0.0
            missed, standing = rate > 1, HYSTERESIS < rate <= 1
            summary = f"availability: the hour's budget is used up {rate:.1f} times as fast as promised"
        else:
            measured = one.measured
            missed = one.met is False
            standing = not missed and measured is not None and measured > one.promised * HYSTERESIS
            summary = one.sentence + (f", burn {one.burn:.1f}" if one.burn is not None else "")
        if missed or standing:
            yield Condition(
                kind=AlertKind.OBJECTIVE,
                object=f"{metrics.key} {one.name}",
                summary=summary,
                services=(metrics.key,),
                standing=standing,
            )


def _services(services: Sequence[ServiceView]) -> Iterator[Condition]:
    for service in services:
        if service.verdict in _DOWN:
            yield Condition(
                kind=AlertKind.SERVICE_DOWN,
                object=service.key,
                summary=f"{service.verdict.value}: {service.reason}",
                services=(service.key,),
                since=service.since,
            )
    yield from _unapproved(
        service for service in services if service.approved is False and service.verdict not in _RUN_NOTHING
    )


def _unapproved(services: Iterable[ServiceView]) -> Iterator[Condition]:
    """Those of a namespace are one thing: where nothing was ever approved, all of them are in the same hour."""
    by_namespace: dict[tuple[str, str], list[ServiceView]] = {}
    for service in services:
        by_namespace.setdefault((service.context, service.namespace), []).append(service)
    for (context, namespace), found in by_namespace.items():
        names = sorted(service.name for service in found)
        note = found[0].approval_note if len(found) == 1 else _named(names)
        count = f"{names[0]} runs" if len(found) == 1 else f"{len(found)} services run"
        yield Condition(
            kind=AlertKind.UNAPPROVED,
            object=f"{context}/{namespace}",
            summary=f"{count} unapproved: {note}",
            services=tuple(sorted(service.key for service in found)),
        )
