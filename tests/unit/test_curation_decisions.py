"""Decisions: N people, four eyes, expiry, rejection, revocation."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.actors import WORKER, Role
from backend.core.errors import NotFoundError, UsageError
from backend.core.views import ImageState
from backend.curation.curated import approved_at
from backend.curation.decisions import Decision, Standing, Submission, Verdict, is_approved_at, standing, why_not
from backend.curation.people import count_people, same_person
from backend.curation.waivers import Waiver, check_waiver, in_force, parse_until, waived_counts
from tests.fakes.curation import DIGEST, NOW, finding, person, report_record

ENDING = {Verdict.REJECT, Verdict.REVOKE}
SUBMITTED = Submission(at=NOW, by="modelyard-worker", by_worker=True)


def decision(
    seq: int, verdict: Verdict = Verdict.APPROVE, actor: str = "", *, evidence: str = "E1", needed: int = 2,
    policy: str = "P1", at: datetime = NOW, expires: datetime | None = None,
) -> Decision:  # fmt: skip
    return Decision(
        seq=seq, id=str(seq), digest=DIGEST, reference="r", verdict=verdict, actor=actor or f"person-{seq}", at=at,
        reason="because", ticket="", evidence_hash=evidence, policy_hash=policy, approvals_needed=needed,
        expires_at=expires,
    )  # fmt: skip


def stand(
    *decisions: Decision, submissions: tuple[Submission, ...] = (SUBMITTED,), evidence: str = "E1", policy: str = "P1",
    now: datetime = NOW,
) -> Standing:  # fmt: skip
    return standing(decisions, submissions, evidence_hash=evidence, policy_hash=policy, now=now)


def test_enough_different_people_approve() -> None:
    assert stand().state is ImageState.CANDIDATE
    first = stand(decision(1))
    assert first.state is ImageState.CANDIDATE and len(first.approvals) == 1
    both = stand(decision(1), decision(2))
    assert both.state is ImageState.APPROVED and [each.actor for each in both.approvals] == ["person-1", "person-2"]


@pytest.mark.parametrize(
    "again",
    ["mira", "MIRA", "mira@corp.example", "CORP\\mira", "oidc:mira", "https://login.example#mira", "Ｍira", " mira"],
)
def test_the_same_person_counts_once_however_they_are_written(again: str) -> None:
    assert stand(decision(1, actor="mira"), decision(2, actor=again)).state is ImageState.CANDIDATE
    refusal = why_not(person(again), Verdict.APPROVE, stand(decision(1, actor="mira")), [SUBMITTED], [])
    assert "already" in refusal


def test_people_of_one_name_in_two_domains_are_two_and_one_without_a_domain_is_either() -> None:
    assert not same_person("mira@a.example", "mira@b.example")
    assert same_person("mira", "mira@b.example")
    assert count_people(["mira@a.example", "mira@b.example"]) == 2
    assert count_people(["mira@a.example", "mira@b.example", "mira"]) == 1
    assert not same_person("system:serviceaccount:ns:mira", "mira")
    assert not same_person("", "mira")


@pytest.mark.parametrize("changed", [{"evidence": "E2"}, {"policy": "P2"}])
def test_an_approval_of_other_evidence_or_under_another_policy_does_not_count(changed: dict[str, str]) -> None:
    assert stand(decision(1), decision(2, **changed)).state is ImageState.CANDIDATE  # type: ignore[arg-type]
    assert stand(decision(1), **changed).approvals == ()  # type: ignore[arg-type]


def test_an_approved_image_stays_approved_though_evidence_and_policy_go_on() -> None:
    assert stand(decision(1), decision(2), evidence="E2", policy="P2").state is ImageState.APPROVED


def test_an_approval_expires_with_the_first_of_its_approvals() -> None:
    made = (decision(1, expires=NOW + timedelta(days=30)), decision(2, expires=NOW + timedelta(days=31)))
    assert stand(*made, now=NOW + timedelta(days=29)).state is ImageState.APPROVED
    expired = stand(*made, now=NOW + timedelta(days=30))
    assert expired.state is ImageState.EXPIRED and expired.is_open
    later = NOW + timedelta(days=40)
    again = (*made, decision(3, actor="person-1", at=later), decision(4, actor="person-2", at=later))
    assert stand(*again, now=later).state is ImageState.APPROVED
    assert stand(*again[:3], now=later).state is ImageState.CANDIDATE


def test_a_rejection_ends_it_until_new_evidence_or_a_new_submission() -> None:
    rejected = (decision(1), decision(2, Verdict.REJECT))
    assert stand(*rejected).state is ImageState.REJECTED
    reopened = stand(*rejected, evidence="E2")
    assert reopened.state is ImageState.CANDIDATE and reopened.approvals == ()
    again = stand(*rejected, submissions=(SUBMITTED, msgspec.structs.replace(SUBMITTED, after=2)))
    assert again.state is ImageState.CANDIDATE and again.approvals == ()
    assert stand(*rejected, submissions=(SUBMITTED, msgspec.structs.replace(SUBMITTED, after=1))).state is (
        ImageState.REJECTED
    )


def test_a_revocation_ends_an_approval_and_only_a_new_submission_reopens_it() -> None:
    revoked = (decision(1), decision(2), decision(3, Verdict.REVOKE))
    assert stand(*revoked).state is ImageState.REVOKED
    assert stand(*revoked, evidence="E2").state is ImageState.REVOKED
    again = stand(*revoked, submissions=(SUBMITTED, msgspec.structs.replace(SUBMITTED, after=3)))
    assert again.state is ImageState.CANDIDATE and again.approvals == ()


def test_what_was_approved_at_a_time_follows_from_decisions_alone() -> None:
    hour = timedelta(hours=1)
    made = [
        decision(1, at=NOW),
        decision(2, at=NOW + hour, expires=NOW + 10 * hour),
        decision(3, Verdict.REVOKE, at=NOW + 3 * hour),
    ]
    when = {-1: False, 0: False, 1: True, 2: True, 3: False, 20: False}
    assert {hours: is_approved_at(made, NOW + hours * hour) for hours in when} == when
    assert not is_approved_at(made[:2], NOW + 10 * hour)
    assert approved_at({DIGEST: made}, NOW + 2 * hour) == {DIGEST}


def test_four_eyes() -> None:
    def refusal(name: str, **changes: object) -> str:
        submission = msgspec.structs.replace(SUBMITTED, **changes)
        return why_not(person(name), Verdict.APPROVE, stand(), [submission], ["robin"])

    assert refusal("mira") == ""
    assert "submitted" in refusal("Mira", by="mira@corp", by_worker=False)
    assert "rule" in refusal("mira", rule_author="mira")
    assert "handed in" in refusal("ROBIN")
    assert why_not(person("robin"), Verdict.REJECT, stand(), [SUBMITTED], ["robin"]) == ""


def test_only_approvers_decide_and_the_worker_never_does() -> None:
    for verdict in Verdict:
        assert "role" in why_not(person("mira", Role.ADMIN, Role.OPERATOR), verdict, stand(), [SUBMITTED], [])
        assert why_not(WORKER, verdict, stand(), [SUBMITTED], [])


def test_with_no_roles_one_person_may_do_everything_and_still_counts_once() -> None:
    alone = person("mira", unrestricted=True)
    own = msgspec.structs.replace(SUBMITTED, by="mira", by_worker=False, rule_author="mira")
    assert why_not(alone, Verdict.APPROVE, stand(), [own], ["mira"]) == ""
    assert "already" in why_not(alone, Verdict.APPROVE, stand(decision(1, actor="mira")), [own], ["mira"])


names = st.sampled_from(["mira", "MIRA", "robin", "robin@a.example", "kim@a.example", "kim@b.example", "sam"])
histories = st.lists(
    st.tuples(st.sampled_from([*Verdict, Verdict.APPROVE, Verdict.APPROVE]), names, st.sampled_from(["E1", "E2"])),
    max_size=12,
)


@given(histories, st.integers(1, 4))
def test_nothing_is_approved_by_fewer_people_than_policy_asks_for(
    history: list[tuple[Verdict, str, str]], needed: int
) -> None:
    made = [
        decision(seq, verdict, actor, evidence=evidence, needed=needed)
        for seq, (verdict, actor, evidence) in enumerate(history, start=1)
    ]
    now = stand(*made)
    if now.state is ImageState.APPROVED:
        assert count_people(each.actor for each in now.approvals) >= needed
        assert len({(each.evidence_hash, each.policy_hash) for each in now.approvals}) == 1
        last_end = max((each.seq for each in made if each.verdict in ENDING), default=0)
        assert all(each.seq > last_end for each in now.approvals)
    if made and made[-1].verdict in ENDING:
        assert now.state is not ImageState.APPROVED
    # Whoever replays the decisions sees the same.
    assert is_approved_at(made, NOW) is (now.state is ImageState.APPROVED)


@given(st.lists(names, max_size=7))
def test_people_are_counted_alike_in_any_order_and_never_more_than_names(listed: list[str]) -> None:
    assert count_people(listed) == count_people(sorted(listed)) == count_people(listed + listed)
    assert count_people(listed) <= len({name.casefold() for name in listed})


# ---------------------------------------------------------------- waivers


def waiver(seq: int, until: datetime, found: str = "CVE-2026-1234") -> Waiver:
    return Waiver(
        seq=seq, id=str(seq), digest=DIGEST, finding=found, owner="mira", actor="robin", reason="not reachable",
        until=until, at=NOW,
    )  # fmt: skip


def test_a_waiver_holds_until_its_date_and_the_later_one_replaces_the_earlier() -> None:
    tomorrow, next_week = NOW + timedelta(days=1), NOW + timedelta(days=7)
    assert set(in_force([waiver(1, tomorrow)], NOW)) == {"CVE-2026-1234"}
    assert in_force([waiver(1, tomorrow)], tomorrow) == {}
    assert in_force([waiver(1, next_week), waiver(2, tomorrow)], NOW + timedelta(days=2)) == {}


def test_waived_findings_are_counted_by_report_and_severity() -> None:
    report = report_record(finding("CVE-1"), finding("CVE-1", package="libssl3"), finding("CVE-2", "high"))
    counts = waived_counts([report], in_force([waiver(1, NOW + timedelta(days=1), "CVE-1")], NOW))
    assert counts["report"]["critical"] == 2 and counts["report"]["high"] == 0


@pytest.mark.parametrize(
    ("text", "instant"),
    [("2026-12-31", "2027-01-01T00:00:00+00:00"), ("2026-12-31T10:00:00+02:00", "2026-12-31T08:00:00+00:00")],
)
def test_a_date_counts_to_its_end(text: str, instant: str) -> None:
    assert parse_until(text).isoformat() == instant


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-13-01", "9999-12-31"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_until(text)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"reason": " "}, UsageError),
        ({"owner": ""}, UsageError),
        ({"until": NOW}, UsageError),
        ({"until": NOW + timedelta(days=91)}, UsageError),
        ({"finding": "CVE-9"}, NotFoundError),
    ],
)
def test_a_waiver_needs_an_owner_a_reason_an_end_and_a_finding(
    changes: dict[str, object], error: type[Exception]
) -> None:
    wanted: dict[str, object] = {
        "finding": "CVE-2026-1234", "owner": "mira", "reason": "not reachable", "until": NOW + timedelta(days=90),
        "now": NOW, "longest": timedelta(days=90), "evidence": [report_record(finding())],
    }  # fmt: skip
    check_waiver(**wanted)  # type: ignore[arg-type]
    with pytest.raises(error):
        check_waiver(**{**wanted, **changes})  # type: ignore[arg-type]
