"""Deciding on candidates by key and dialog."""

from __future__ import annotations

import msgspec

from backend.core.errors import ConflictError
from backend.core.views import ImageState
from tests.fakes import screen_data as data
from tests.fakes.screen_pilot import Desk, desk
from tests.fakes.screen_yard import FakeYard
from tui.panes.queue.dialogs import check_day

LLAMA = data.candidates()[0]
SIX = LLAMA.digest[-6:]


async def _open_llama(table: Desk) -> None:
    await table.press("2", "enter")
    await table.sees("What changed", "llama-3.3-70b:1.8.2")


async def test_the_queue_shows_mine_first_then_risk() -> None:
    async with desk(size=(160, 45)) as table:
        await table.press("2")
        await table.sees("2 QUEUE 8", "4 for me")
        lines = table.text().splitlines()
        order = [
            next(index for index, line in enumerate(lines) if name in line)
            for name in ("llama-3.3-70b", "bge-m3", "mistral-small", "nv-rerank", "llama-3.1-8b")
        ]
        assert order == sorted(order)


async def test_the_card_shows_changes_then_evidence_by_tab() -> None:
    async with desk() as table:
        await _open_llama(table)
        assert "CVE-2026-1234 critical in libcurl" in table.text()
        await table.press("tab")
        await table.sees("scanned", "trivy 0.58", "CVE-2026-1230", "asserted by mira, unsigned")


async def test_approving_sends_the_reason_and_the_evidence_that_was_seen() -> None:
    async with desk() as table:
        await _open_llama(table)
        await table.press("A")
        await table.sees("Approve ngc/nim/meta/llama-3.3-70b:1.8.2?", "2 critical, at most 0 allowed")
        await table.type("risk accepted")
        await table.press("enter")
        await table.type(SIX)
        await table.press("enter")
        await table.until(lambda: table.yard.called("approve"))
        assert table.yard.called("approve") == [(LLAMA.reference, "risk accepted", LLAMA.evidence_hash)]
        assert table.yard.called("approved by policy") == [(LLAMA.policy_hash,)]
        await table.sees("2 ngc/nim/baai/bge-m3:2.1")


async def test_approving_needs_a_reason_and_the_right_digits() -> None:
    async with desk() as table:
        await _open_llama(table)
        await table.press("A")
        await table.sees("Last six digits")
        await table.press("enter")
        await table.sees("say why: it goes into the ledger")
        await table.type("because")
        await table.press("enter")
        await table.type("000000")
        await table.press("enter")
        await table.sees("not the last six digits")
        assert not table.yard.called("approve")
        await table.press("escape")
        await table.sees_not("Last six digits")
        assert not table.yard.called("approve")


async def test_a_refusal_keeps_the_dialog_and_what_was_typed() -> None:
    error = ConflictError(
        "approval of llama",
        "the evidence changed since you looked",
        "read the card again",
        conflicts=["a scan of 14:01 found 1 more critical"],
    )
    async with desk(FakeYard(errors={"approve": error}), size=(100, 40)) as table:
        await _open_llama(table)
        await table.press("A")
        await table.sees("Last six digits")
        await table.type("because")
        await table.press("enter")
        await table.type(SIX)
        await table.press("enter")
        await table.sees("the evidence changed since you looked", "read the card again", "1 more critical", "because")
        await table.press("escape")
        await table.sees_not("read the card again")


async def test_rejecting_asks_for_a_reason_only() -> None:
    async with desk() as table:
        await table.press("2")
        await table.sees("2 QUEUE")
        await table.press("R")
        await table.sees("Reject ngc/nim/meta/llama-3.3-70b:1.8.2?")
        await table.type("too risky")
        await table.press("enter")
        await table.until(lambda: table.yard.called("reject"))
        assert table.yard.called("reject") == [(LLAMA.reference, "too risky", LLAMA.evidence_hash)]
        await table.sees("rejected")


async def test_what_is_not_mine_says_why_and_opens_no_dialog() -> None:
    async with desk() as table:
        await table.press("2", "slash")
        await table.type("rerank")
        await table.press("enter")
        await table.sees("nv-rerank")
        await table.press("A")
        await table.sees("somebody else decides")
        assert not table.app.screen.is_modal


async def test_a_role_that_is_missing_is_named() -> None:
    async with desk(FakeYard(status={"roles": ("viewer",)})) as table:
        await table.press("2", "A")
        await table.sees("needs the role approver")
        assert not table.app.screen.is_modal


async def test_writes_that_are_off_say_why() -> None:
    async with desk(FakeYard(status={"writes": "opened read-only"})) as table:
        await table.sees("READ-ONLY")
        await table.press("2", "A")
        await table.sees("writes are off: opened read-only")


async def test_revoking_tells_what_runs() -> None:
    approved = data.candidates()[-1]
    running = data.service("llm-prod", "uses-it", data.Verdict.SERVING, images=(f"x@{approved.digest}",))
    async with desk(size=(100, 40)) as table:
        table.yard.put_service(running)
        await table.press("2", "G")
        await table.sees("approved")
        await table.press("V")
        await table.sees("It runs now in prod-eu1/llm-prod/uses-it")
        await table.type("key leaked")
        await table.press("enter")
        await table.type(approved.digest[-6:])
        await table.press("enter")
        await table.until(lambda: table.yard.called("revoke"))


async def test_deploying_needs_an_approved_image() -> None:
    async with desk() as table:
        await table.press("2", "D")
        await table.sees("only approved images are deployed")


async def test_a_decision_elsewhere_shows_on_the_card() -> None:
    async with desk() as table:
        await _open_llama(table)
        from backend.core.events import QueueChanged, Topic

        table.yard.candidate_views[0] = msgspec.structs.replace(LLAMA, state=ImageState.REJECTED, waits_for_me=False)
        table.yard.publish(Topic.QUEUE, QueueChanged())
        await table.sees("llama-3.3-70b:1.8.2 rejected")


async def test_waiving_names_a_finding_a_day_and_a_reason() -> None:
    async with desk(size=(100, 40)) as table:
        await _open_llama(table)
        await table.sees("CVE-2026-1230")
        await table.press("W")
        await table.sees("Waive a finding?", "2026-09-13")
        await table.press("tab", "tab")
        await table.type("behind a proxy")
        await table.press("enter")
        await table.until(lambda: table.yard.called("waive"))
        assert table.yard.called("waive") == [
            (LLAMA.reference, "CVE-2026-1230", "2026-09-13", "behind a proxy", "opr-7", "")
        ]


def test_days_of_waivers() -> None:
    assert check_day(data.NOW, "2026-08-14") == ""
    assert "over" in check_day(data.NOW, "2026-08-13")
    assert "write a day" in check_day(data.NOW, "soon")
