"""Provenance: who built an image, from what, as an attestation says.

Formats: SLSA provenance v0.1, v0.2 and v1 (slsa.dev/spec), in in-toto statements; BuildKit keeps v0.2 and v1 in a
manifest of the index ("Image attestation storage").
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from backend.core.ports import timestamp
from backend.evidence.decoding import clean, decode, moment

#: Predicate types, without `https://` in front; the version follows.
SLSA_PREDICATE: Final = "slsa.dev/provenance/"
_LIMIT: Final = 16 * 1024 * 1024


class _Builder(msgspec.Struct, frozen=True):
    id: str | None = None


class _Source(msgspec.Struct, frozen=True):
    uri: str | None = None


class _Invocation(msgspec.Struct, frozen=True, rename="camel"):
    config_source: _Source | None = None


class _Times(msgspec.Struct, frozen=True, rename="camel"):
    build_finished_on: str | None = None
    finished_on: str | None = None


class _Definition(msgspec.Struct, frozen=True, rename="camel"):
    build_type: str | None = None
    resolved_dependencies: list[_Source] | None = None


class _Run(msgspec.Struct, frozen=True):
    builder: _Builder | None = None
    metadata: _Times | None = None


class _Predicate(msgspec.Struct, frozen=True, rename="camel"):
    builder: _Builder | None = None
    build_type: str | None = None
    invocation: _Invocation | None = None
    metadata: _Times | None = None
    materials: list[_Source] | None = None
    build_definition: _Definition | None = None
    run_details: _Run | None = None


_DECODER: Final = msgspec.json.Decoder(_Predicate)


def read_provenance(predicate_type: str, data: bytes, what: str) -> dict[str, Any]:
    """What a provenance predicate says, as gates read it: predicate_type, builder, build_type, source, at.

    Args:
        predicate_type: without `https://` in front.

    Raises:
        LimitExceededError: it is too large or nested too deeply.
        MalformedDataError: it is no such predicate.
    """
    predicate = decode(data, _DECODER, what, _LIMIT)
    definition, run = predicate.build_definition or _Definition(), predicate.run_details or _Run()
    times = run.metadata or predicate.metadata or _Times()
    builder = run.builder or predicate.builder or _Builder()
    sources = [
        predicate.invocation.config_source if predicate.invocation else None,
        *(definition.resolved_dependencies or ()),
        *(predicate.materials or ()),
    ]
    at = moment(times.finished_on or times.build_finished_on)
    return {
        "predicate_type": clean(predicate_type, 100),
        "builder": clean(builder.id, 300),
        "build_type": clean(definition.build_type or predicate.build_type, 300),
        "source": next((clean(each.uri, 500) for each in sources if each and each.uri), ""),
        "at": timestamp(at) if at else "",
    }


def summary_of(told: dict[str, Any]) -> str:
    """It in a clause."""
    builder = f"built by {told['builder']}" if told["builder"] else "its builder is not named"
    return f"{builder}, from {told['source']}" if told["source"] else builder
