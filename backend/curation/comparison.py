"""What an image changes against the one of its repository that was approved last. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from backend.core.views import DifferenceView
from backend.evidence.facts import ImageFacts
from backend.evidence.records import READ, EvidenceKind, EvidenceRecord, Finding, Package, severity_rank
from backend.evidence.signatures import SignatureState
from backend.evidence.weights import FIXED

_MOST_NAMED: Final = 8
_LONGEST: Final = 80
#: Labels that differ from build to build and say nothing of what is in the image.
_BUILD_LABELS: Final = frozenset({"org.opencontainers.image.created", "org.opencontainers.image.revision"})


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """An image with its evidence, findings and packages loaded, to be compared."""

    facts: ImageFacts
    evidence: Sequence[EvidenceRecord]

    def payload(self, kind: EvidenceKind) -> Mapping[str, Any]:
        """What its evidence of a kind tells gates; empty where there is none."""
        return next((each.payload for each in reversed(self.evidence) if each.kind is kind and each.state == READ), {})

    def state(self, kind: EvidenceKind) -> str:
        """The state of its evidence of a kind."""
        return next((each.state for each in self.evidence if each.kind is kind), "not measured")


def differences(new: Subject, approved: Subject) -> tuple[DifferenceView, ...]:
    """What a new image changes against the one that was approved; what is alike is left out."""
    found = [*_facts(new.facts, approved.facts)]
    found += _findings(new.evidence, approved.evidence)
    found += _licences_and_packages(new.evidence, approved.evidence)
    for kind, good in ((EvidenceKind.SIGNATURE, SignatureState.VERIFIED.value), (EvidenceKind.WEIGHTS, FIXED)):
        was, now = approved.state(kind), new.state(kind)
        if was != now:
            worse = True if was == good else False if now == good else None
            found.append(DifferenceView(kind=kind.value, text=f"{kind.value}: {was} -> {now}", worse=worse))
    found += _weights(new, approved)
    found += _benchmarks(new, approved)
    found += _configuration(new, approved)
    return tuple(found)


def _facts(new: ImageFacts, old: ImageFacts) -> Iterator[DifferenceView]:
    for name, was, now in (
        ("kind", old.kind, new.kind),
        ("type", old.type, new.type),
        ("framework", old.framework, new.framework),
    ):
        if was != now:
            yield DifferenceView(kind="configuration", text=f"{name}: {was or 'not known'} -> {now or 'not known'}")
    if new.size is not None and old.size is not None and new.size != old.size:
        percent = f" ({100 * (new.size - old.size) / old.size:+.1f} %)" if old.size else ""
        yield DifferenceView(kind="size", text=f"size: {_bytes(old.size)} -> {_bytes(new.size)}{percent}")


def _findings(new: Sequence[EvidenceRecord], old: Sequence[EvidenceRecord]) -> Iterator[DifferenceView]:
    now, was = _worst(new), _worst(old)
    kind = "vulnerabilities"
    if now is None or was is None:
        if now is not was:
            told = "not measured before" if was is None else "measured before, not measured now"
            yield DifferenceView(kind=kind, text=f"vulnerabilities: {told}", worse=None if was is None else True)
        return
    added = _ranked(now.keys() - was.keys(), now)
    gone = _ranked(was.keys() - now.keys(), was)
    worse = sorted(each for each in now.keys() & was.keys() if severity_rank(now[each]) < severity_rank(was[each]))
    if added:
        text = f"{len(added)} vulnerabilities added: {_named(added, now)}"
        yield DifferenceView(kind=kind, text=text, worse=True, added=tuple(added))
    if gone:
        text = f"{len(gone)} vulnerabilities gone: {_named(gone, was)}"
        yield DifferenceView(kind=kind, text=text, worse=False, removed=tuple(gone))
    if worse:
        text = f"{len(worse)} vulnerabilities rated worse: {_named(worse, now)}"
        yield DifferenceView(kind=kind, text=text, worse=True, added=tuple(worse))


def _worst(evidence: Iterable[EvidenceRecord]) -> dict[str, str] | None:
    """The worst severity of each vulnerability in the newest report; None: there is no report."""
    reports = [each for each in evidence if each.kind is EvidenceKind.VULNERABILITIES and each.state == READ]
    if not reports:
        return None
    newest = max(reports, key=lambda each: each.measured_at.timestamp() if each.measured_at else 0.0)
    worst: dict[str, str] = {}
    for finding in sorted(newest.findings, key=_rank, reverse=True):
        worst[finding.id] = finding.severity
    return worst


def _rank(finding: Finding) -> int:
    return severity_rank(finding.severity)


def _ranked(identifiers: Iterable[str], severities: Mapping[str, str]) -> list[str]:
    return sorted(identifiers, key=lambda each: (severity_rank(severities[each]), each))


def _licences_and_packages(new: Sequence[EvidenceRecord], old: Sequence[EvidenceRecord]) -> Iterator[DifferenceView]:
    now_declared, was_declared = _declared(new), _declared(old)
    if now_declared != was_declared:
        text = f"licence: {was_declared or 'not declared'} -> {now_declared or 'not declared'}"
        yield DifferenceView(kind="licence", text=text, worse=None if now_declared else True)
    now, was = _packages(new), _packages(old)
    if not now or not was:
        return
    licences = sorted({each.licence for each in now} - {each.licence for each in was} - {""})
    if licences:
        text = f"packages under new licences: {', '.join(licences[:_MOST_NAMED])}"
        yield DifferenceView(kind="licence", text=text, added=tuple(licences))
    before = {each.name: each.version for each in was}
    after = {each.name: each.version for each in now}
    added, gone = sorted(after.keys() - before.keys()), sorted(before.keys() - after.keys())
    changed = sorted(name for name in after.keys() & before.keys() if after[name] != before[name])
    if added or gone or changed:
        yield DifferenceView(
            kind="packages",
            text=f"packages: {len(added)} added, {len(gone)} gone, {len(changed)} of another version",
            added=(*(f"{name} {after[name]}" for name in added), *(f"{name} {after[name]}" for name in changed)),
            removed=(*(f"{name} {before[name]}" for name in gone), *(f"{name} {before[name]}" for name in changed)),
        )


def _declared(evidence: Iterable[EvidenceRecord]) -> str:
    declared = {
        each["expression"]
        for record in evidence
        if record.kind is EvidenceKind.LICENCE
        for each in record.payload.get("declared", ())
    }
    return ", ".join(sorted(declared))


def _packages(evidence: Iterable[EvidenceRecord]) -> tuple[Package, ...]:
    return next((each.packages for each in evidence if each.kind is EvidenceKind.SBOM and each.packages), ())


def _weights(new: Subject, old: Subject) -> Iterator[DifferenceView]:
    named = [
        next((str(each.payload.get("name", "")) for each in subject.evidence if each.kind is EvidenceKind.WEIGHTS), "")
        for subject in (new, old)
    ]
    now, was = named
    if now != was and now and was:
        yield DifferenceView(kind="weights", text=f"weights: {was} -> {now}", worse=None, added=(now,), removed=(was,))


def _benchmarks(new: Subject, old: Subject) -> Iterator[DifferenceView]:
    now, was = (each.payload(EvidenceKind.BENCHMARK).get("metrics") or {} for each in (new, old))
    for name in sorted(now.keys() & was.keys()):
        value, before = now[name].get("value"), was[name].get("value")
        if not _is_number(value) or not _is_number(before) or value == before:
            continue
        better = now[name].get("better")
        worse = None if better not in ("lower", "higher") else (value > before) == (better == "lower")
        unit = f" {now[name]['unit']}" if now[name].get("unit") else ""
        hardware, other = now[name].get("hardware", ""), was[name].get("hardware", "")
        on = "" if hardware == other else f" (on {hardware or 'unknown hardware'}, before on {other or 'unknown'})"
        yield DifferenceView(
            kind="benchmark",
            text=f"{name}: {before:g} -> {value:g}{unit}{on}",
            worse=None if on else worse,
        )
    gone = sorted(was.keys() - now.keys())
    if gone:
        text = f"not measured any more: {', '.join(gone[:_MOST_NAMED])}"
        yield DifferenceView(kind="benchmark", text=text, worse=True, removed=tuple(gone))


def _configuration(new: Subject, old: Subject) -> Iterator[DifferenceView]:
    now, was = new.payload(EvidenceKind.COMPLIANCE), old.payload(EvidenceKind.COMPLIANCE)
    if not now or not was:
        return
    yield from _labels(now.get("labels") or {}, was.get("labels") or {})
    base, before = ((each.get("base") or {}).get("name", "") for each in (now, was))
    if base != before:
        yield DifferenceView(kind="configuration", text=f"base image: {before or 'not told'} -> {base or 'not told'}")
    if now.get("root") != was.get("root") and "root" in now:
        text = "runs as root now" if now["root"] else "runs as root no more"
        yield DifferenceView(kind="configuration", text=text, worse=bool(now["root"]))
    ports, ports_before = (set(each.get("ports") or ()) for each in (now, was))
    if ports != ports_before:
        added, gone = sorted(ports - ports_before), sorted(ports_before - ports)
        told = [f"exposes {', '.join(added)}" if added else "", f"exposes no more {', '.join(gone)}" if gone else ""]
        yield DifferenceView(
            kind="configuration",
            text="; ".join(each for each in told if each),
            worse=True if added else None,
            added=tuple(added),
            removed=tuple(gone),
        )


def _labels(now: Mapping[str, Any], was: Mapping[str, Any]) -> Iterator[DifferenceView]:
    names = sorted(
        name for name in now.keys() | was.keys() if now.get(name) != was.get(name) and name not in _BUILD_LABELS
    )
    if not names:
        return
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    yield DifferenceView(
        kind="labels",
        text=f"labels: {', '.join(names[:_MOST_NAMED])}{more}",
        added=tuple(f"{name}={str(now[name])[:_LONGEST]}" for name in names if name in now),
        removed=tuple(f"{name}={str(was[name])[:_LONGEST]}" for name in names if name in was),
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _named(identifiers: Sequence[str], severities: Mapping[str, str]) -> str:
    named = ", ".join(f"{each} ({severities[each]})" for each in identifiers[:_MOST_NAMED])
    more = len(identifiers) - _MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named


def _bytes(size: int) -> str:
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable: the last unit takes every size")
