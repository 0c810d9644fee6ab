"""Image signatures: what a signature proves about a digest, with the keys that policy names.

A key proves who signed, nothing about when, and knows no revocation; whoever shows an outcome says so.
Formats: cosign's simple signing ("Cosign Signature Specification"), cosign 3 (Sigstore bundle v0.3 with the predicate
`https://sigstore.dev/cosign/sign/v1`), Notary Project signatures (recognised, not verified).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

from backend.core.errors import MalformedDataError
from backend.evidence.decoding import clean, decode
from backend.evidence.envelopes import SignedStatement, decode_base64, open_bundle
from backend.evidence.keyless import KEYLESS, KeylessIdentity
from backend.evidence.keys import PublicKey

SIMPLE_SIGNING: Final = "application/vnd.dev.cosign.simplesigning.v1+json"
#: Artifact type of a referrer that holds simple-signing layers (cosign 2 with OCI 1.1).
SIMPLE_SIGNING_ARTIFACT: Final = "application/vnd.dev.cosign.artifact.sig.v1+json"
SIGNATURE_ANNOTATION: Final = "dev.cosignproject.cosign/signature"
CERTIFICATE_ANNOTATION: Final = "dev.sigstore.cosign/certificate"
NOTATION: Final = "application/vnd.cncf.notary.signature"
#: The predicate of an image signature by cosign 3, without `https://` in front.
SIGN_PREDICATE: Final = "sigstore.dev/cosign/sign/v1"
#: The largest simple-signing payload that is taken, in bytes.
PAYLOAD_LIMIT: Final = 1024 * 1024

_SIMPLE_TYPE: Final = "cosign container image signature"
_PROVES: Final = "a key proves neither when it was signed nor that the key is still good"
_KEYLESS_PROVES: Final = "keyless: its certificate was good when a log or timestamp authority saw the signature"


_WHY_NOT_KEYLESS: Final = {
    # Its annotations carry a promise of the log and no proof, which Sigstore's library does not take offline.
    "cosign": "it was made with a certificate (keyless) in cosign's older form, which cannot be checked offline",
    "cosign-bundle": "it was made with a certificate (keyless), and policy names no identity to check it for",
}


class SignatureState(StrEnum):
    """What is known of an image's signature. `present` is there and was not verified: nothing of ours could."""

    VERIFIED = "verified"
    INVALID = "invalid"
    PRESENT = "present"
    NONE = "none"
    UNCHECKED = "unchecked"


class SignatureOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one signature came to.

    Attributes:
        scheme: cosign, cosign-bundle or notation.
        reason: why it is so, in a clause.
        key_name, key: name and fingerprint of the key or keyless identity that verified it; empty otherwise.
    """

    state: SignatureState
    scheme: str
    reason: str
    key_name: str = ""
    key: str = ""


class _ImageClaim(msgspec.Struct, frozen=True):
    lower: str | None = msgspec.field(name="docker-manifest-digest", default=None)
    upper: str | None = msgspec.field(name="Docker-manifest-digest", default=None)


class _Critical(msgspec.Struct, frozen=True):
    type: str
    image: _ImageClaim


class _SimplePayload(msgspec.Struct, frozen=True):
    critical: _Critical


_PAYLOAD_DECODER: Final = msgspec.json.Decoder(_SimplePayload)


def verify_simple_signing(
    payload: bytes, signature_base64: str, image_digest: str, keys: Sequence[PublicKey], *, certificate: bool = False
) -> SignatureOutcome:
    """Judge a signature of cosign's older form.

    Args:
        payload: the layer's bytes, whose digest the caller has checked.
        signature_base64: annotation `dev.cosignproject.cosign/signature`.
        image_digest: that was computed over the image's manifest.
        keys: that policy names; several mean that any of them will do.
        certificate: the layer carries a certificate, so a key of ours need not fit.
    """
    scheme = "cosign"
    try:
        signature = decode_base64(signature_base64, "signature")
        critical = decode(payload, _PAYLOAD_DECODER, "signed payload", PAYLOAD_LIMIT).critical
    except MalformedDataError as error:
        return _invalid(scheme, f"{error.what}: {error.why}")
    if critical.type != _SIMPLE_TYPE:
        return _invalid(scheme, f"its payload is of type {clean(critical.type, 80)!r}")
    claimed = {digest for digest in (critical.image.lower, critical.image.upper) if digest is not None}
    if claimed != {image_digest}:
        other = clean(" and ".join(sorted(claimed)), 160) or "no digest"
        return _invalid(scheme, f"it was made for {other}, not for this image")
    signer = next((key for key in keys if key.verifies(signature, payload)), None)
    return _judge(scheme, signer, keys, certificate=certificate, names=None)


def verify_bundle_v3(bundle: bytes, image_digest: str, keys: Sequence[PublicKey]) -> SignatureOutcome:
    """Judge a signature of cosign 3: a Sigstore bundle v0.3 around a DSSE envelope.

    Args:
        bundle: the layer's bytes.
        image_digest: that was computed over the image's manifest.
        keys: that policy names; several mean that any of them will do.
    """
    try:
        statement = open_bundle(bundle, keys, "signature bundle")
    except MalformedDataError as error:
        return _invalid("cosign-bundle", f"{error.what}: {error.why}")
    return judge_statement(statement, image_digest, keys)


def judge_statement(statement: SignedStatement, image_digest: str, keys: Sequence[PublicKey]) -> SignatureOutcome:
    """Judge an image signature whose envelope was opened already with the same keys."""
    scheme = "cosign-bundle"
    if statement.predicate_type != SIGN_PREDICATE:
        return _invalid(scheme, f"it states {clean(statement.predicate_type, 80)!r}, which is no image signature")
    if image_digest not in statement.subjects:
        other = clean(" and ".join(sorted(statement.subjects)[:3]), 300) or "no digest"
        return _invalid(scheme, f"it was made for {other}, not for this image")
    if not statement.signatures:
        return _invalid(scheme, "its envelope holds no signature")
    names = statement.names_key.name if statement.names_key else None
    if isinstance(statement.signed_by, KeylessIdentity):
        signer = statement.signed_by
        return SignatureOutcome(
            state=SignatureState.VERIFIED,
            scheme=scheme,
            reason=f"signed by {clean(signer.name, 200)}; {_KEYLESS_PROVES}",
            key_name=clean(signer.name, 200),
            key=signer.fingerprint,
        )
    if statement.unchecked:
        return SignatureOutcome(state=SignatureState.UNCHECKED, scheme=scheme, reason=statement.unchecked)
    if statement.refuted:
        return _invalid(scheme, f"it does not hold for the identity that policy names: {statement.refuted}")
    return _judge(scheme, statement.signed_by, keys, certificate=statement.certificate, names=names)


def notation_outcome() -> SignatureOutcome:
    """A Notary Project signature: recognised, and not verified, since it needs a certificate trust store."""
    return SignatureOutcome(
        state=SignatureState.PRESENT, scheme="notation", reason="Notation signatures are recognised, not verified"
    )


def broken_bundle(reason: str) -> SignatureOutcome:
    """A signature that is attached as a referrer and is not what it claims to be."""
    return _invalid("cosign-bundle", reason)


def _judge(
    scheme: str, signer: PublicKey | None, keys: Sequence[PublicKey], *, certificate: bool, names: str | None
) -> SignatureOutcome:
    if signer is not None:
        return SignatureOutcome(
            state=SignatureState.VERIFIED,
            scheme=scheme,
            reason=f"signed by key {signer.name}; {_PROVES}",
            key_name=signer.name,
            key=signer.fingerprint,
        )
    if names is not None:
        return _invalid(scheme, f"it names key {names}, and that key did not make it")
    if certificate:
        return _present(scheme, _WHY_NOT_KEYLESS[scheme])
    if not keys:
        return _present(scheme, "no key is configured to check it with")
    tried = f"key {keys[0].name}" if len(keys) == 1 else f"any of the {len(keys)} configured keys"
    return _invalid(scheme, f"it does not hold under {tried}: altered, or made by somebody else")


def _invalid(scheme: str, reason: str) -> SignatureOutcome:
    return SignatureOutcome(state=SignatureState.INVALID, scheme=scheme, reason=reason)


def _present(scheme: str, reason: str) -> SignatureOutcome:
    return SignatureOutcome(state=SignatureState.PRESENT, scheme=scheme, reason=reason)


def overall(outcomes: Sequence[SignatureOutcome], failures: Sequence[str]) -> tuple[SignatureState, str]:
    """What all signatures of an image come to, and why.

    One that holds is enough, whatever else is attached: anybody who may push can attach a broken one. A place that
    could not be read may hold one that holds, so nothing weaker than `invalid` is said then.

    Args:
        outcomes: one a signature.
        failures: why a place where signatures are kept could not be read, one each.
    """
    for state in (SignatureState.VERIFIED, SignatureState.INVALID):
        matching = [outcome for outcome in outcomes if outcome.state is state]
        if matching:
            # What else could not be read takes nothing from a signature that holds, and must not make new evidence.
            return state, _with_rest(matching, outcomes, () if state is SignatureState.VERIFIED else failures)
    unchecked = [outcome.reason for outcome in outcomes if outcome.state is SignatureState.UNCHECKED]
    if failures or unchecked:
        return SignatureState.UNCHECKED, f"could not check: {[*unchecked, *failures][0]}"
    if outcomes:
        return SignatureState.PRESENT, _with_rest(list(outcomes), outcomes, failures)
    return SignatureState.NONE, "no signature is attached"


def _with_rest(
    matching: Sequence[SignatureOutcome], outcomes: Sequence[SignatureOutcome], failures: Sequence[str]
) -> str:
    names = sorted({outcome.key_name for outcome in matching if outcome.key_name})
    keyed = all(not outcome.key.startswith(KEYLESS) for outcome in matching)
    text = f"signed by key {' and '.join(names)}; {_PROVES}" if names and keyed else matching[0].reason
    others = len(outcomes) - len(matching)
    if others:
        text += f"; {others} more not verified"
    return f"{text}; not all could be read: {failures[0]}" if failures else text
