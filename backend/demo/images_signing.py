"""Keys and signed documents of the demo registry: cosign's simple signing, DSSE envelopes, Sigstore bundles.

Formats: cosign "Signature Spec" (simple signing), in-toto attestation, DSSE 1.0, Sigstore bundle 0.3. Keys come
from the seed and signing is deterministic (RFC 6979), so the same seed gives the same bytes. They protect nothing.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from backend.demo.images_oci import Json, encode

BUNDLE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
DSSE: Final = "application/vnd.dsse.envelope.v1+json"
IN_TOTO: Final = "application/vnd.in-toto+json"
SIMPLE_SIGNING: Final = "application/vnd.dev.cosign.simplesigning.v1+json"

# FIPS 186-5 and SP 800-186: the order of the base point of P-256.
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_ALGORITHM: Final = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)


class SigningKey:
    """An ECDSA P-256 key that is derived from a text."""

    def __init__(self, secret: str) -> None:
        scalar = int.from_bytes(hashlib.sha512(secret.encode()).digest(), "big") % (_ORDER - 1) + 1
        self._key = ec.derive_private_key(scalar, ec.SECP256R1())
        public = self._key.public_key()
        self.public_pem = public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ).decode("ascii")
        der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.hint = base64.b64encode(hashlib.sha256(der).digest()).decode("ascii")

    def sign(self, content: bytes) -> str:
        """Give the base64 of the DER form of an ECDSA signature with SHA-256 over the content."""
        return base64.b64encode(self._key.sign(content, _ALGORITHM)).decode("ascii")


def simple_signing_payload(reference: str, digest: str) -> bytes:
    """Build the document that cosign signs in its older form; `reference` is informative only."""
    return encode(
        {
            "critical": {
                "identity": {"docker-reference": reference},
                "image": {"docker-manifest-digest": digest},
                "type": "cosign container image signature",
            },
            "optional": None,
        }
    )


def statement(predicate_type: str, predicate: Json, name: str, digest: str, *, version: str = "v1") -> bytes:
    """Build an in-toto statement about the image `name` with `digest`."""
    return encode(
        {
            "_type": f"https://in-toto.io/Statement/{version}",
            "predicateType": predicate_type,
            "subject": [{"name": name, "digest": {"sha256": digest.removeprefix("sha256:")}}],
            "predicate": predicate,
        }
    )


def envelope(key: SigningKey, payload: bytes, *, key_id: bool = True) -> Json:
    """Sign an in-toto statement as a DSSE envelope: the signature is over the pre-authentication encoding."""
    kind = IN_TOTO.encode("ascii")
    encoding = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    signature = {"keyid": "", "sig": key.sign(encoding)} if key_id else {"sig": key.sign(encoding)}
    return {"payloadType": IN_TOTO, "payload": base64.b64encode(payload).decode("ascii"), "signatures": [signature]}


def bundle(key: SigningKey, payload: bytes) -> bytes:
    """Build a Sigstore bundle of a signed statement; as with every key-based bundle made offline, no log entry."""
    return encode(
        {
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": key.hint}, "tlogEntries": []},
            "dsseEnvelope": envelope(key, payload, key_id=False),
        }
    )
