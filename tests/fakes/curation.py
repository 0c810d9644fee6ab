"""Keys, signatures, reports and a registry's attachments, as the tools write them; and a yard to decide in.

Forms: cosign 2 (simple signing, `.att` envelopes), cosign 3 (Sigstore bundle v0.3), Trivy 0.66 (JSON, cosign-vuln,
CycloneDX 1.6, SPDX 2.3).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from backend.core.actors import Actor, ActorSource, Role
from backend.core.errors import ModelyardError, NotFoundError
from backend.core.permits import Permit
from backend.curation.config import PolicyConfig
from backend.curation.policy import Policy, load_policy
from backend.evidence.envelopes import pre_authentication_encoding
from backend.evidence.facts import ImageFacts
from backend.evidence.keys import PublicKey, parse_public_key
from backend.evidence.records import EvidenceKind, EvidenceRecord, Finding, Origin, count_severities
from backend.registry.manifests import OCI_MANIFEST, Descriptor, Manifest, digest_of

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
DIGEST = f"sha256:{'ab' * 32}"
OTHER_DIGEST = f"sha256:{'cd' * 32}"
IN_TOTO = "application/vnd.in-toto+json"
SIGN = "https://sigstore.dev/cosign/sign/v1"
VULNERABILITIES = "https://cosign.sigstore.dev/attestation/vuln/v1"

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


class KeyPair:
    """A private key and its public half as policy reads it."""

    def __init__(self, private: PrivateKey, name: str, algorithm: hashes.HashAlgorithm | None = None) -> None:
        self.private = private
        self.name = name
        self.algorithm = algorithm or hashes.SHA256()
        self.pem = private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.public: PublicKey = parse_public_key(self.pem, name)

    def sign(self, message: bytes) -> str:
        """The signature over the message, base64."""
        if isinstance(self.private, rsa.RSAPrivateKey):
            raw = self.private.sign(message, padding.PKCS1v15(), self.algorithm)
        elif isinstance(self.private, ed25519.Ed25519PrivateKey):
            raw = self.private.sign(message)
        else:
            raw = self.private.sign(message, ec.ECDSA(self.algorithm))
        return base64.b64encode(raw).decode()


@cache
def key_pair(kind: str = "p256", name: str = "platform") -> KeyPair:
    """A key pair, made once a run: p256, p384, p384-sha256, p521, rsa, ed25519."""
    if kind == "rsa":
        return KeyPair(rsa.generate_private_key(65537, 2048), name)
    if kind == "ed25519":
        return KeyPair(ed25519.Ed25519PrivateKey.generate(), name)
    curves: dict[str, tuple[ec.EllipticCurve, hashes.HashAlgorithm]] = {
        "p256": (ec.SECP256R1(), hashes.SHA256()),
        "p384": (ec.SECP384R1(), hashes.SHA384()),
        "p384-sha256": (ec.SECP384R1(), hashes.SHA256()),
        "p521": (ec.SECP521R1(), hashes.SHA512()),
    }
    curve, algorithm = curves[kind]
    return KeyPair(ec.generate_private_key(curve), name, algorithm)


def simple_payload(digest: str = DIGEST, *, spelling: str = "docker-manifest-digest", **changes: Any) -> bytes:
    """What cosign 2 signs; `changes` replace fields of `critical`."""
    critical = {
        "identity": {"docker-reference": "registry.example/nim/meta/llama"},
        "image": {spelling: digest},
        "type": "cosign container image signature",
        **changes,
    }
    return json.dumps({"critical": critical, "optional": None}).encode()


def statement(digest: str, predicate_type: str, predicate: Any) -> bytes:
    """An in-toto statement about a digest."""
    return json.dumps(
        {
            "_type": "https://in-toto.io/Statement/v0.1",
            "predicateType": predicate_type,
            "subject": [{"name": "registry.example/nim/meta/llama", "digest": {"sha256": digest.partition(":")[2]}}],
            "predicate": predicate,
        }
    ).encode()


def envelope(payload: bytes, *keys: KeyPair, keyid: str = "") -> dict[str, Any]:
    """A DSSE envelope around a statement, signed by each key."""
    return {
        "payloadType": IN_TOTO,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [
            {"keyid": keyid, "sig": key.sign(pre_authentication_encoding(IN_TOTO, payload))} for key in keys
        ],
    }


def bundle(payload: bytes, *keys: KeyPair, hint: KeyPair | None = None, certificate: bool = False) -> bytes:
    """A Sigstore bundle v0.3, as cosign 3 writes it for a key pair."""
    material: dict[str, Any] = {"tlogEntries": [], "timestampVerificationData": None}
    if certificate:
        material["certificate"] = {"rawBytes": "MIIB"}
    else:
        named = hint or (keys[0] if keys else None)
        text = base64.b64encode(bytes.fromhex(named.public.fingerprint[7:])).decode() if named else ""
        material["publicKey"] = {"hint": text}
    return json.dumps(
        {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": material,
            "dsseEnvelope": envelope(payload, *keys),
        }
    ).encode()


def vulnerability(
    id: str = "CVE-2026-1234", severity: str = "CRITICAL", package: str = "openssl", version: str = "3.0.13-0ubuntu3.4"
) -> dict[str, Any]:
    """A finding as Trivy writes it."""
    return {
        "VulnerabilityID": id,
        "PkgID": f"{package}@{version}",
        "PkgName": package,
        "PkgIdentifier": {"PURL": f"pkg:deb/ubuntu/{package}@{version}?arch=amd64&distro=ubuntu-24.04", "UID": "1f"},
        "InstalledVersion": version,
        "FixedVersion": "3.0.13-0ubuntu3.5",
        "Status": "fixed",
        "Layer": {"Digest": OTHER_DIGEST, "DiffID": DIGEST},
        "SeveritySource": "nvd",
        "PrimaryURL": f"avd.aquasec.com/nvd/{id.lower()}",
        "DataSource": {"ID": "ubuntu", "Name": "Ubuntu CVE Tracker"},
        "Title": f"{package}: something that should not happen",
        "Description": "Long text.",
        "Severity": severity,
        "CweIDs": ["CWE-416"],
        "References": ["nvd.nist.gov"],
        "PublishedDate": "2026-05-28T14:15:00Z",
    }


def trivy_report(
    *vulnerabilities: Mapping[str, Any], digest: str = DIGEST, created: str = "2026-11-19T10:00:00.123456789Z"
) -> dict[str, Any]:
    """A report as `trivy image --format json` 0.66 writes it."""
    return {
        "SchemaVersion": 2,
        "Trivy": {"Version": "0.66.0"},
        "ReportID": "0193b0a2",
        "CreatedAt": created,
        "ArtifactName": f"registry.example/nim/meta/llama@{digest}",
        "ArtifactType": "container_image",
        "Metadata": {
            "Size": 1_000_000,
            "OS": {"Family": "ubuntu", "Name": "24.04"},
            "ImageID": OTHER_DIGEST,
            "DiffIDs": [OTHER_DIGEST],
            "RepoTags": ["registry.example/nim/meta/llama:1.8.2"],
            "RepoDigests": [f"registry.example/nim/meta/llama@{digest}"],
            "ImageConfig": {"architecture": "amd64", "os": "linux", "config": {}},
        },
        "Results": [
            {
                "Target": "registry.example/nim/meta/llama (ubuntu 24.04)",
                "Class": "os-pkgs",
                "Type": "ubuntu",
                "Vulnerabilities": list(vulnerabilities) or None,
            },
            {"Target": "Python", "Class": "lang-pkgs", "Type": "python-pkg"},
        ],
    }


def vulnerability_predicate(report: Mapping[str, Any], finished: str = "2026-11-19T10:00:05Z") -> dict[str, Any]:
    """A predicate as `trivy image --format cosign-vuln` writes it."""
    return {
        "invocation": {"parameters": None, "uri": "", "event_id": "", "builder.id": ""},
        "scanner": {
            "uri": "pkg:github/aquasecurity/trivy@0.66.0",
            "version": "0.66.0",
            "db": {"uri": "", "version": ""},
            "result": report,
        },
        "metadata": {"scanStartedOn": "2026-11-19T10:00:00Z", "scanFinishedOn": finished},
    }


def cyclonedx(*components: Mapping[str, Any], licence: str | None = "Apache-2.0") -> dict[str, Any]:
    """An SBOM as `trivy image --format cyclonedx` 0.66 writes it."""
    return {
        "$schema": "cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": "urn:uuid:5c2b1a7e-7f0e-4f5e-9f50-3f1a3f0a8f11",
        "version": 1,
        "metadata": {
            "timestamp": "2026-11-19T10:00:00+00:00",
            "tools": {"components": [{"type": "application", "group": "aquasecurity", "name": "trivy",
                                      "version": "0.66.0"}]},
            "component": {
                "bom-ref": "root",
                "type": "container",
                "name": "registry.example/nim/meta/llama",
                **({"licenses": [{"expression": licence}]} if licence else {}),
            },
        },
        "components": list(components)
        or [
            {"type": "operating-system", "name": "ubuntu", "version": "24.04"},
            component("libc6", "2.39", "LGPL-2.1-only"),
            component("vllm", "0.11.0", "Apache-2.0"),
        ],
        "dependencies": [],
        "vulnerabilities": [],
    }  # fmt: skip


def component(name: str, version: str, licence: str | None) -> dict[str, Any]:
    """A component of a CycloneDX document."""
    return {
        "bom-ref": f"{name}-{version}",
        "type": "library",
        "name": name,
        "version": version,
        "purl": f"pkg:pypi/{name}@{version}",
        **({"licenses": [{"license": {"id": licence}}]} if licence else {}),
    }


def spdx(*packages: tuple[str, str, str], licence: str = "Apache-2.0") -> dict[str, Any]:
    """An SBOM as `trivy image --format spdx-json` 0.66 writes it; packages are name, version and licence."""
    listed = packages or (("libc6", "2.39", "LGPL-2.1-only"), ("vllm", "0.11.0", "Apache-2.0"))
    root = {
        "name": "registry.example/nim/meta/llama",
        "SPDXID": "SPDXRef-ContainerImage-1",
        "downloadLocation": "NONE",
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": licence,
        "primaryPackagePurpose": "CONTAINER",
    }
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": "registry.example/nim/meta/llama",
        "creationInfo": {"creators": ["Organization: aquasecurity", "Tool: trivy-0.66.0"],
                         "created": "2026-11-19T10:00:00Z"},
        "packages": [
            root,
            *(
                {
                    "name": name,
                    "SPDXID": f"SPDXRef-Package-{name}",
                    "versionInfo": version,
                    "licenseConcluded": declared,
                    "licenseDeclared": declared,
                    "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                                      "referenceLocator": f"pkg:pypi/{name}@{version}"}],
                }
                for name, version, declared in listed
            ),
        ],
        "relationships": [
            {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES",
             "relatedSpdxElement": "SPDXRef-ContainerImage-1"},
        ],
    }  # fmt: skip


class Attachments:
    """A registry's repository that holds what a test attaches; a tag, a digest or `referrers` can be made to fail."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, Manifest] = {}
        self.tags: dict[str, str] = {}
        self.referring: list[Descriptor] = []
        self.failing: dict[str, ModelyardError] = {}
        self.scan: bytes | None = None

    def layer(self, data: bytes, media_type: str, **annotations: str) -> Descriptor:
        """Store a blob."""
        digest = digest_of(data)
        self.blobs[digest] = data
        return Descriptor(
            media_type=media_type,
            digest=digest,
            size=len(data),
            annotations={name.replace("__", "/").replace("_", "."): value for name, value in annotations.items()},
        )

    def attach(
        self, *layers: Descriptor, tag: str = "", artifact_type: str = "", subject: str | None = None,
        annotations: Mapping[str, str] = {},
    ) -> None:  # fmt: skip
        """Store a manifest of layers under a tag, or as a referrer."""
        raw = json.dumps([layer.digest for layer in layers] + [tag, artifact_type]).encode()
        about = Descriptor(media_type=OCI_MANIFEST, digest=subject, size=1) if subject else None
        manifest = Manifest(
            raw=raw, digest=digest_of(raw), media_type=OCI_MANIFEST, artifact_type=artifact_type, layers=layers,
            subject=about, annotations=dict(annotations),
        )  # fmt: skip
        self.manifests[manifest.digest] = manifest
        if tag:
            self.tags[tag] = manifest.digest
        else:
            self.referring.append(manifest.descriptor)

    def sign_simply(self, payload: bytes, signature: str, certificate: str = "") -> None:
        """Attach a signature as cosign 2 does."""
        annotations = {"dev.cosignproject.cosign__signature": signature}
        if certificate:
            annotations["dev.sigstore.cosign__certificate"] = certificate
        layer = self.layer(payload, "application/vnd.dev.cosign.simplesigning.v1+json", **annotations)
        self.attach(layer, tag=f"sha256-{DIGEST[7:]}.sig")

    def attest(self, *envelopes: Mapping[str, Any]) -> None:
        """Attach attestations as cosign 2 does."""
        layers = [self.layer(json.dumps(each).encode(), "application/vnd.dsse.envelope.v1+json") for each in envelopes]
        self.attach(*layers, tag=f"sha256-{DIGEST[7:]}.att")

    def attach_bundle(self, data: bytes, subject: str = DIGEST, predicate: str = SIGN) -> None:
        """Attach a bundle as cosign 3 does."""
        media_type = "application/vnd.dev.sigstore.bundle.v0.3+json"
        self.attach(
            self.layer(data, media_type),
            artifact_type=media_type,
            subject=subject,
            annotations={
                "dev.sigstore.bundle.content": "dsse-envelope",
                "dev.sigstore.bundle.predicateType": predicate,
            },
        )

    async def resolve(self, repository: str, reference: str) -> Descriptor:
        self._fail(reference)
        if reference not in self.tags:
            raise NotFoundError(f"tag {reference}", "there is none", "check the tag")
        return self.manifests[self.tags[reference]].descriptor

    async def manifest(self, repository: str, reference: str) -> Manifest:
        self._fail(reference)
        return self.manifests[reference]

    async def blob(self, repository: str, digest: str, size: int, limit: int) -> bytes:
        self._fail(digest)
        return self.blobs[digest]

    async def referrers(self, repository: str, digest: str) -> list[Descriptor]:
        self._fail("referrers")
        return list(self.referring)

    async def scan_report(self, repository: str, digest: str, limit: int) -> bytes | None:
        self._fail("scan")
        return self.scan

    def _fail(self, name: str) -> None:
        if name in self.failing:
            raise self.failing[name]


def image_manifest(digest: str = DIGEST) -> Manifest:
    """The manifest of the image that evidence is about."""
    return Manifest(raw=b"{}", digest=digest, media_type=OCI_MANIFEST)


def image(digest: str = DIGEST, **changes: Any) -> ImageFacts:
    """What the library knows of an image."""
    known: dict[str, Any] = {
        "digest": digest, "registry": "ngc", "host": "nvcr.example", "repository": "nim/meta/llama", "tags": ("1.8.2",),
        "rules": ("nim",), "kind": "image", "type": "chat", "framework": "nim", "size": 9_000_000_000, **changes,
    }  # fmt: skip
    return ImageFacts(**known)


def digest_number(number: int) -> str:
    """A digest that no other number has."""
    return f"sha256:{hashlib.sha256(str(number).encode()).hexdigest()}"


def report_record(
    *findings: Finding, id: str = "report", digest: str = DIGEST, key: str = "", origin: Origin = Origin.REGISTRY,
    asserted_by: str = "", measured_at: datetime | None = NOW, targets: int = 1, database_at: datetime | None = None,
) -> EvidenceRecord:  # fmt: skip
    """The evidence of a vulnerability report."""
    return EvidenceRecord(
        id=id, digest=digest, kind=EvidenceKind.VULNERABILITIES, origin=origin, state="read",
        summary=f"{len(findings)} findings", source="Trivy 0.66.0", asserted_by=asserted_by, key=key,
        measured_at=measured_at, collected_at=NOW, database_at=database_at,
        payload={"counts": count_severities(findings), "targets": targets}, findings=findings,
    )  # fmt: skip


def finding(id: str = "CVE-2026-1234", severity: str = "critical", package: str = "openssl") -> Finding:
    """A finding."""
    return Finding(id=id, severity=severity, package=package, version="1.0", purl=f"pkg:deb/{package}@1.0")


def person(name: str, *roles: Role, unrestricted: bool = False) -> Actor:
    """Somebody with roles; an approver when none are given."""
    held = frozenset(roles or (Role.APPROVER, Role.CURATOR))
    return Actor(name=name, source=ActorSource.OPERATING_SYSTEM, roles=held, unrestricted=unrestricted)


def permit(mutation: str, actor: Actor, digest: str = DIGEST) -> Permit:
    """What the gate would issue."""
    return Permit(mutation=mutation, object=image(digest).reference, actor=actor)


def policy(folder: Path | None = None, *gates: Mapping[str, Any], keys: Sequence[KeyPair] = (), **rest: Any) -> Policy:
    """A policy; a signature gate names its keys by the pairs' names, whose files are written into the folder."""
    for key in keys:
        assert folder is not None
        (folder / f"{key.name}.pub").write_bytes(key.pem)
    return load_policy(PolicyConfig.model_validate({"gate": list(gates), **rest}), (), folder or Path())
