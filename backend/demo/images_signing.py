"""Keys and signed documents of the demo registry: cosign's simple signing, DSSE envelopes, Sigstore bundles.

Formats: cosign "Signature Spec" (simple signing), in-toto attestation, DSSE 1.0, Sigstore bundle 0.3. Keys come
from the seed and signing is deterministic (RFC 6979), so the same seed gives the same bytes. They protect nothing.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final, Protocol, TypeAlias

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from backend.demo.images_oci import Json, encode

BUNDLE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
DSSE: Final = "application/vnd.dsse.envelope.v1+json"
IN_TOTO: Final = "application/vnd.in-toto+json"
NOTATION: Final = "application/vnd.cncf.notary.signature"
SIMPLE_SIGNING: Final = "application/vnd.dev.cosign.simplesigning.v1+json"

# FIPS 186-5 and SP 800-186: the order of the base point of P-256.
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_ALGORITHM: Final = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)


# The primes of an RSA key of 2,048 bits: finding some anew takes longer than all else that a start does.
_FIRST_PRIME: Final = (
    "f2583b3625b9bbc7a9dee8bad23df4ffff60f15aa94c8476814ff3d86e30cc97c11bc20c5543c72ef741c31c012259d4389e"
    "d7aa8786b245c7f7fa24489e280c2da0c00f3419a87405b3273d68c3495eeaf91527c8c28aa53f4c5c2144b4689966561be6"
    "99621b14b516d54dc04124612bd7cca796cfd8831c80cfa613eea53d"
)
_SECOND_PRIME: Final = (
    "b8a1def956afc4cbbae70df5e20a54f1b83165253151fa8ca9183604c078185892f96cb5e1ec40c79698c005fa80844207d2"
    "542b337a319289e299bed0c293f4294345242419cde5dd5611ef46285bedb9d4f74019dd824cce991cd951692977fff58fb6"
    "64f2faa6ca3c349a48e15f0e36ebcc0d952a87d06f44c355265dc8e9"
)
_EXPONENT: Final = 65_537

_Public: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey


class Signer(Protocol):
    """A key that documents are signed with.

    Attributes:
        public_pem: its public half, PEM.
        hint: by which a bundle names it.
    """

    public_pem: str
    hint: str

    def sign(self, content: bytes) -> str:
        """Give the base64 of a signature over the content, as cosign writes it for a key of this kind."""


class _Key:
    """What keys of all kinds have."""

    def __init__(self, public: _Public) -> None:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        self.public_pem = public.public_bytes(serialization.Encoding.PEM, form).decode("ascii")
        der = public.public_bytes(serialization.Encoding.DER, form)
        self.hint = base64.b64encode(hashlib.sha256(der).digest()).decode("ascii")


class SigningKey(_Key):
    """An ECDSA P-256 key that is derived from a text."""

    def __init__(self, secret: str) -> None:
        scalar = int.from_bytes(hashlib.sha512(secret.encode()).digest(), "big") % (_ORDER - 1) + 1
        self._key = ec.derive_private_key(scalar, ec.SECP256R1())
        super().__init__(self._key.public_key())

    def sign(self, content: bytes) -> str:
        """Give the base64 of the DER form of an ECDSA signature with SHA-256 over the content."""
        return base64.b64encode(self._key.sign(content, _ALGORITHM)).decode("ascii")


class EdwardsKey(_Key):
    """An Ed25519 key that is derived from a text."""

    def __init__(self, secret: str) -> None:
        self._key = ed25519.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(secret.encode()).digest())
        super().__init__(self._key.public_key())

    def sign(self, content: bytes) -> str:
        """Give the base64 of an Ed25519 signature over the content."""
        return base64.b64encode(self._key.sign(content)).decode("ascii")


class RsaKey(_Key):
    """An RSA key of 2,048 bits, the same for every seed."""

    def __init__(self) -> None:
        first, second = int(_FIRST_PRIME, 16), int(_SECOND_PRIME, 16)
        private = pow(_EXPONENT, -1, (first - 1) * (second - 1))
        self._key = rsa.RSAPrivateNumbers(
            p=first,
            q=second,
            d=private,
            dmp1=rsa.rsa_crt_dmp1(private, first),
            dmq1=rsa.rsa_crt_dmq1(private, second),
            iqmp=rsa.rsa_crt_iqmp(first, second),
            public_numbers=rsa.RSAPublicNumbers(_EXPONENT, first * second),
        ).private_key(unsafe_skip_rsa_key_validation=True)
        super().__init__(self._key.public_key())

    def sign(self, content: bytes) -> str:
        """Give the base64 of a PKCS #1 v1.5 signature with SHA-256 over the content."""
        return base64.b64encode(self._key.sign(content, padding.PKCS1v15(), hashes.SHA256())).decode("ascii")


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


def envelope(key: Signer, payload: bytes, *, key_id: bool = True) -> Json:
    """Sign an in-toto statement as a DSSE envelope: the signature is over the pre-authentication encoding."""
    kind = IN_TOTO.encode("ascii")
    encoding = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    signature = {"keyid": "", "sig": key.sign(encoding)} if key_id else {"sig": key.sign(encoding)}
    return {"payloadType": IN_TOTO, "payload": base64.b64encode(payload).decode("ascii"), "signatures": [signature]}


def bundle(key: Signer, payload: bytes, *, certificate: str = "") -> bytes:
    """Build a Sigstore bundle of a signed statement; as with every key-based bundle made offline, no log entry.

    Args:
        certificate: base64 of a certificate's DER that stands for the key, as keyless signing leaves it.
    """
    named: Json = {"certificate": {"rawBytes": certificate}} if certificate else {"publicKey": {"hint": key.hint}}
    return encode(
        {
            "mediaType": BUNDLE,
            "verificationMaterial": {**named, "tlogEntries": []},
            "dsseEnvelope": envelope(key, payload, key_id=False),
        }
    )
