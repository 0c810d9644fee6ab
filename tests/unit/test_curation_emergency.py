"""Break-glass and its review, what is approved beside a digest, comments, and what time and policy do by themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from backend.core.actors import Role
from backend.core.errors import ConflictError, ModelyardError, NotFoundError, PolicyError, RoleError, UsageError
from backend.core.views import ImageState, ScopeView
from backend.curation import queue
from backend.curation.config import PolicyConfig
from backend.curation.curated import approved_digests
from backend.curation.decisions import Verdict
from backend.curation.emergency import alarms
from backend.curation.policy import Policy
from backend.curation.scope import Use, beyond
from backend.store.connection import Database
from tests.fakes.curation import DIGEST, NOW, OTHER_DIGEST, finding, image, person, policy, report_record
from tests.fakes.curation_yard import KIM, MIRA, ROBIN, SCAN, Curation
from tests.fakes.ports import FixedClock

HOUR = timedelta(hours=1)
PRODUCTION = ScopeView(weights="hf://org/model@1234", runtime="vllm", environment="production")
LAB = ScopeView(environment="lab")
ENVIRONMENTS = [{"name": "production", "contexts": ["prod"]}, {"name": "lab"}]


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Curation]:
    database = await Database.open(tmp_path / "yard.db", clock=FixedClock(NOW))
    try:
        yield Curation(
            database,
            policy(None, SCAN, approvals=2, expires="30d", break_glass="4h", environment=ENVIRONMENTS),
        )
    finally:
        await database.close()


async def entries(yard: Curation, action: str) -> list[dict[str, Any]]:
    rows = await yard.database.fetch_all("SELECT detail FROM ledger WHERE action = ? ORDER BY seq", (action,))
    return [msgspec.json.decode(row["detail"]) for row in rows]


# ---------------------------------------------------------------- break-glass


async def test_one_person_lets_it_run_for_a_while_and_it_stays_a_candidate_that_somebody_else_reviews(
    yard: Curation,
) -> None:
    await yard.submit()
    broken = await yard.break_glass(MIRA, NOW + 2 * HOUR)
    now = await yard.standing()
    assert now.state is ImageState.CANDIDATE and now.glass is not None and now.glass.id == broken.id
    assert await approved_digests(yard.database, yard.now) == frozenset()
    (told,) = await alarms(yard.database, yard.now)
    assert "mira" in told and "INC-7" in told and "not reviewed yet" in told
    assert "not reviewed yet" in (await yard.view(ROBIN)).break_glass
    yard.now += 2 * HOUR
    assert (await yard.standing()).glass is None
    assert "ran by mira" in (await alarms(yard.database, yard.now))[0]
    with pytest.raises(RoleError, match="yourself"):
        await yard.review(person("MIRA@corp"), broken.id)
    await yard.review(ROBIN, broken.id[:10])
    assert await alarms(yard.database, yard.now) == ()
    with pytest.raises(ConflictError):
        await yard.review(KIM, broken.id)
    with pytest.raises(NotFoundError):
        await yard.review(KIM, "nothing")
    assert [each["about"] for each in await entries(yard, "queue.review")] == [broken.id]


@pytest.mark.parametrize(
    ("changes", "hours", "error"),
    [
        ({"ticket": " "}, 1, UsageError),
        ({"reason": ""}, 1, UsageError),
        ({}, 0, UsageError),
        ({}, 5, PolicyError),
    ],
)
async def test_break_glass_needs_reason_and_ticket_and_is_bounded(
    yard: Curation, changes: dict[str, str], hours: int, error: type[ModelyardError]
) -> None:
    await yard.submit()
    with pytest.raises(error):
        await yard.break_glass(MIRA, NOW + hours * HOUR, **changes)
    assert (await yard.standing()).glass is None


async def test_break_glass_is_off_unless_policy_says_so_and_for_approvers_alone(yard: Curation) -> None:
    await yard.submit()
    with pytest.raises(RoleError):
        await yard.break_glass(person("op", Role.OPERATOR), NOW + HOUR)
    yard.policy = policy(None, SCAN)
    with pytest.raises(PolicyError, match="nobody"):
        await yard.break_glass(MIRA, NOW + HOUR)


async def test_break_glass_ends_by_a_revocation_or_a_rejection_and_is_not_broken_twice(yard: Curation) -> None:
    await yard.submit()
    await yard.break_glass(MIRA, NOW + HOUR)
    with pytest.raises(ConflictError):
        await yard.break_glass(ROBIN, NOW + 2 * HOUR)
    await yard.decide(KIM, Verdict.REVOKE)
    assert (await yard.standing()).state is ImageState.REVOKED and (await yard.standing()).glass is None
    with pytest.raises(ConflictError, match="revoked"):
        await yard.break_glass(MIRA, NOW + HOUR)
    await yard.submit_again(MIRA)
    await yard.break_glass(MIRA, NOW + HOUR)
    await yard.decide(KIM, Verdict.REJECT)
    assert (await yard.standing()).glass is None


async def test_who_broke_the_glass_may_still_approve_and_counts_once(yard: Curation) -> None:
    await yard.submit()
    await yard.collect(report_record())
    await yard.break_glass(MIRA, NOW + HOUR)
    await yard.decide(MIRA)
    assert (await yard.state()) is ImageState.CANDIDATE
    await yard.decide(ROBIN)
    now = await yard.standing()
    assert now.state is ImageState.APPROVED and len(now.approvals) == 2 and now.glass is not None


# ---------------------------------------------------------------- beside the digest


async def test_approvals_of_different_things_beside_the_digest_do_not_add_up(yard: Curation) -> None:
    await yard.submit()
    await yard.collect(report_record())
    await yard.decide(MIRA, scope=PRODUCTION)
    await yard.decide(ROBIN, scope=LAB)
    assert await yard.state() is ImageState.CANDIDATE
    await yard.decide(KIM, scope=LAB)
    now = await yard.standing()
    assert now.state is ImageState.APPROVED and [each.scope for each in now.grants] == [LAB]
    with pytest.raises(ConflictError, match="approved already"):
        await yard.decide(MIRA, scope=LAB)
    with pytest.raises(RoleError, match="already"):
        await yard.decide(MIRA, scope=PRODUCTION)
    await yard.decide(ROBIN, scope=PRODUCTION)
    assert {each.scope for each in (await yard.standing()).grants} == {LAB, PRODUCTION}
    assert [each["scope"] for each in await entries(yard, "queue.approve")][1] == {"environment": "lab"}
    await yard.decide(KIM, Verdict.REVOKE)
    assert (await yard.standing()).grants == ()


async def test_an_environment_has_to_be_one_of_policy(yard: Curation) -> None:
    await yard.submit()
    await yard.collect(report_record())
    with pytest.raises(UsageError, match="production, lab"):
        await yard.decide(MIRA, scope=ScopeView(environment="prod"))


@pytest.mark.parametrize(
    ("approved", "use", "told"),
    [
        (ScopeView(), Use(weights="", runtime="nim", environment=""), ""),
        (PRODUCTION, Use(weights="hf://org/model:1234", runtime="vLLM", environment="production"), ""),
        (PRODUCTION, Use(environment="production"), ""),
        (PRODUCTION, Use(environment="lab"), "environment production"),
        (PRODUCTION, Use(environment=""), "in none"),
        (PRODUCTION, Use(runtime="triton"), "runtime vllm"),
        (PRODUCTION, Use(weights="hf://org/model@9999"), "hf://org/model@9999"),
        (PRODUCTION, Use(weights=""), "nothing fixes"),
        (ScopeView(weights=f"modelpack@{DIGEST}"), Use(weights=""), ""),
        (ScopeView(weights=f"modelpack@{OTHER_DIGEST}"), Use(weights=""), "nothing fixes"),
    ],
)
def test_a_use_is_within_what_was_approved_or_it_is_told_why_not(approved: ScopeView, use: Use, told: str) -> None:
    assert (told in beyond(approved, use, DIGEST)) if told else beyond(approved, use, DIGEST) == ""


# ---------------------------------------------------------------- groups, people, comments, again


async def test_one_of_security_and_one_of_platform_and_the_card_tells_who_is_missing(yard: Curation) -> None:
    yard.policy = policy(None, SCAN, require=[{"group": "security"}, {"group": "platform"}])
    security, platform, both = (
        msgspec.structs.replace(person(name), groups=groups)
        for name, groups in (("sam", ("security",)), ("lee", ("platform",)), ("max", ("security", "platform")))
    )
    await yard.submit()
    await yard.collect(report_record())
    view = await yard.view(MIRA)
    assert view.approvals_needed == 2 and view.missing == ("one of security", "one of platform")
    await yard.decide(both)
    assert await yard.state() is ImageState.CANDIDATE
    await yard.decide(MIRA)
    assert await yard.state() is ImageState.CANDIDATE and len((await yard.view(ROBIN)).missing) == 1
    await yard.decide(platform)
    assert await yard.state() is ImageState.APPROVED and (await yard.view(security)).missing == ()
    # The groups were those of then: replaying the decisions needs nothing else.
    assert await approved_digests(yard.database, NOW) == {DIGEST}


async def test_somebody_with_two_names_is_one_person_where_policy_knows_both(yard: Curation) -> None:
    yard.policy = policy(None, SCAN, approvals=2, person=[{"name": "mira", "also": ["u1234"]}])
    await yard.submit()
    await yard.collect(report_record())
    await yard.decide(MIRA)
    with pytest.raises(RoleError, match="already"):
        await yard.decide(person("U1234"))
    await yard.hand_in(person("u1234"))
    with pytest.raises(RoleError, match="handed in"):
        await yard.decide(MIRA)


async def test_comments_are_kept_and_decide_nothing(yard: Curation) -> None:
    await yard.submit()
    before = await yard.hash()
    await yard.comment(MIRA, "is the base image ours?", "CHG-1")
    with pytest.raises(UsageError):
        await yard.comment(MIRA, "  ")
    with pytest.raises(UsageError):
        await yard.comment(MIRA, "x" * 10_001)
    view = await yard.view(ROBIN)
    assert [(each.actor, each.text, each.ticket) for each in view.comments] == [
        ("mira", "is the base image ours?", "CHG-1")
    ]
    assert await yard.hash() == before and view.state is ImageState.CANDIDATE


async def test_who_submits_again_does_not_approve(yard: Curation) -> None:
    await yard.submit()
    await yard.collect(report_record())
    with pytest.raises(ConflictError, match="nothing to reopen"):
        await yard.submit_again(MIRA)
    await yard.decide(ROBIN, Verdict.REJECT)
    with pytest.raises(UsageError):
        await yard.submit_again(MIRA, reason=" ")
    await yard.submit_again(MIRA)
    assert await yard.state() is ImageState.CANDIDATE
    with pytest.raises(RoleError, match="submitted"):
        await yard.decide(MIRA)
    await yard.decide(KIM)


async def test_a_waiver_tells_what_is_done_meanwhile_where_policy_asks(yard: Curation) -> None:
    yard.policy = policy(None, SCAN, waiver_control=True)
    await yard.submit()
    await yard.collect(report_record(finding()))
    with pytest.raises(UsageError, match="control"):
        await yard.waive(ROBIN, "CVE-2026-1234", NOW + HOUR)
    await yard.waive(ROBIN, "CVE-2026-1234", NOW + HOUR, control="no egress", owner="sam")
    (waiver,) = (await yard.view(MIRA)).waivers
    assert (waiver.owner, waiver.actor, waiver.control, waiver.lapsed) == ("sam", "robin", "no egress", False)


# ---------------------------------------------------------------- time and the clock


async def test_what_was_seen_to_end_stays_ended_when_the_clock_is_set_back(yard: Curation) -> None:
    await yard.submit()
    await yard.collect(report_record(finding()))
    await yard.waive(ROBIN, "CVE-2026-1234", NOW + 2 * HOUR)
    for actor in (MIRA, KIM):
        await yard.decide(actor)
    yard.now += timedelta(days=31)
    assert await yard.state() is ImageState.EXPIRED
    await yard.keep()
    yard.now = NOW + HOUR
    assert await yard.state() is ImageState.EXPIRED
    view = await yard.view(MIRA)
    assert view.blocked and view.waivers[0].lapsed and view.approvals == ()
    lapses = await entries(yard, "queue.lapse")
    assert sorted(each["kind"] for each in lapses) == ["approve", "approve", "waiver"]
    # The clock that went back is noted by the next entry of the ledger, and history is as it was.
    await yard.comment(MIRA, "what time is it?")
    assert "clock_went_back_from" in (await entries(yard, "queue.comment"))[0]
    assert await approved_digests(yard.database, NOW + HOUR) == {DIGEST}
    assert await yard.keep() == []


async def test_approvals_after_an_end_that_was_seen_count_anew(yard: Curation) -> None:
    await yard.submit()
    await yard.collect(report_record())
    for actor in (MIRA, KIM):
        await yard.decide(actor)
    yard.now += timedelta(days=31)
    await yard.keep()
    yard.now = NOW + HOUR
    await yard.decide(MIRA)
    assert await yard.state() is ImageState.CANDIDATE
    await yard.decide(ROBIN)
    assert await yard.state() is ImageState.APPROVED


async def test_an_approval_that_ran_out_before_the_second_does_not_count(yard: Curation) -> None:
    await yard.submit()
    await yard.collect(report_record())
    await yard.decide(MIRA)
    yard.now += timedelta(days=31)
    await yard.decide(ROBIN)
    assert await yard.state() is ImageState.CANDIDATE and len((await yard.standing()).approvals) == 1


# ---------------------------------------------------------------- policy by itself


def automatic(*tables: dict[str, Any], **rest: Any) -> Policy:
    return policy(None, SCAN, automatic=list(tables), **rest)


async def test_policy_approves_what_passes_and_says_that_it_did(yard: Curation) -> None:
    yard.policy = automatic({"decide": "approve", "name": "clean NIM", "applies": {"rules": ["nim"]}, "max_risk": 60})
    await yard.submit()
    await yard.keep()
    assert await yard.state() is ImageState.CANDIDATE
    await yard.collect(report_record())
    await yard.keep()
    now = await yard.standing()
    assert now.state is ImageState.APPROVED and now.by is not None and now.by.automatic
    assert now.by.actor == "modelyard-worker" and now.by.reason.startswith("clean NIM: its gate passes")
    (entry,) = await entries(yard, "queue.approve")
    assert entry["automatic"] is True
    await yard.keep()
    assert len((await yard.view(MIRA)).decisions) == 1


async def test_policy_rejects_what_has_too_much_and_new_evidence_reopens_it(yard: Curation) -> None:
    yard.policy = automatic({"decide": "reject", "above_critical": 1})
    await yard.submit()
    await yard.collect(report_record(finding("CVE-1"), finding("CVE-2")))
    await yard.keep()
    assert await yard.state() is ImageState.REJECTED
    await yard.collect(report_record(finding("CVE-1")))
    await yard.keep()
    assert await yard.state() is ImageState.CANDIDATE


@pytest.mark.parametrize("verdict", [Verdict.APPROVE, Verdict.REJECT])
async def test_policy_overrides_nobody(yard: Curation, verdict: Verdict) -> None:
    yard.policy = automatic(
        {"decide": "reject", "failing": ["vulnerabilities"]}, {"decide": "approve", "in_place_of": "all"}, approvals=2
    )
    await yard.submit()
    await yard.collect(report_record())
    await yard.decide(MIRA, verdict)
    await yard.collect(report_record(finding()))
    await yard.keep()
    assert all(not each.automatic for each in (await yard.view(ROBIN)).decisions)


async def test_an_automatic_approval_stands_for_as_many_people_as_policy_says(yard: Curation) -> None:
    yard.policy = automatic({"decide": "approve", "in_place_of": 1}, approvals=2, require=[{"group": "security"}])
    await yard.submit()
    await yard.collect(report_record())
    await yard.keep()
    view = await yard.view(MIRA)
    assert view.state is ImageState.CANDIDATE and view.missing == ("one of security",)
    await yard.decide(msgspec.structs.replace(MIRA, groups=("security",)))
    assert await yard.state() is ImageState.APPROVED


@pytest.mark.parametrize(
    "table",
    [
        {"automatic": [{"decide": "approve"}], "approvals": 2},
        {"automatic": [{"decide": "approve"}], "require": [{"group": "x"}]},
        {"automatic": [{"decide": "reject"}]},
        {"automatic": [{"decide": "reject", "above_high": 1, "max_risk": 3}]},
        {"automatic": [{"decide": "approve", "above_high": 1}]},
        {"require": [{}]},
        {"require": [{"group": "x", "role": "admin"}]},
        {"person": [{"name": "a", "also": ["b"]}, {"name": "a", "also": ["c"]}]},
        {"break_glass": "0s"},
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PolicyConfig.model_validate(table)


async def test_a_change_of_policy_is_told_with_what_it_flips(yard: Curation) -> None:
    await yard.submit()
    await yard.collect(report_record(finding(severity="high")))
    await yard.submit(OTHER_DIGEST)
    await yard.keep()
    for actor in (MIRA, ROBIN):
        await yard.decide(actor)
    assert await entries(yard, "policy.change") == []
    yard.policy = policy(None, {**SCAN, "max_high": 0}, approvals=2)
    await yard.keep()
    (told,) = await entries(yard, "policy.change")
    assert (told["images"], told["fail_now"], told["pass_now"], told["approved_that_fail"]) == (2, 1, 0, 1)
    assert told["approved"] == [image().reference]
    # Approvals that were given hold until they end or are revoked; those under way rest on another policy.
    assert await yard.state() is ImageState.APPROVED
    assert await yard.keep() == []


async def test_the_queue_says_the_same_whether_it_was_judged_before_or_is_judged_now(yard: Curation) -> None:
    await yard.submit()
    await yard.collect(report_record(finding("CVE-1"), finding("CVE-2", "high")))
    await yard.waive(ROBIN, "CVE-1", NOW + timedelta(days=2))
    facts = {DIGEST: image()}

    async def listed(at: timedelta, known: dict[str, Any] = facts) -> Any:
        now = NOW + at
        return await queue.candidates(yard.database, known, policy=yard.policy, actor=MIRA, now=now)

    instants = [timedelta(minutes=1), timedelta(hours=5), timedelta(days=1), timedelta(days=3)]
    before = [await listed(at) for at in instants]
    await yard.keep()
    assert [await listed(at) for at in instants] == before
    # What the library knows of an image may change without its evidence.
    other = {DIGEST: image(type="embedding")}
    assert (await listed(instants[0], other))[0].gates == before[0][0].gates
