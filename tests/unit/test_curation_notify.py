"""What is told, when, and which configurations of it are refused."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from backend.curation import notices
from backend.curation.candidates import Candidate
from backend.curation.decisions import Decision, Submission, Verdict, standing
from backend.curation.notify_config import NoticeKind, NotifyConfig
from backend.curation.queue_config import QueueConfig
from backend.flows.notify_webhook import signature
from tests.fakes.curation import NOW, digest_number

SOON = timedelta(days=7)
HASHES = {"evidence_hash": "sha256:e", "policy_hash": "sha256:p"}


def _decision(seq: int, verdict: Verdict, *, hours: float, ends: float | None = None, **changes: Any) -> Decision:
    made = {
        "seq": seq, "id": f"d{seq}", "digest": digest_number(1), "reference": "", "verdict": verdict, "actor": "mira",
        "at": NOW - timedelta(hours=hours), "reason": "fine", "ticket": "INC-7",
        "approvals_needed": 1, "expires_at": None if ends is None else NOW + timedelta(hours=ends),
        **HASHES, **changes,
    }  # fmt: skip
    return Decision(**made)


def _candidate(*decisions: Decision, after: int = 0) -> Candidate:
    submitted = Submission(at=NOW - timedelta(days=2), by="worker", by_worker=True, after=after)
    return Candidate(
        digest=digest_number(1), registry="ngc", host="nvcr.io", repository="nim/x", evidence_hash="sha256:e",
        submissions=(submitted,), decisions=decisions,
    )  # fmt: skip


def _items(candidate: Candidate, later: timedelta = timedelta()) -> list[tuple[NoticeKind, str]]:
    now = NOW + later
    current = standing(candidate.decisions, candidate.submissions, now=now, **HASHES)
    found = notices.items([candidate], {candidate.digest: current}, now=now, expiring=SOON)
    return [(item.kind, item.key) for item in found]


def test_a_candidate_waits_once_for_each_time_it_is_opened() -> None:
    first = _items(_candidate())
    assert [kind for kind, _ in first] == [NoticeKind.WAITING]
    assert _items(_candidate(), timedelta(days=3)) == first
    rejected = _decision(4, Verdict.REJECT, hours=1)
    assert _items(_candidate(rejected)) == []
    again = _items(_candidate(rejected, after=4))
    assert [kind for kind, _ in again] == [NoticeKind.WAITING]
    assert again != first


def test_an_approval_is_told_of_before_it_ends_and_waits_after_it_did() -> None:
    approved = _candidate(_decision(1, Verdict.APPROVE, hours=1, ends=24 * 30))
    assert _items(approved) == []
    soon = _items(approved, timedelta(days=24))
    assert [kind for kind, _ in soon] == [NoticeKind.EXPIRING]
    assert _items(approved, timedelta(days=25)) == soon
    ended = _items(approved, timedelta(days=31))
    assert [kind for kind, _ in ended] == [NoticeKind.WAITING]
    assert ended != _items(_candidate())


def test_broken_glass_is_told_of_while_it_holds() -> None:
    broken = _candidate(_decision(3, Verdict.BREAK_GLASS, hours=1, ends=8))
    assert (NoticeKind.BREAK_GLASS, "break-glass d3") in _items(broken)
    assert all(kind is not NoticeKind.BREAK_GLASS for kind, _ in _items(broken, timedelta(hours=9)))


@given(
    st.lists(st.tuples(st.sampled_from(NoticeKind), st.integers(0, 60)), max_size=80),
    st.sets(st.integers(0, 60), max_size=40),
)
def test_every_new_item_is_in_exactly_one_notice_and_nothing_told_is_told_again(
    wanted: list[tuple[NoticeKind, int]], told: set[int]
) -> None:
    found = [
        notices.Item(key=f"{kind} {number}", kind=kind, reference=f"r{number}", at=NOW, text=f"\x1b[31m{number}")
        for kind, number in dict.fromkeys(wanted)
    ]
    before = {f"{kind} {number}" for kind in NoticeKind for number in told}
    made = notices.notices(found, before, yard="y", now=NOW, new_id=["a", "b", "c", "d"])
    keys = [key for notice in made for key in notice.items]
    assert sorted(keys) == sorted(item.key for item in found if item.key not in before)
    for notice in made:
        body = json.loads(notice.body)
        assert body["count"] == len(notice.items)
        assert len(body["items"]) == min(len(notice.items), notices.MOST_NAMED)
        assert b"\\u001b" not in notice.body


@given(st.text(min_size=1, max_size=40), st.binary(max_size=200), st.integers(0, 2**33))
def test_a_signature_holds_for_its_time_and_body_only(secret: str, body: bytes, at: int) -> None:
    signed = signature(secret, str(at), body)
    assert signed == signature(secret, str(at), body)
    assert signed != signature(secret, str(at + 1), body)
    assert signed != signature(secret, str(at), body + b" ")
    assert signed != signature(secret + "x", str(at), body)
    assert len(signed) == len("sha256=") + 64


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ({"kind": "webhook", "url": "http://x/"}, "needs insecure = true"),
        ({"kind": "webhook", "url": "ftp://x/"}, "starts with https://"),
        ({"kind": "webhook", "url": "https://user:pass@x/"}, "holds no credentials"),
        ({"kind": "webhook", "url": "https://x/", "secret": "plain"}, "a secret is never written here"),
        ({"kind": "webhook", "url": "https://x/", "events": ["everything"]}, "waiting"),
        ({"kind": "command", "command": []}, "at least 1"),
        ({"kind": "command", "command": "reboot"}, "tuple"),
        ({"kind": "command", "command": ["a"], "limit": "1h"}, "between 100ms and 1m"),
        ({"kind": "pigeon"}, "webhook"),
    ],
)
def test_targets_that_would_not_do_are_refused(target: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        NotifyConfig.model_validate({"target": [target]})


def test_two_targets_have_two_names() -> None:
    command = {"kind": "command", "command": ["true"]}
    assert NotifyConfig.model_validate({"target": [command, command]}).names() == ["command 1", "command 2"]
    with pytest.raises(ValidationError, match="two targets are named 'pager'"):
        NotifyConfig.model_validate({"target": [{**command, "name": "pager"}] * 2})


def test_reasons_are_offered_by_decision_and_can_be_replaced() -> None:
    offered = QueueConfig.model_validate(
        {"reasons": {"approve": ["  fine  "], "break_glass": []}}
    ).reasons.by_decision()
    assert offered["approve"] == ("fine",)
    assert offered["break-glass"] == ()
    assert offered["reject"]
    with pytest.raises(ValidationError):
        QueueConfig.model_validate({"reasons": {"approve": [" "]}})
