"""Signed statements: DSSE envelopes, in-toto statements and Sigstore bundles.

Formats: DSSE 1.0 (secure-systems-lab), in-toto attestation framework statements v0.1 and v1, Sigstore bundle v0.3.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Final

import msgspec

from backend.core.references import is_digest
from backend.evidence.decoding import decode, is_given, malformed
from backend.evidence.keyless import CannotCheckError, DoesNotHoldError, KeylessIdentity, verify_bundle
from backend.evidence.keys import PublicKey

DSSE_MEDIA_TYPE: Final = "application/vnd.dsse.envelope.v1+json"
BUNDLE_MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
_BUNDLE_MEDIA_TYPES: Final = frozenset({BUNDLE_MEDIA_TYPE, "application/vnd.dev.sigstore.bundle+json;version=0.3"})
_IN_TOTO: Final = "application/vnd.in-toto+json"
_STATEMENT_TYPES: Final = frozenset({"https://in-toto.io/Statement/v0.1", "https://in-toto.io/Statement/v1"})
#: The largest envelope that is taken from a registry, in bytes: an SBOM of a CUDA image, twice base64, fits.
ENVELOPE_LIMIT: Final = 64 * 1024 * 1024
_MOST_SIGNATURES: Final = 32


class _EnvelopeSignature(msgspec.Struct, frozen=True):
    sig: str
    keyid: str | None = None


class _Envelope(msgspec.Struct, frozen=True, rename="camel"):
    payload_type: str
    payload: str
    signatures: tuple[_EnvelopeSignature, ...] | None = None


class _PublicKeyHint(msgspec.Struct, frozen=True):
    hint: str | None = None


class _Material(msgspec.Struct, frozen=True, rename="camel"):
    public_key: _PublicKeyHint | None = None
    certificate: msgspec.Raw = msgspec.Raw()
    x509_certificate_chain: msgspec.Raw = msgspec.field(name="x509CertificateChain", default=msgspec.Raw())


class _Bundle(msgspec.Struct, frozen=True, rename="camel"):
    media_type: str
    verification_material: _Material | None = None
    dsse_envelope: _Envelope | None = None


class _Subject(msgspec.Struct, frozen=True):
    digest: dict[str, str] | None = None


class _Statement(msgspec.Struct, frozen=True, rename="camel"):
    type: str = msgspec.field(name="_type")
    predicate_type: str
    subject: tuple[_Subject, ...] | None = None
    predicate: msgspec.Raw = msgspec.Raw(b"null")


_ENVELOPE_DECODER: Final = msgspec.json.Decoder(_Envelope)
_BUNDLE_DECODER: Final = msgspec.json.Decoder(_Bundle)
_STATEMENT_DECODER: Final = msgspec.json.Decoder(_Statement)


class SignedStatement(msgspec.Struct, frozen=True, kw_only=True):
    """An in-toto statement out of its envelope.

    Attributes:
        predicate_type: what it states, without `https://` in front.
        subjects: digests that it is about.
        predicate: the statement's own content, JSON.
        signed_by: the configured key or keyless identity whose signature holds; None: none of them.
        names_key: a configured key that the envelope says made it; None: it names none of them.
        certificate: it was signed with a certificate (keyless) instead of a key that we could know.
        signatures: how many signatures the envelope has.
        refuted: why its certificate's signature does not hold; empty: it does, or nobody asked.
        unchecked: why its certificate's signature could not be checked; empty: it could, or nobody asked.
    """

    predicate_type: str
    subjects: frozenset[str]
    predicate: bytes
    signed_by: PublicKey | KeylessIdentity | None = None
    names_key: PublicKey | None = None
    certificate: bool = False
    signatures: int = 0
    refuted: str = ""
    unchecked: str = ""


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """What a DSSE signature is made over (DSSE 1.0, "PAE"); lengths are in bytes."""
    kind = payload_type.encode("utf-8", "surrogatepass")
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def open_envelope(data: bytes, keys: Sequence[PublicKey], what: str) -> SignedStatement:
    """Read a bare DSSE envelope, as a layer of cosign's `.att` tag holds it, and try the keys on it.

    Raises:
        MalformedDataError: it is no envelope around an in-toto statement.
    """
    return _open(decode(data, _ENVELOPE_DECODER, what, ENVELOPE_LIMIT), keys, what, hint="", certificate=False)


def open_statement(data: bytes, what: str) -> SignedStatement:
    """Read a bare in-toto statement, as BuildKit keeps it: nobody signed it.

    Raises:
        MalformedDataError: it is none.
    """
    statement = _statement(data, what)
    return SignedStatement(
        predicate_type=statement.predicate_type.removeprefix("https://"),
        subjects=frozenset(_subjects(statement)),
        predicate=bytes(statement.predicate),
    )


def open_bundle(
    data: bytes, keys: Sequence[PublicKey], what: str, identities: Sequence[KeylessIdentity] = ()
) -> SignedStatement:
    """Read a Sigstore bundle v0.3 that holds a DSSE envelope, and try the keys on it.

    Args:
        identities: to be tried where it was signed with a certificate.

    Raises:
        MalformedDataError: it is no such bundle. One with a bare message signature says nothing about an image.
    """
    bundle = decode(data, _BUNDLE_DECODER, what, ENVELOPE_LIMIT)
    if bundle.media_type not in _BUNDLE_MEDIA_TYPES:
        raise malformed(what, f"it is a bundle of type {bundle.media_type[:100]!r}, not v0.3")
    if bundle.dsse_envelope is None:
        raise malformed(what, "it holds no DSSE envelope")
    material = bundle.verification_material or _Material()
    hint = (material.public_key.hint if material.public_key else None) or ""
    certificate = is_given(material.certificate) or is_given(material.x509_certificate_chain)
    statement = _open(bundle.dsse_envelope, keys, what, hint=hint, certificate=certificate)
    if not certificate or not identities or statement.signed_by is not None:
        return statement
    payload = decode_base64(bundle.dsse_envelope.payload, f"payload of {what}")
    try:
        signer = verify_bundle(data, payload, identities)
    except CannotCheckError as error:
        return msgspec.structs.replace(statement, unchecked=str(error))
    except DoesNotHoldError as error:
        return msgspec.structs.replace(statement, refuted=str(error))
    return msgspec.structs.replace(statement, signed_by=signer)


def decode_base64(text: str, what: str) -> bytes:
    """The bytes of standard base64.

    Raises:
        MalformedDataError: it is not base64.
    """
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError, ValueError) as error:
        raise malformed(what, "it is not base64") from error


def _open(
    envelope: _Envelope, keys: Sequence[PublicKey], what: str, *, hint: str, certificate: bool
) -> SignedStatement:
    if envelope.payload_type != _IN_TOTO:
        raise malformed(what, f"its payload is {envelope.payload_type[:100]!r}, not an in-toto statement")
    signatures = envelope.signatures or ()
    if len(signatures) > _MOST_SIGNATURES:
        raise malformed(what, f"it has {len(signatures)} signatures, more than the {_MOST_SIGNATURES} that are tried")
    payload = decode_base64(envelope.payload, f"payload of {what}")
    statement = _statement(payload, what)
    signed = pre_authentication_encoding(envelope.payload_type, payload)
    signed_by = next(
        (
            key
            for signature in signatures
            for key in keys
            if key.verifies(decode_base64(signature.sig, f"signature of {what}"), signed)
        ),
        None,
    )
    named = {hint, *(signature.keyid or "" for signature in signatures)} - {""}
    return SignedStatement(
        predicate_type=statement.predicate_type.removeprefix("https://"),
        subjects=frozenset(_subjects(statement)),
        predicate=bytes(statement.predicate),
        signed_by=signed_by,
        names_key=next((key for key in keys if named & _names_of(key)), None),
        certificate=certificate,
        signatures=len(signatures),
    )


def _statement(payload: bytes, what: str) -> _Statement:
    statement = decode(payload, _STATEMENT_DECODER, f"statement in {what}", ENVELOPE_LIMIT)
    if statement.type not in _STATEMENT_TYPES:
        raise malformed(what, f"its statement is of type {statement.type[:100]!r}, which is not read")
    return statement


def _subjects(statement: _Statement) -> list[str]:
    found = [
        f"{algorithm}:{value}"
        for subject in statement.subject or ()
        for algorithm, value in (subject.digest or {}).items()
    ]
    return [digest for digest in found if is_digest(digest)]


def _names_of(key: PublicKey) -> set[str]:
    # sigstore-go hints at a key by the base64 of its DER's SHA-256; others write the same hash in hexadecimal.
    hexadecimal = key.fingerprint.partition(":")[2]
    return {hexadecimal, key.fingerprint, base64.b64encode(bytes.fromhex(hexadecimal)).decode("ascii")}
