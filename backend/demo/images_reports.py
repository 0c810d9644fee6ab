"""Reports about the demo's images: vulnerabilities as Trivy writes them, components as CycloneDX and as SPDX."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from backend.demo.catalogue_evidence import HOSTILE_TITLES, TITLES, Evidence, Package
from backend.demo.images_oci import Json

VULNERABILITIES: Final = "https://cosign.sigstore.dev/attestation/vuln/v1"
CYCLONEDX: Final = "https://cyclonedx.org/bom"
SPDX: Final = "https://spdx.dev/Document"

_TRIVY_VERSION: Final = "0.66.0"
_FIRST_NUMBER: Final = 90_000


def instant(moment: datetime) -> str:
    """Write a moment in UTC as RFC 3339 with seconds."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def vulnerability_predicate(name: str, digest: str, seen: Sequence[Json], scanned: datetime) -> Json:
    """Build the predicate that `trivy image --format cosign-vuln` writes.

    Args:
        seen: the findings.
        scanned: when the scan finished; the database is six hours older.
    """
    return {
        "invocation": {"parameters": None, "uri": "", "event_id": "", "builder.id": ""},
        "scanner": {
            "uri": f"pkg:github/aquasecurity/trivy@{_TRIVY_VERSION}",
            "version": _TRIVY_VERSION,
            "db": {"uri": "", "version": "2", "lastUpdate": instant(scanned - timedelta(hours=6))},
            "result": _trivy_report(name, digest, seen, scanned),
        },
        "metadata": {
            "scanStartedOn": instant(scanned - timedelta(seconds=42)),
            "scanFinishedOn": instant(scanned),
        },
    }


def _trivy_report(name: str, digest: str, findings: Sequence[Json], scanned: datetime) -> Json:
    system = [finding for finding in findings if finding["PkgIdentifier"]["PURL"].startswith("pkg:deb/")]
    python = [finding for finding in findings if finding not in system]
    return {
        "SchemaVersion": 2,
        "CreatedAt": instant(scanned),
        "ArtifactName": f"{name}@{digest}",
        "ArtifactType": "container_image",
        "Metadata": {"OS": {"Family": "ubuntu", "Name": "24.04"}, "RepoDigests": [f"{name}@{digest}"]},
        "Results": [
            # Trivy leaves the list out or null where it found nothing.
            {
                "Target": f"{name} (ubuntu 24.04)",
                "Class": "os-pkgs",
                "Type": "ubuntu",
                "Vulnerabilities": system or None,
            },
            {"Target": "Python", "Class": "lang-pkgs", "Type": "python-pkg", "Vulnerabilities": python or None},
        ],
    }


def findings(digest: str, evidence: Evidence, packages: Sequence[Package], *, hostile: bool) -> list[Json]:
    """What a scanner finds, as Trivy writes it, the worst first.

    Args:
        hostile: use titles that try to forge what a terminal shows.
    """
    counts = (("CRITICAL", evidence.critical), ("HIGH", evidence.high), ("MEDIUM", evidence.medium))
    offset = int(digest[7:11], 16)
    found: list[Json] = []
    for severity, count in counts:
        titles = HOSTILE_TITLES if hostile else TITLES[severity]
        for _ in range(count):
            position = offset + len(found)
            package = packages[position % len(packages)]
            number = _FIRST_NUMBER + position % 9_000
            title = titles[position % len(titles)]
            found.append(
                {
                    "VulnerabilityID": f"CVE-2025-{number}",
                    "PkgName": package.name,
                    "PkgIdentifier": {"PURL": package.purl},
                    "InstalledVersion": package.version,
                    "FixedVersion": "" if position % 4 == 0 else f"{package.version}.1",
                    "Status": "affected" if position % 4 == 0 else "fixed",
                    "Severity": severity,
                    "Title": f"{package.name}: {title}",
                    "PrimaryURL": f"https://example.invalid/CVE-2025-{number}",
                }
            )
    return found


def cyclonedx(name: str, digest: str, licence: str, packages: Sequence[Package], made: datetime) -> Json:
    """Build a CycloneDX 1.6 list of components; the image's own licence stands at its metadata component."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": instant(made),
            "tools": {"components": [{"type": "application", "name": "trivy", "version": _TRIVY_VERSION}]},
            "component": {
                "bom-ref": f"{name}@{digest}",
                "type": "container",
                "name": name,
                "version": digest,
                "licenses": [{"expression": licence}],
            },
        },
        "components": [
            {
                "bom-ref": package.purl,
                "type": "library",
                "name": package.name,
                "version": package.version,
                "purl": package.purl,
                **(
                    {"properties": [{"name": "aquasecurity:trivy:SrcName", "value": package.source}]}
                    if package.source
                    else {}
                ),
                "licenses": [
                    {"expression": package.licence}
                    if package.licence.startswith("LicenseRef-")
                    else {"license": {"id": package.licence}}
                ],
            }
            for package in packages
        ],
    }


def spdx(name: str, digest: str, licence: str, packages: Sequence[Package], made: datetime) -> Json:
    """Build an SPDX 2.3 document that describes the image as its root package."""
    own = sorted(
        {
            word
            for expression in (licence, *(package.licence for package in packages))
            for word in expression.split()
            if word.startswith("LicenseRef-")
        }
    )
    root = {
        "SPDXID": "SPDXRef-Image",
        "name": name,
        "versionInfo": digest,
        "downloadLocation": "NOASSERTION",
        "primaryPackagePurpose": "CONTAINER",
        "licenseConcluded": licence,
        "licenseDeclared": licence,
    }
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": f"https://example.invalid/spdx/{digest.removeprefix('sha256:')}",
        "creationInfo": {"created": instant(made), "creators": [f"Tool: trivy-{_TRIVY_VERSION}"]},
        "hasExtractedLicensingInfos": [
            {"licenseId": identifier, "extractedText": f"The text of {identifier} accompanies the image."}
            for identifier in own
        ],
        "packages": [root, *(_spdx_package(package) for package in packages)],
        "relationships": [
            {
                "spdxElementId": "SPDXRef-DOCUMENT",
                "relationshipType": "DESCRIBES",
                "relatedSpdxElement": "SPDXRef-Image",
            },
            *(
                {
                    "spdxElementId": "SPDXRef-Image",
                    "relationshipType": "CONTAINS",
                    "relatedSpdxElement": _spdx_identifier(package),
                }
                for package in packages
            ),
        ],
    }


def _spdx_identifier(package: Package) -> str:
    return f"SPDXRef-Package-{package.name}"


def _spdx_package(package: Package) -> Json:
    return {
        "SPDXID": _spdx_identifier(package),
        "name": package.name,
        "versionInfo": package.version,
        "downloadLocation": "NOASSERTION",
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": package.licence,
        **({"sourceInfo": f"built package from: {package.source} {package.version}"} if package.source else {}),
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": package.purl}
        ],
    }
