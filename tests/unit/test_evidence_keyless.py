"""Keyless signatures, checked offline against a trusted root: what holds, what does not, and what could not be checked.

What needs Sigstore's library is skipped without the extra `[keyless]`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from backend.core.errors import ConfigurationError
from backend.core.views import EvidenceValue
from backend.curation.gates import evaluate
from backend.evidence.collect import collect
from backend.evidence.envelopes import SignedStatement, open_bundle
from backend.evidence.keyless import KeylessIdentity, load_identity
from backend.evidence.records import EvidenceKind
from backend.evidence.signatures import SIGN_PREDICATE, SignatureState, judge_statement, overall
from tests.fakes.curation import (
    DIGEST,
    NOW,
    OTHER_DIGEST,
    SIGN,
    Attachments,
    bundle,
    image,
    image_manifest,
    key_pair,
    policy,
    statement,
)
from tests.fakes.ports import FixedClock, NumberedIds

DATA = Path(__file__).parents[1] / "data" / "sigstore"
ROOT = (DATA / "trusted_root.json").read_bytes()
BUNDLE = (DATA / "bundle.json").read_bytes()
#: What the bundle attests.
SUBJECT = "sha256:a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf"
ISSUER = "https://token.actions.githubusercontent.com"
WORKFLOW = (
    "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/"
    "extremely-dangerous-oidc-beacon.yml@refs/heads/main"
)
SIGNER = KeylessIdentity(WORKFLOW, ISSUER, ROOT)
OTHER = KeylessIdentity("somebody@example.org", ISSUER, ROOT)


def opened(data: bytes = BUNDLE, *identities: KeylessIdentity) -> SignedStatement:
    return open_bundle(data, (), "bundle", identities or (SIGNER,))


def changed(change: Callable[[dict[str, Any]], None]) -> bytes:
    document = json.loads(BUNDLE)
    change(document)
    return json.dumps(document).encode()


def test_the_identity_that_signed_is_found_among_several_though_its_certificate_expired_long_ago() -> None:
    pytest.importorskip("sigstore")
    statement = opened(BUNDLE, OTHER, SIGNER)
    assert statement.signed_by == SIGNER and statement.subjects == {SUBJECT}
    assert not statement.refuted and not statement.unchecked


@pytest.mark.parametrize(
    "identity",
    [OTHER, KeylessIdentity(WORKFLOW, "https://accounts.example.org", ROOT)],
    ids=["another identity", "another issuer"],
)
def test_another_identity_or_issuer_does_not_hold(identity: KeylessIdentity) -> None:
    pytest.importorskip("sigstore")
    statement = opened(BUNDLE, identity)
    assert statement.signed_by is None and statement.refuted


def _another_subject(document: dict[str, Any]) -> None:
    envelope = document["dsseEnvelope"]
    payload = base64.b64decode(envelope["payload"]).replace(SUBJECT[7:].encode(), DIGEST[7:].encode())
    envelope["payload"] = base64.b64encode(payload).decode()


def _without_time(document: dict[str, Any]) -> None:
    document["verificationMaterial"]["timestampVerificationData"] = {}


def _without_log(document: dict[str, Any]) -> None:
    document["verificationMaterial"]["tlogEntries"] = []


def _another_signature(document: dict[str, Any]) -> None:
    document["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(b"0" * 71).decode()


def _no_certificate(document: dict[str, Any]) -> None:
    document["verificationMaterial"]["certificate"]["rawBytes"] = "MIIB"


@pytest.mark.parametrize("change", [_another_subject, _without_time, _without_log, _another_signature, _no_certificate])
def test_an_altered_bundle_or_one_whose_expired_certificate_nothing_dates_does_not_hold(
    change: Callable[[dict[str, Any]], None],
) -> None:
    pytest.importorskip("sigstore")
    statement = opened(changed(change))
    assert statement.signed_by is None and statement.refuted


def test_a_trusted_root_that_is_none_could_not_be_checked_with() -> None:
    pytest.importorskip("sigstore")
    statement = opened(BUNDLE, KeylessIdentity(WORKFLOW, ISSUER, b"{}"))
    assert statement.signed_by is None and "trusted root cannot be used" in statement.unchecked


def test_without_the_extra_it_could_not_be_checked_and_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sigstore.models", None)
    statement = opened()
    assert statement.signed_by is None and statement.unchecked == "install modelyard[keyless]"


def signed(**changes: Any) -> SignedStatement:
    fields: dict[str, Any] = {
        "predicate_type": SIGN_PREDICATE, "subjects": frozenset({DIGEST}), "predicate": b"{}", "certificate": True,
        "signatures": 1, **changes,
    }  # fmt: skip
    return SignedStatement(**fields)


@pytest.mark.parametrize(
    ("changes", "state", "told"),
    [
        ({"signed_by": SIGNER}, SignatureState.VERIFIED, "keyless: its certificate was good when"),
        ({"signed_by": SIGNER, "subjects": frozenset({OTHER_DIGEST})}, SignatureState.INVALID, "not for this image"),
        ({"refuted": "expired"}, SignatureState.INVALID, "identity that policy names: expired"),
        ({"unchecked": "install modelyard[keyless]"}, SignatureState.UNCHECKED, "install modelyard[keyless]"),
        ({}, SignatureState.PRESENT, "policy names no identity"),
    ],
)
def test_the_five_states_stay_apart(changes: dict[str, Any], state: SignatureState, told: str) -> None:
    outcome = judge_statement(signed(**changes), DIGEST, ())
    assert outcome.state is state and told in outcome.reason
    whole, summary = overall([outcome], [])
    assert whole is state and told in summary


async def test_an_image_signed_without_a_key_is_told_by_what_can_check_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sigstore.models", None)
    (tmp_path / "trusted_root.json").write_bytes(ROOT)
    gate = {"kind": "signature", "identity": WORKFLOW, "issuer": ISSUER, "trusted_root": "trusted_root.json"}
    asked = await asyncio.to_thread(policy, tmp_path, gate)
    registry = Attachments()
    registry.attach_bundle(bundle(statement(DIGEST, SIGN, {}), key_pair(), certificate=True))
    records = await collect(
        registry, image(), image_manifest(), keys=asked.keys, identities=asked.identities, clock=FixedClock(NOW),
        ids=NumberedIds(),
    )  # fmt: skip
    record = next(each for each in records if each.kind is EvidenceKind.SIGNATURE)
    assert record.state == "unchecked" and record.summary == "could not check: install modelyard[keyless]"
    assert record.payload["tried"] == [asked.identities[0].fingerprint]
    (view,) = evaluate(asked, image(), records, NOW)
    assert view.value is EvidenceValue.NOT_MEASURED and "modelyard[keyless]" in view.sentence


def test_policy_binds_to_the_trusted_roots_content_and_asks_for_all_three(tmp_path: Path) -> None:
    gate = {"kind": "signature", "identity": "a@b", "issuer": "https://c", "trusted_root": "root.json"}
    (tmp_path / "root.json").write_bytes(ROOT)
    first = policy(tmp_path, gate)
    (tmp_path / "root.json").write_bytes(ROOT + b" ")
    second = policy(tmp_path, gate)
    assert first.hash != second.hash and first.fingerprints != second.fingerprints
    assert first.identities[0].name == "a@b"
    for missing in ("identity", "issuer", "trusted_root"):
        with pytest.raises(ValidationError):
            policy(tmp_path, {name: value for name, value in gate.items() if name != missing})
    with pytest.raises(ValidationError):
        policy(tmp_path, {"kind": "signature"})
    with pytest.raises(ConfigurationError, match="No such file"):
        load_identity("a@b", "https://c", Path("gone.json"), tmp_path)
