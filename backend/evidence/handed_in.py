"""Reports that a person hands in as a file. Nobody signed them: they are asserted by who hands them in."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from backend.core.ports import IdSource
from backend.evidence.decoding import read_file
from backend.evidence.documents import Provenance, of_report
from backend.evidence.records import EvidenceRecord, Origin
from backend.evidence.vulnerabilities import read_report


def read_handed_in(
    path: Path, *, digest: str, also: frozenset[str] = frozenset(), by: str, ids: IdSource, at: datetime
) -> EvidenceRecord:
    """Read a vulnerability report from a file. Blocks, for up to 200 MiB of JSON: call it off the event loop.

    Args:
        path: of a Trivy report in JSON, or of a cosign vulnerability predicate around one.
        digest: of the image that it must be about.
        also: digests that count as this image, such as an index's children.
        by: who hands it in; they do not approve the image then.
        at: now.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it is no file that can be read.
        MalformedDataError: it is no such report, or about another digest or none; too large, too deep, too long.
    """
    what = f"report {path}"
    report = read_report(read_file(path, what), digest=digest, also=also, what=what)
    provenance = Provenance(digest=digest, origin=Origin.HANDED_IN, how=f"asserted by {by}", asserted_by=by, at=at)
    return of_report(report, provenance, ids)
