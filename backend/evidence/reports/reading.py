"""Any vulnerability report: tells its format by its shape and hands it to that format's reader."""

from __future__ import annotations

from enum import Enum
from typing import Final

import msgspec

from backend.evidence.decoding import REPORT_LIMIT, decode, is_given, malformed
from backend.evidence.reports import cyclonedx, grype, harbor, predicates, sarif, trivy
from backend.evidence.reports.common import About, VulnerabilityReport


class Format(Enum):
    """A format of a document; the value is what people call it."""

    TRIVY = "Trivy report"
    GRYPE = "Grype report"
    HARBOR = "Harbor report"
    PREDICATE = "vulnerability attestation's predicate"
    SARIF = "SARIF log"
    CYCLONEDX = "CycloneDX document"
    SPDX = "SPDX document"
    OPENVEX = "OpenVEX document"
    BENCHMARK = "benchmark"
    ENVELOPE = "signed envelope"
    BUNDLE = "Sigstore bundle"


class _Shape(msgspec.Struct, frozen=True):
    """Enough of a document to tell which format it is: fields are told by their JSON."""

    trivy_schema: msgspec.Raw = msgspec.field(name="SchemaVersion", default=msgspec.Raw())
    matches: msgspec.Raw = msgspec.Raw()
    descriptor: msgspec.Raw = msgspec.Raw()
    harbor_report: msgspec.Raw = msgspec.field(name=harbor.MEDIA_TYPES[0], default=msgspec.Raw())
    older_harbor_report: msgspec.Raw = msgspec.field(name=harbor.MEDIA_TYPES[1], default=msgspec.Raw())
    scanner: msgspec.Raw = msgspec.Raw()
    scanners: msgspec.Raw = msgspec.Raw()
    runs: msgspec.Raw = msgspec.Raw()
    bom_format: msgspec.Raw = msgspec.field(name="bomFormat", default=msgspec.Raw())
    spdx_version: msgspec.Raw = msgspec.field(name="spdxVersion", default=msgspec.Raw())
    context: msgspec.Raw = msgspec.field(name="@context", default=msgspec.Raw())
    statements: msgspec.Raw = msgspec.Raw()
    benchmark: msgspec.Raw = msgspec.Raw()
    payload_type: msgspec.Raw = msgspec.field(name="payloadType", default=msgspec.Raw())
    envelope: msgspec.Raw = msgspec.field(name="dsseEnvelope", default=msgspec.Raw())


_SHAPE_DECODER: Final = msgspec.json.Decoder(_Shape)
#: Which fields make a document one of a format; the first that fits counts.
_SIGNS: Final[tuple[tuple[Format, tuple[str, ...]], ...]] = (
    (Format.TRIVY, ("trivy_schema",)),
    (Format.GRYPE, ("matches", "descriptor")),
    (Format.CYCLONEDX, ("bom_format",)),
    (Format.SPDX, ("spdx_version",)),
    (Format.OPENVEX, ("context", "statements")),
    (Format.BUNDLE, ("envelope",)),
    (Format.ENVELOPE, ("payload_type",)),
    (Format.BENCHMARK, ("benchmark",)),
    (Format.HARBOR, ("harbor_report",)),
    (Format.HARBOR, ("older_harbor_report",)),
    (Format.SARIF, ("runs",)),
    (Format.PREDICATE, ("scanner",)),
    (Format.PREDICATE, ("scanners",)),
    # Grype writes null where it found nothing.
    (Format.GRYPE, ("descriptor",)),
)
_READERS: Final = {
    Format.TRIVY: trivy.read,
    Format.GRYPE: grype.read,
    Format.HARBOR: harbor.read,
    Format.SARIF: sarif.read,
    Format.CYCLONEDX: cyclonedx.read,
}


def format_of(data: bytes, what: str) -> Format | None:
    """Which format a document is of; None: of none that is known.

    Raises:
        LimitExceededError: it is too large or nested too deeply.
        MalformedDataError: it is no JSON object.
    """
    shape = decode(data, _SHAPE_DECODER, what, REPORT_LIMIT)
    for found, fields in _SIGNS:
        if all(is_given(getattr(shape, each)) for each in fields):
            return found
    return None


def read_report(data: bytes, about: About) -> VulnerabilityReport:
    """Read a vulnerability report of any format.

    Args:
        data: JSON, of at most `REPORT_LIMIT` bytes.

    Raises:
        LimitExceededError: it is too large, nested too deeply, or lists too much.
        MalformedDataError: it is of no format that is read, or about another digest or none.
    """
    found = format_of(data, about.what)
    if found is Format.PREDICATE:
        return predicates.read(data, about, _read_nested)
    return _read(found, data, about)


def _read_nested(data: bytes, about: About) -> VulnerabilityReport:
    return _read(format_of(data, about.what), data, about)


def _read(found: Format | None, data: bytes, about: About) -> VulnerabilityReport:
    reader = _READERS.get(found) if found else None
    if reader is None:
        known = ", ".join(each.value for each in (*_READERS, Format.PREDICATE))
        kind = f"{found.value}, which lists no findings" if found else "of no format that is known"
        raise malformed(about.what, f"it is {kind}; read are: {known}")
    return reader(data, about)
