"""What a signature comes to: verified, invalid, present, none, or could not check."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa, x25519
from hypothesis import given
from hypothesis import strategies as st

from backend.core.errors import ConfigurationError
from backend.evidence.keys import load_public_key, parse_public_key
from backend.evidence.signatures import (
    SignatureOutcome,
    SignatureState,
    overall,
    verify_bundle_v3,
    verify_simple_signing,
)
from tests.fakes.curation import (
    DIGEST,
    OTHER_DIGEST,
    SIGN,
    VULNERABILITIES,
    bundle,
    key_pair,
    simple_payload,
    statement,
)

KINDS = ["p256", "p384", "p384-sha256", "p521", "rsa", "ed25519"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_simple_signature_of_a_configured_key_is_verified_whatever_its_algorithm(kind: str) -> None:
    key = key_pair(kind)
    payload = simple_payload()
    outcome = verify_simple_signing(payload, key.sign(payload), DIGEST, [key.public])
    assert outcome.state is SignatureState.VERIFIED
    assert (outcome.key, outcome.key_name) == (key.public.fingerprint, "platform")


@pytest.mark.parametrize("kind", KINDS)
def test_a_bundle_of_a_configured_key_is_verified_whatever_its_algorithm(kind: str) -> None:
    key = key_pair(kind)
    outcome = verify_bundle_v3(bundle(statement(DIGEST, SIGN, {}), key), DIGEST, [key.public])
    assert outcome.state is SignatureState.VERIFIED


def test_one_of_several_keys_is_enough_and_is_named() -> None:
    keys = [key_pair("rsa", "old"), key_pair("ed25519", "new"), key_pair("p256", "platform")]
    payload = simple_payload()
    outcome = verify_simple_signing(payload, keys[2].sign(payload), DIGEST, [key.public for key in keys])
    assert outcome.key_name == "platform"


def test_what_a_key_does_not_prove_is_said() -> None:
    key = key_pair()
    payload = simple_payload()
    assert "neither when" in verify_simple_signing(payload, key.sign(payload), DIGEST, [key.public]).reason


@pytest.mark.parametrize("spelling", ["docker-manifest-digest", "Docker-manifest-digest"])
def test_either_spelling_of_the_digest_is_read(spelling: str) -> None:
    key = key_pair()
    payload = simple_payload(spelling=spelling)
    assert verify_simple_signing(payload, key.sign(payload), DIGEST, [key.public]).state is SignatureState.VERIFIED


def test_two_spellings_with_two_digests_are_invalid() -> None:
    key = key_pair()
    image = {"docker-manifest-digest": DIGEST, "Docker-manifest-digest": OTHER_DIGEST}
    payload = simple_payload(image=image)
    assert verify_simple_signing(payload, key.sign(payload), DIGEST, [key.public]).state is SignatureState.INVALID


def test_a_signature_replayed_from_another_image_is_invalid_though_the_key_made_it() -> None:
    key = key_pair()
    payload = simple_payload(OTHER_DIGEST)
    outcome = verify_simple_signing(payload, key.sign(payload), DIGEST, [key.public])
    assert outcome.state is SignatureState.INVALID and OTHER_DIGEST in outcome.reason
    replayed = verify_bundle_v3(bundle(statement(OTHER_DIGEST, SIGN, {}), key), DIGEST, [key.public])
    assert replayed.state is SignatureState.INVALID and OTHER_DIGEST in replayed.reason


def test_an_attestation_does_not_pass_for_an_image_signature() -> None:
    key = key_pair()
    outcome = verify_bundle_v3(bundle(statement(DIGEST, VULNERABILITIES, {}), key), DIGEST, [key.public])
    assert outcome.state is SignatureState.INVALID


@pytest.mark.parametrize(
    ("payload", "signature"),
    [
        (simple_payload(), "not base64 !"),
        (simple_payload(), ""),
        (simple_payload()[:-5], "AAAA"),
        (b"", "AAAA"),
        (b"[]", "AAAA"),
        (simple_payload(type="atomic container signature"), "AAAA"),
        (simple_payload(image={}), "AAAA"),
        (simple_payload(image={"docker-manifest-digest": 7}), "AAAA"),
    ],
)
def test_broken_payloads_and_signatures_are_invalid(payload: bytes, signature: str) -> None:
    outcome = verify_simple_signing(payload, signature, DIGEST, [key_pair().public])
    assert outcome.state is SignatureState.INVALID and outcome.reason


def test_another_signers_or_an_altered_signature_is_invalid_and_the_keys_tried_are_told() -> None:
    ours, theirs = key_pair(), key_pair("p384", "theirs")
    payload = simple_payload()
    outcome = verify_simple_signing(payload, theirs.sign(payload), DIGEST, [ours.public])
    assert outcome.state is SignatureState.INVALID and "key platform" in outcome.reason


def test_without_keys_and_with_a_certificate_a_signature_is_present_and_not_verified() -> None:
    key = key_pair()
    payload = simple_payload()
    assert verify_simple_signing(payload, key.sign(payload), DIGEST, []).state is SignatureState.PRESENT
    keyless = verify_simple_signing(payload, key.sign(payload), DIGEST, [key_pair("rsa", "x").public], certificate=True)
    assert keyless.state is SignatureState.PRESENT and "keyless" in keyless.reason
    data = bundle(statement(DIGEST, SIGN, {}), key, certificate=True)
    assert verify_bundle_v3(data, DIGEST, [key_pair("rsa", "x").public]).state is SignatureState.PRESENT


def test_a_bundle_that_names_our_key_and_was_not_made_by_it_is_invalid() -> None:
    ours, theirs = key_pair(), key_pair("p384", "theirs")
    outcome = verify_bundle_v3(bundle(statement(DIGEST, SIGN, {}), theirs, hint=ours), DIGEST, [ours.public])
    assert outcome.state is SignatureState.INVALID and "names key platform" in outcome.reason


@pytest.mark.parametrize("change", ["mediaType", "payloadType", "payload", "statement", "unsigned", "message"])
def test_a_bundle_of_another_shape_is_invalid(change: str) -> None:
    key = key_pair()
    document = json.loads(bundle(statement(DIGEST, SIGN, {}), key))
    inner = document["dsseEnvelope"]
    match change:
        case "mediaType":
            document["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.1"
        case "payloadType":
            inner["payloadType"] = "text/plain"
        case "payload":
            inner["payload"] = inner["payload"][:-7]
        case "statement":
            inner["payload"] = base64.b64encode(b'{"_type": "x", "predicateType": "y"}').decode()
        case "unsigned":
            inner["signatures"] = None
        case _:
            document["messageSignature"] = document.pop("dsseEnvelope")
    outcome = verify_bundle_v3(json.dumps(document).encode(), DIGEST, [key.public])
    assert outcome.state is SignatureState.INVALID


@given(st.data())
def test_no_change_of_a_signed_payload_stays_verified(data: st.DataObject) -> None:
    key = key_pair()
    payload = simple_payload()
    signature = key.sign(payload)
    position = data.draw(st.integers(0, len(payload) - 1))
    flipped = bytearray(payload)
    flipped[position] ^= data.draw(st.integers(1, 255))
    outcome = verify_simple_signing(bytes(flipped), signature, DIGEST, [key.public])
    assert outcome.state is SignatureState.INVALID


@given(st.data())
def test_no_change_of_a_signed_bundle_statement_stays_verified(data: st.DataObject) -> None:
    key = key_pair()
    document = json.loads(bundle(statement(DIGEST, SIGN, {}), key))
    payload = bytearray(base64.b64decode(document["dsseEnvelope"]["payload"]))
    payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
    document["dsseEnvelope"]["payload"] = base64.b64encode(bytes(payload)).decode()
    outcome = verify_bundle_v3(json.dumps(document).encode(), DIGEST, [key.public])
    assert outcome.state is SignatureState.INVALID


@given(st.binary(max_size=400), st.text(max_size=200))
def test_arbitrary_bytes_are_never_verified_and_never_raise(payload: bytes, signature: str) -> None:
    keys = [key_pair(kind).public for kind in ("p256", "rsa", "ed25519")]
    assert verify_simple_signing(payload, signature, DIGEST, keys).state is not SignatureState.VERIFIED
    assert verify_bundle_v3(payload, DIGEST, keys).state is SignatureState.INVALID


def outcome_of(state: SignatureState, name: str = "") -> SignatureOutcome:
    return SignatureOutcome(state=state, scheme="cosign", reason=f"it is {state.value}", key_name=name, key=name)


def test_one_that_holds_outweighs_broken_ones_that_anybody_can_attach() -> None:
    outcomes = [outcome_of(SignatureState.INVALID), outcome_of(SignatureState.VERIFIED, "platform")]
    state, summary = overall(outcomes, ["referrers could not be read"])
    assert state is SignatureState.VERIFIED
    assert "platform" in summary and "1 more not verified" in summary
    assert overall(outcomes, []) == (state, summary)


def test_a_place_that_could_not_be_read_is_never_told_as_no_signature() -> None:
    assert overall([], [])[0] is SignatureState.NONE
    assert overall([], ["timed out"]) == (SignatureState.UNCHECKED, "could not check: timed out")
    assert overall([outcome_of(SignatureState.PRESENT)], ["timed out"])[0] is SignatureState.UNCHECKED
    assert overall([outcome_of(SignatureState.INVALID)], ["timed out"])[0] is SignatureState.INVALID


def pem(key: object) -> bytes:
    return key.public_key().public_bytes(  # type: ignore[attr-defined, no-any-return]
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no public key"),
        (b"ssh-ed25519 AAAA", "no public key"),
        (pem(rsa.generate_private_key(65537, 1024)), "1024 bits"),
        (pem(ec.generate_private_key(ec.SECP256K1())), "secp256k1"),
        (pem(x25519.X25519PrivateKey.generate()), "neither"),
        (pem(dsa.generate_private_key(2048)), "neither"),
        (
            key_pair().private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
            "private key",
        ),
    ],
)
def test_keys_of_another_kind_are_refused_with_the_reason(content: bytes, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        parse_public_key(content, "platform")


def test_keys_are_read_relative_to_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "platform.pub").write_bytes(key_pair().pem)
    key = load_public_key(Path("keys/platform.pub"), tmp_path)
    assert (key.name, key.fingerprint) == ("platform", key_pair().public.fingerprint)
    with pytest.raises(ConfigurationError, match="No such file"):
        load_public_key(Path("keys/missing.pub"), tmp_path)
