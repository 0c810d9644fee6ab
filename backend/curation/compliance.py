"""The compliance gate: what an image's manifest and configuration have to say. Pure.

It fails for what is there and wrong, and is not measured for what nobody could look at; it names all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple

from backend.core.ports import instant
from backend.core.settings import duration_text
from backend.core.views import EvidenceValue
from backend.curation.gate_config import ComplianceGate
from backend.curation.judging import Judgement, Seen, too_old
from backend.evidence.records import NONE, READ, EvidenceKind

_MOST_NAMED: Final = 5
_LONGEST: Final = 80
_FAIL, _UNKNOWN = EvidenceValue.FAIL, EvidenceValue.NOT_MEASURED


class _Remark(NamedTuple):
    """Something that is asked for and is not so (fail), or that nobody knows (not measured)."""

    value: EvidenceValue
    text: str


_Payload = Mapping[str, Any]


def judge_compliance(config: ComplianceGate, seen: Seen) -> Judgement:
    """What the gate says: everything that is wrong or not known, or how many things it asked for."""
    record = seen.one(EvidenceKind.COMPLIANCE)
    remarks: list[_Remark] = []
    asked = 0
    for is_asked, of_image, look in _CHECKS:
        if not is_asked(config):
            continue
        asked += 1
        if not of_image:
            remarks += look(config, {}, seen)
        elif record is not None and record.state == READ:
            remarks += look(config, record.payload, seen)
    asks_of_image = any(of_image and is_asked(config) for is_asked, of_image, _ in _CHECKS)
    if asks_of_image and (record is None or record.state != READ):
        why = record.summary if record is not None else "its manifest and configuration were not looked at yet"
        remarks.append(_Remark(_UNKNOWN, why[: 2 * _LONGEST]))
    if remarks:
        failed = [each for each in remarks if each.value is _FAIL]
        ordered = [each.text for each in (*failed, *(each for each in remarks if each.value is not _FAIL))]
        more = f"; and {len(ordered) - _MOST_NAMED} more" if len(ordered) > _MOST_NAMED else ""
        return Judgement(_FAIL if failed else _UNKNOWN, "; ".join(ordered[:_MOST_NAMED]) + more)
    told = f"all {asked} things asked for hold" if asked > 1 else "what is asked for holds"
    looked = record.collected_at if record is not None else None
    return too_old(told, looked, config.max_age, seen, "look at it") or Judgement(EvidenceValue.PASS, told)


def _labels(config: ComplianceGate, payload: _Payload, seen: Seen) -> Iterator[_Remark]:
    for kind, wanted in (("label", config.labels), ("annotation", config.annotations)):
        has = payload.get(f"{kind}s") or {}
        for name, pattern in wanted.items():
            if name not in has:
                yield _Remark(_FAIL, f"{kind} {name} is missing")
            elif not fnmatchcase(str(has[name]), pattern):
                yield _Remark(_FAIL, f"{kind} {name} is {_short(has[name])!r}, {pattern!r} asked for")


def _residency(config: ComplianceGate, payload: _Payload, seen: Seen) -> Iterator[_Remark]:
    value = (payload.get("labels") or {}).get(config.residency_label)
    value = value if value is not None else (payload.get("annotations") or {}).get(config.residency_label)
    if value is None:
        yield _Remark(_FAIL, f"residency label {config.residency_label} is missing")
    elif not any(fnmatchcase(str(value), each) for each in config.residency):
        yield _Remark(_FAIL, f"residency {_short(value)!r} is not allowed")


def _base(config: ComplianceGate, payload: _Payload, seen: Seen) -> Iterator[_Remark]:
    base = payload.get("base") or {}
    name, digest = str(base.get("name") or ""), str(base.get("digest") or "")
    if not name and not digest:
        yield _Remark(_UNKNOWN, "its base image is not told")
        return
    full = f"{name}@{digest}" if digest else name
    bare = name.partition("@")[0]
    if not any(fnmatchcase(each, pattern) for each in (full, name, bare) if each for pattern in config.base_images):
        yield _Remark(_FAIL, f"base image {_short(full)} is not allowed")


def _age(config: ComplianceGate, payload: _Payload, seen: Seen) -> Iterator[_Remark]:
    created = _time(payload.get("created"))
    if config.max_image_age is None:
        return
    if created is None:
        yield _Remark(_UNKNOWN, "when it was made is not told")
    elif seen.is_older(created, config.max_image_age):
        made = f"made {seen.age(created)} ago"
        yield _Remark(_FAIL, f"{made}, {duration_text(config.max_image_age)} allowed")


def _size(config: ComplianceGate, payload: _Payload, seen: Seen) -> Iterator[_Remark]:
    size = payload.get("size")
    if not isinstance(size, int) or config.max_size is None:
        yield _Remark(_UNKNOWN, "its size is not told")
    elif size > config.max_size:
        yield _Remark(_FAIL, f"{size / 10**9:.1f} GB, {config.max_size / 10**9:.1f} GB allowed")


def _user(config: ComplianceGate, payload: _Payload, seen: Seen) -> Iterator[_Remark]:
    root = payload.get("root")
    if root is None:
        yield _Remark(_UNKNOWN, "which user it runs as is not told")
    elif root:
        yield _Remark(_FAIL, "it runs as root")


def _ports(config: ComplianceGate, payload: _Payload, seen: Seen) -> Iterator[_Remark]:
    ports = payload.get("ports")
    if ports is None:
        yield _Remark(_UNKNOWN, "which ports it exposes is not told")
        return
    allowed = {each if "/" in each else f"{each}/tcp" for each in config.ports or ()}
    refused = sorted({str(each) if "/" in str(each) else f"{each}/tcp" for each in ports} - allowed)
    if refused:
        yield _Remark(_FAIL, f"it exposes {', '.join(_short(each) for each in refused[:_MOST_NAMED])}")


def _provenance(config: ComplianceGate, payload: _Payload, seen: Seen) -> Iterator[_Remark]:
    records = seen.of(EvidenceKind.PROVENANCE)
    attested = [each for record in records if record.state == READ for each in record.payload.get("attestations", ())]
    vouched = [each for each in attested if each.get("fixed") or each.get("key") in seen.trusted]
    if not vouched:
        if attested:
            yield _Remark(_FAIL, "its provenance is not signed by a key of policy")
        elif not records or any(record.state not in {READ, NONE} for record in records):
            yield _Remark(_UNKNOWN, records[0].summary if records else "provenance has not been looked for yet")
        else:
            yield _Remark(_FAIL, "it has no provenance")
        return
    builders = [str(each.get("builder") or "") for each in vouched]
    if config.builders and not any(fnmatchcase(each, pattern) for each in builders for pattern in config.builders):
        yield _Remark(_FAIL, f"it was built by {_short(builders[0] or 'nobody who is named')}, which is not allowed")


def _model_card(config: ComplianceGate, payload: _Payload, seen: Seen) -> Iterator[_Remark]:
    records = seen.of(EvidenceKind.MODEL_CARD)
    if any(each.state == READ for each in records):
        return
    if any(each.state == NONE for each in records):
        yield _Remark(_FAIL, "it has no model card")
    else:
        yield _Remark(_UNKNOWN, records[0].summary if records else "a model card has not been looked for yet")


_Check = Callable[[ComplianceGate, _Payload, Seen], Iterator[_Remark]]
#: Whether a check is asked for, whether it is of the image's own manifest and configuration, and the check.
_CHECKS: Final[tuple[tuple[Callable[[ComplianceGate], bool], bool, _Check], ...]] = (
    (lambda config: bool(config.labels or config.annotations), True, _labels),
    (lambda config: bool(config.residency_label), True, _residency),
    (lambda config: bool(config.base_images), True, _base),
    (lambda config: config.max_image_age is not None, True, _age),
    (lambda config: config.max_size is not None, True, _size),
    (lambda config: config.non_root, True, _user),
    (lambda config: config.ports is not None, True, _ports),
    (lambda config: config.provenance, False, _provenance),
    (lambda config: config.model_card, False, _model_card),
)


def _short(value: object) -> str:
    return str(value)[:_LONGEST]


def _time(text: object) -> datetime | None:
    try:
        return instant(text) if isinstance(text, str) else None
    except ValueError:
        return None
