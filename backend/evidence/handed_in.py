"""Documents that a person hands in as a file: reports, SBOMs, VEX, benchmarks, signed attestations; and reviews.

What nobody signed is asserted by who hands it in. A signed attestation is as good as its signature; who handed it in
is kept all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from backend.core.errors import UsageError
from backend.core.ports import IdSource
from backend.evidence import attested, documents, sbom, vex_documents
from backend.evidence.attested import Setting
from backend.evidence.benchmarks import read_benchmark
from backend.evidence.decoding import clean, malformed, read_file
from backend.evidence.documents import Provenance
from backend.evidence.envelopes import open_bundle, open_envelope
from backend.evidence.keyless import KeylessIdentity
from backend.evidence.keys import PublicKey
from backend.evidence.records import READ, EvidenceKind, EvidenceRecord, Origin
from backend.evidence.reports.common import About
from backend.evidence.reports.reading import Format, format_of, read_report

_LONGEST_NOTE = 2_000


def read_handed_in(
    path: Path,
    *,
    digest: str,
    also: frozenset[str] = frozenset(),
    by: str,
    keys: Sequence[PublicKey] = (),
    identities: Sequence[KeylessIdentity] = (),
    ids: IdSource,
    at: datetime,
) -> list[EvidenceRecord]:
    """Read a document from a file. Blocks, for up to `REPORT_LIMIT` bytes of JSON: call it off the event loop.

    Args:
        path: of a vulnerability report (Trivy, Grype, Harbor, SARIF, CycloneDX, or a predicate around one), an SBOM
            (CycloneDX, SPDX), VEX (OpenVEX, CycloneDX), a benchmark, or an attestation (DSSE envelope, Sigstore
            bundle).
        digest: of the image that it must be about.
        also: digests that count as this image, such as an index's children.
        by: who hands it in; they do not approve the image then.
        keys, identities: that attestations are checked with.
        at: now.

    Returns:
        what the document is evidence of; one document can be several kinds.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it is no file that can be read.
        MalformedDataError: it is no such document, or about another digest or none; too large, too deep, too long.
    """
    what = f"report {path}"
    data = read_file(path, what)
    about = About(digest=digest, also=also, what=what)
    form = format_of(data, what)
    if form in {Format.ENVELOPE, Format.BUNDLE}:
        setting = Setting(digest=digest, children=also, ids=ids, at=at)
        return _attested(data, form, setting, by, keys, identities, what)
    given = _asserted(digest, by, at)
    match form:
        case Format.SPDX:
            return _sbom(data, about, given, ids)
        case Format.CYCLONEDX:
            # A list without components says nothing of packages; one without vulnerabilities nothing of them.
            records = [
                each
                for each in _sbom(data, about, given, ids)
                if each.payload.get("packages") or each.payload.get("declared")
            ]
            records += attested.of_cyclonedx(data, about, given, ids)
            if not records:
                raise malformed(what, "it lists neither components nor vulnerabilities")
            return records
        case Format.OPENVEX:
            return [documents.of_vex(vex_documents.read_openvex(data, about), "OpenVEX", given, ids)]
        case Format.BENCHMARK:
            return [documents.of_benchmark(read_benchmark(data, about, at), given, ids)]
        case _:
            return [documents.of_report(read_report(data, about), given, ids)]


def reviewed(*, digest: str, by: str, link: str, note: str, ids: IdSource, at: datetime) -> EvidenceRecord:
    """That a person looked at an image.

    Args:
        link: to what they wrote down elsewhere, http or https; empty: nowhere.
        note: what they found.

    Raises:
        UsageError: it says nothing, or the link is none.
    """
    what = "review"
    if not note.strip():
        raise UsageError(what, "it needs a note", "say with --note what was looked at and found")
    if len(note) > _LONGEST_NOTE:
        raise UsageError(what, f"its note has more than {_LONGEST_NOTE} characters", "put the rest behind --link")
    if link and not _is_link(link):
        raise UsageError(what, f"{clean(link, 80)!r} is no link", "give one that starts https://")
    kept = clean(note.strip(), _LONGEST_NOTE)
    return _asserted(digest, by, at).record(
        id=ids.new_id(),
        kind=EvidenceKind.REVIEW,
        state=READ,
        summary=clean(" ".join(kept.split()), 200),
        measured_at=at,
        payload={"link": clean(link, 1_000), "note": kept},
    )


def _asserted(digest: str, by: str, at: datetime) -> Provenance:
    return Provenance(digest=digest, origin=Origin.HANDED_IN, how=f"asserted by {by}", asserted_by=by, at=at)


def _sbom(data: bytes, about: About, given: Provenance, ids: IdSource) -> list[EvidenceRecord]:
    read = sbom.read(data, about.what)
    about.check(read.about, "the component or package that it describes")
    return documents.of_sbom(read, given, ids)


def _attested(
    data: bytes,
    form: Format | None,
    setting: Setting,
    by: str,
    keys: Sequence[PublicKey],
    identities: Sequence[KeylessIdentity],
    what: str,
) -> list[EvidenceRecord]:
    bundled = form is Format.BUNDLE
    statement = open_bundle(data, keys, what, identities) if bundled else open_envelope(data, keys, what)
    if setting.digest not in statement.subjects:
        named = ", ".join(sorted(statement.subjects)[:2]) or "no digest"
        raise malformed(what, f"it is about {named}, not about {setting.digest}")
    given = attested.provenance_of(statement, setting, origin=Origin.HANDED_IN, asserted_by=by)
    records = attested.read_statement(statement, setting, given)
    if not records:
        raise malformed(what, f"it states {clean(statement.predicate_type, 100)!r}, which is not read")
    return records


def _is_link(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc) and text.isprintable() and " " not in text
