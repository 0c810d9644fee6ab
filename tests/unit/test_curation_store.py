"""Submitting, recording evidence and deciding, on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backend.core.actors import WORKER, Actor
from backend.core.errors import (
    ConflictError,
    ModelyardError,
    NotFoundError,
    PolicyError,
    RefusedError,
    RoleError,
    StoreError,
    UsageError,
)
from backend.core.views import ImageState
from backend.curation import queue, store
from backend.curation.candidates import load
from backend.curation.curated import approved_digests
from backend.curation.decisions import Verdict
from backend.evidence import store as evidence_store
from backend.evidence.records import EvidenceKind, Origin
from backend.store.connection import Database
from tests.fakes.curation import (
    DIGEST,
    NOW,
    OTHER_DIGEST,
    digest_number,
    finding,
    image,
    permit,
    person,
    policy,
    report_record,
)
from tests.fakes.curation_yard import KIM, MIRA, ROBIN, SCAN, Curation
from tests.fakes.ports import FixedClock


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Curation]:
    database = await Database.open(tmp_path / "yard.db", clock=FixedClock(NOW))
    try:
        yield Curation(database, policy(None, SCAN, approvals=2, expires="30d"))
    finally:
        await database.close()


async def test_two_people_approve_and_the_ledger_tells_each_step(yard: Curation) -> None:
    assert await yard.submit() is True
    assert await yard.submit() is False
    assert await yard.collect(report_record()) is True
    first = await yard.decide(MIRA)
    assert first.reference == f"nvcr.example/nim/meta/llama@{DIGEST}" and first.ticket == "CHG0012345"
    assert first.expires_at == NOW + timedelta(days=30)
    assert await yard.state() is ImageState.CANDIDATE
    await yard.decide(ROBIN)
    assert await yard.state() is ImageState.APPROVED
    assert await yard.ledger() == [
        ("modelyard-worker", "queue.submit"),
        ("modelyard-worker", "evidence.collect"),
        ("mira", "queue.approve"),
        ("robin", "queue.approve"),
    ]
    assert await approved_digests(yard.database, NOW) == {DIGEST}
    assert await approved_digests(yard.database, NOW - timedelta(seconds=1)) == frozenset()
    yard.now += timedelta(days=30)
    assert await yard.state() is ImageState.EXPIRED


async def test_a_failed_decision_leaves_nothing_behind(yard: Curation) -> None:
    await yard.submit()
    before = await yard.ledger()
    cases: list[tuple[type[ModelyardError], Any]] = [
        (PolicyError, yard.decide(MIRA)),
        (UsageError, yard.decide(MIRA, reason="  ")),
        (UsageError, yard.decide(MIRA, shown="")),
        (ConflictError, yard.decide(MIRA, shown="sha256:nothing")),
        (ConflictError, yard.decide(MIRA, Verdict.REVOKE)),
        (NotFoundError, yard.decide(MIRA, digest=OTHER_DIGEST, shown="x")),
    ]
    for error, attempt in cases:
        with pytest.raises(error):
            await attempt
    assert await yard.ledger() == before
    assert (await load(yard.database, DIGEST)).decisions == ()


async def test_the_refusal_names_the_gate_and_why(yard: Curation) -> None:
    await yard.submit()
    await yard.collect(report_record(finding()))
    with pytest.raises(PolicyError, match="vulnerabilities \\(fail\\): 1 critical, 0 allowed"):
        await yard.decide(MIRA)


async def test_nobody_approves_twice_and_an_approved_image_is_not_approved_again(yard: Curation) -> None:
    await yard.submit()
    await yard.collect(report_record())
    await yard.decide(MIRA)
    with pytest.raises(RoleError, match="already"):
        await yard.decide(person("MIRA@corp.example"))
    await yard.decide(ROBIN)
    with pytest.raises(ConflictError, match="approved already by robin"):
        await yard.decide(KIM)
    with pytest.raises(ConflictError, match="revoke it"):
        await yard.decide(KIM, Verdict.REJECT)


async def test_who_submitted_or_handed_in_evidence_does_not_approve(yard: Curation) -> None:
    await yard.submit(actor=MIRA)
    await yard.hand_in(ROBIN)
    for actor in (MIRA, ROBIN):
        with pytest.raises(RoleError):
            await yard.decide(actor)
    await yard.decide(KIM)


async def test_evidence_that_changed_since_it_was_shown_is_a_conflict_that_names_the_change(yard: Curation) -> None:
    await yard.submit()
    await yard.collect(report_record())
    shown = await yard.hash()
    await yard.decide(MIRA, shown=shown)
    await yard.collect(report_record(finding(severity="high")))
    with pytest.raises(ConflictError) as caught:
        await yard.decide(ROBIN, shown=shown)
    assert caught.value.conflicts == ("vulnerabilities: 0 findings -> 1 findings",)
    await yard.hand_in(KIM)
    with pytest.raises(ConflictError) as caught:
        await yard.decide(ROBIN, shown=shown)
    assert any("handed in by kim" in line for line in caught.value.conflicts)
    assert (await load(yard.database, DIGEST)).decisions[0].evidence_hash == shown
    await yard.decide(ROBIN)
    assert await yard.state() is ImageState.CANDIDATE


async def test_approvals_under_another_policy_do_not_add_up(yard: Curation) -> None:
    await yard.submit()
    await yard.collect(report_record())
    await yard.decide(MIRA)
    yard.policy = policy(None, SCAN, {"kind": "licence", "deny": ["AGPL-*"], "effect": "warn"}, approvals=2)
    await yard.decide(ROBIN)
    assert await yard.state() is ImageState.CANDIDATE
    await yard.decide(KIM)
    assert await yard.state() is ImageState.APPROVED


async def test_policy_that_changed_since_it_was_shown_is_a_conflict_but_for_a_revocation(yard: Curation) -> None:
    await yard.submit()
    await yard.collect(report_record())
    shown = yard.policy.hash
    yard.policy = policy(None, SCAN, approvals=1)
    for verdict in (Verdict.APPROVE, Verdict.REJECT):
        with pytest.raises(ConflictError, match="policy changed since it was shown") as caught:
            await yard.decide(MIRA, verdict, shown_policy=shown)
        assert shown in caught.value.conflicts[0]
    await yard.decide(MIRA, shown_policy=yard.policy.hash)
    await yard.decide(MIRA, Verdict.REVOKE, shown_policy=shown)
    assert await yard.state() is ImageState.REVOKED


async def test_rejected_images_come_back_with_new_evidence_or_when_submitted_again(yard: Curation) -> None:
    await yard.submit()
    await yard.collect(report_record())
    await yard.decide(MIRA, Verdict.REJECT, shown="")
    assert await yard.state() is ImageState.REJECTED
    with pytest.raises(ConflictError, match="rejected already by mira"):
        await yard.decide(ROBIN)
    await yard.collect(report_record(measured_at=NOW + timedelta(hours=1)))
    assert await yard.state() is ImageState.CANDIDATE
    await yard.decide(MIRA, Verdict.REJECT)
    assert await yard.submit() is False
    assert await yard.submit(actor=KIM, again=True) is True
    assert await yard.state() is ImageState.CANDIDATE


async def test_a_revocation_is_not_refused_because_evidence_changed(yard: Curation) -> None:
    await yard.submit()
    await yard.collect(report_record())
    shown = await yard.hash()
    await yard.decide(MIRA)
    await yard.decide(ROBIN)
    await yard.collect(report_record(finding()))
    await yard.decide(KIM, Verdict.REVOKE, shown=shown)
    assert await yard.state() is ImageState.REVOKED
    assert await approved_digests(yard.database, NOW) == frozenset()


async def test_a_waiver_opens_the_gate_until_it_lapses_and_is_part_of_what_is_shown(yard: Curation) -> None:
    await yard.submit()
    await yard.collect(report_record(finding("CVE-1")))
    shown = await yard.hash()
    await yard.waive(MIRA, "CVE-1", NOW + timedelta(days=7))
    with pytest.raises(ConflictError) as caught:
        await yard.decide(ROBIN, shown=shown)
    assert caught.value.conflicts == ("new waiver of CVE-1 by mira",)
    await yard.decide(ROBIN)
    (view,) = await queue.evidence_on(yard.database, DIGEST, NOW)
    assert "by mira: not reachable" in view.findings[0].waived
    yard.now += timedelta(days=7)
    with pytest.raises(PolicyError):
        await yard.decide(KIM)
    with pytest.raises(NotFoundError):
        await yard.waive(MIRA, "CVE-9", NOW + timedelta(days=70))


async def test_an_approval_ends_with_the_first_waiver_that_it_needed(yard: Curation) -> None:
    yard.policy = policy(None, {**SCAN, "max_critical": 1}, approvals=1, expires="30d")
    await yard.submit()
    await yard.collect(report_record(finding("CVE-1"), finding("CVE-2"), finding("CVE-3")))
    # One of three may be there: the end of the first waiver closes nothing, that of the second does.
    for found, days in (("CVE-1", 2), ("CVE-2", 5), ("CVE-3", 9)):
        await yard.waive(KIM, found, NOW + timedelta(days=days))
    decided = await yard.decide(MIRA)
    assert decided.expires_at == NOW + timedelta(days=5)
    (entry,) = await yard.database.fetch_all("SELECT detail FROM ledger WHERE action = 'queue.approve'")
    assert '"finding":"CVE-2"' in entry["detail"]
    yard.now += timedelta(days=4)
    assert await yard.state() is ImageState.APPROVED
    yard.now += timedelta(days=1)
    assert await yard.state() is ImageState.EXPIRED
    with pytest.raises(PolicyError, match="2 critical"):
        await yard.decide(ROBIN)


async def test_a_waiver_that_no_gate_needs_ends_no_approval(yard: Curation) -> None:
    yard.policy = policy(None, {**SCAN, "max_critical": 1}, approvals=1)
    await yard.submit()
    await yard.collect(report_record(finding("CVE-1")))
    await yard.waive(KIM, "CVE-1", NOW + timedelta(days=2))
    assert (await yard.decide(MIRA)).expires_at is None


async def test_what_policy_approves_on_a_waiver_ends_with_it_too(yard: Curation) -> None:
    yard.policy = policy(None, SCAN, approvals=1, automatic=[{"decide": "approve"}])
    await yard.submit()
    await yard.collect(report_record(finding("CVE-1")))
    await yard.waive(KIM, "CVE-1", NOW + timedelta(days=2))
    await yard.keep()
    assert await yard.state() is ImageState.APPROVED
    yard.now += timedelta(days=2)
    assert await yard.state() is ImageState.EXPIRED
    await yard.keep()
    assert await yard.state() is ImageState.EXPIRED


async def test_permits_are_spent_and_are_for_one_image_and_one_verdict(yard: Curation) -> None:
    await yard.submit()
    await yard.collect(report_record())
    evidence = await yard.hash()

    async def decide(leave: Any) -> None:
        async with yard.database.transaction() as transaction:
            await store.record_decision(
                transaction, leave, verdict=Verdict.APPROVE, facts=image(), reason="x", shown_evidence=evidence,
                policy=yard.policy, ids=yard.ids, at=NOW,
            )  # fmt: skip

    with pytest.raises(RefusedError):
        await decide(permit("queue.reject", MIRA))
    with pytest.raises(RefusedError):
        await decide(permit("queue.approve", MIRA, OTHER_DIGEST))
    leave = permit("queue.approve", MIRA)
    await decide(leave)
    with pytest.raises(RefusedError):
        await decide(leave)


async def test_evidence_that_says_the_same_changes_nothing_but_its_time(yard: Curation) -> None:
    await yard.submit()
    await yard.collect(report_record(finding()))
    before, ledger = await yard.hash(), await yard.ledger()
    yard.now += timedelta(hours=1)
    assert await yard.collect(report_record(finding())) is False
    assert (await yard.hash(), await yard.ledger()) == (before, ledger)
    (record,) = await evidence_store.of_digest(yard.database, DIGEST)
    assert record.collected_at == yard.now


async def test_a_registry_that_is_away_takes_nothing_back_and_absence_is_still_told(yard: Curation) -> None:
    await yard.submit()
    away = msgspec.structs.replace(report_record(), state="unchecked", summary="could not check: timed out", payload={})
    await yard.collect(away)
    assert [each.state for each in await evidence_store.of_digest(yard.database, DIGEST)] == ["unchecked"]
    await yard.collect(report_record())
    known = await yard.hash()
    assert await yard.collect(away) is False
    assert await yard.hash() == known
    gone = msgspec.structs.replace(report_record(), kind=EvidenceKind.SIGNATURE, state="none", payload={})
    await yard.collect(gone)
    assert [each.kind for each in await evidence_store.of_digest(yard.database, DIGEST)] == [EvidenceKind.SIGNATURE]


async def test_a_persons_newer_report_replaces_their_own_and_no_one_elses(yard: Curation) -> None:
    await yard.submit()
    await yard.hand_in(MIRA, finding())
    await yard.hand_in(ROBIN)
    yard.now += timedelta(hours=1)
    await yard.hand_in(MIRA)
    records = await evidence_store.of_digest(yard.database, DIGEST)
    assert sorted((each.asserted_by, len(each.findings)) for each in records) == [("mira", 0), ("robin", 0)]


async def test_nobody_hands_in_a_report_in_another_name(yard: Curation) -> None:
    await yard.submit()
    record = report_record(origin=Origin.HANDED_IN, asserted_by="robin")
    with pytest.raises(RefusedError):
        async with yard.database.transaction() as transaction:
            await store.import_evidence(transaction, permit("evidence.import", MIRA), image(), [record], at=NOW)


@pytest.mark.parametrize("table", ["decision", "waiver", "evidence"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET id = 'x'", "DELETE FROM {}"])
async def test_what_was_recorded_is_not_rewritten(yard: Curation, table: str, statement: str) -> None:
    await yard.submit()
    await yard.collect(report_record(finding("CVE-1")))
    await yard.waive(MIRA, "CVE-1", NOW + timedelta(days=7))
    await yard.decide(MIRA)
    with pytest.raises(StoreError):
        async with yard.database.transaction() as transaction:
            await transaction.execute(statement.format(table))


async def test_hostile_text_is_stored_and_read_back_as_it_was(yard: Curation) -> None:
    title = "\x1b]0;owned\x07'; DROP TABLE decision; -- [red]\u202e"
    await yard.submit()
    await yard.collect(report_record(msgspec.structs.replace(finding("CVE-1"), title=title)))
    (view,) = await queue.evidence_on(yard.database, DIGEST, NOW)
    assert view.findings[0].title == title
    assert await yard.state() is ImageState.CANDIDATE


# ---------------------------------------------------------------- the queue


async def view_of(yard: Curation, digest: str = DIGEST, actor: Actor = MIRA, **facts: Any) -> Any:
    return await queue.candidate(
        yard.database, digest, {digest: image(digest, **facts)}, policy=yard.policy, actor=actor, now=yard.now
    )


async def test_the_queue_shows_mine_first_then_risk_then_age(yard: Curation) -> None:
    clean, risky, mine_old, mine_new, approved = (digest_number(number) for number in range(5))
    for digest, actor in ((clean, MIRA), (risky, MIRA), (mine_old, WORKER), (mine_new, WORKER), (approved, WORKER)):
        await yard.submit(digest, actor)
        yard.now += timedelta(minutes=1)
        await yard.collect(*[report_record(finding())] if digest == risky else [report_record()], digest=digest)
    for actor in (ROBIN, KIM):
        await yard.decide(actor, digest=approved)
    views = await queue.candidates(yard.database, {}, policy=yard.policy, actor=MIRA, now=yard.now)
    assert [view.digest for view in views] == [mine_old, mine_new, risky, clean]
    assert [view.waits_for_me for view in views] == [True, True, False, False]
    assert views[2].not_me == "you submitted it" and views[2].blocked and views[2].risk > views[3].risk
    everything = await queue.candidates(
        yard.database, {}, policy=yard.policy, actor=MIRA, now=yard.now, everything=True
    )
    assert [view.digest for view in everything][-1] == approved
    assert everything[-1].state is ImageState.APPROVED and len(everything[-1].approvals) == 2
    assert views[0].previous_reference == f"nvcr.example/nim/meta/llama@{approved}"


async def test_the_queue_and_the_card_agree_with_waivers_too(yard: Curation) -> None:
    await yard.submit()
    await yard.collect(report_record(finding("CVE-1"), finding("CVE-1", package="libssl3"), finding("CVE-2", "high")))
    await yard.waive(ROBIN, "CVE-1", NOW + timedelta(days=7))
    facts = {DIGEST: image()}
    (listed,) = await queue.candidates(yard.database, facts, policy=yard.policy, actor=MIRA, now=yard.now)
    card = await queue.candidate(yard.database, DIGEST, facts, policy=yard.policy, actor=MIRA, now=yard.now)
    assert listed == msgspec.structs.replace(card, waivers=()) and card.waivers[0].finding == "CVE-1"
    assert "2 more waived" in card.gates[0].sentence and not card.blocked
    assert card.name == "ngc/nim/meta/llama:1.8.2" and card.evidence_hash == await yard.hash()


async def test_the_card_tells_what_changed_against_the_last_approved_image(yard: Curation) -> None:
    await yard.submit()
    await yard.collect(report_record(finding("CVE-1", "low"), finding("CVE-2", "low")))
    for actor in (ROBIN, KIM):
        await yard.decide(actor)
    await yard.submit(OTHER_DIGEST)
    await yard.collect(report_record(finding("CVE-2", "high"), finding("CVE-3")), digest=OTHER_DIGEST)
    facts = {DIGEST: image(), OTHER_DIGEST: image(OTHER_DIGEST, size=9_900_000_000, type="vision")}
    card = await queue.candidate(yard.database, OTHER_DIGEST, facts, policy=yard.policy, actor=MIRA, now=yard.now)
    assert card.previous_reference.endswith(DIGEST)
    assert card.changes == (
        "type: chat -> vision",
        "size: 8.4 GiB -> 9.2 GiB (+10.0 %)",
        "1 vulnerabilities added: CVE-3 (critical)",
        "1 vulnerabilities gone: CVE-1 (low)",
        "1 vulnerabilities rated worse: CVE-2 (high)",
    )


async def test_a_policy_is_checked_without_a_submission_and_against_a_draft(yard: Curation) -> None:
    known = {DIGEST: image()}
    (checked,) = await queue.check_policy(yard.database, known, policy=yard.policy, now=NOW)
    assert not checked.passes and checked.before is None
    await yard.submit()
    await yard.collect(report_record())
    draft = policy(None, {**SCAN, "accept_unsigned": False})
    (checked,) = await queue.check_policy(yard.database, known, policy=yard.policy, against=draft, now=NOW)
    assert not checked.passes and checked.before is True and checked.flips and not checked.approved


async def test_an_unknown_digest_is_not_found(yard: Curation) -> None:
    with pytest.raises(NotFoundError):
        await view_of(yard)


async def test_the_queue_is_read_in_as_many_queries_for_many_candidates_as_for_one(yard: Curation) -> None:
    class Counting:
        def __init__(self) -> None:
            self.queries = 0

        async def fetch_all(self, sql: str, parameters: Any = ()) -> Any:
            self.queries += 1
            return await yard.database.fetch_all(sql, parameters)

    counts = []
    for number in range(0, 40, 20):
        for step in range(20):
            await yard.submit(digest_number(number + step))
            await yard.collect(report_record(), digest=digest_number(number + step))
        reader = Counting()
        await queue.candidates(reader, {}, policy=yard.policy, actor=MIRA, now=NOW)
        counts.append(reader.queries)
    assert counts[0] == counts[1]
