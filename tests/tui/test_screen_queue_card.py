"""The card of a candidate: what must be on its first screen, evidence one key away, and every dialog."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from backend.core.errors import ConflictError
from backend.core.events import QueueChanged, Topic
from backend.core.views import (
    CommentView,
    DifferenceView,
    EvidenceValue,
    EvidenceView,
    FindingView,
    ImageState,
    ImpactView,
    PackageView,
    ScopeView,
    WaiverView,
)
from tests.fakes import screen_data as data
from tests.fakes.screen_data import HOSTILE
from tests.fakes.screen_pilot import Desk, desk
from tests.fakes.screen_yard import FakeYard
from tui.panes.queue.dialogs import check_until, until_of

LLAMA = data.candidates()[0]
SIX = LLAMA.digest[-6:]
_KINDS = ("signature", "licence", "sbom", "provenance", "benchmark", "compliance")
FULL: dict[str, Any] = {
    "gates": (
        data.gate("vulnerabilities", EvidenceValue.FAIL, "2 critical, 0 allowed; database 3 days old"),
        data.gate("weights", EvidenceValue.NOT_MEASURED, "nothing fixes the weights"),
        *(data.gate(kind, EvidenceValue.PASS, "as asked") for kind in _KINDS),
    ),
    "differences": (
        DifferenceView(
            kind="vulnerabilities", text="CVEs: 9 came, 2 went", worse=True,
            added=tuple(f"CVE-2026-{1230 + index}" for index in range(9)), removed=("CVE-2025-9999", "CVE-2025-9998"),
        ),
        DifferenceView(kind="packages", text="packages: 40 came, 38 went", added=("libcurl 8.5.0",)),
        DifferenceView(kind="licence", text="licence: Apache-2.0 -> MIT", worse=False),
        DifferenceView(kind="size", text="size: 8.1 GiB -> 8.2 GiB"),
        DifferenceView(kind="labels", text="labels: 2 changed"),
        DifferenceView(kind="weights", text="weights: fixed -> not fixed", worse=True),
        DifferenceView(kind="benchmark", text="ttft_p95: 640 ms -> 810 ms", worse=True),
    ),
    "missing": ("one of security", "one of platform"),
    "scope": ScopeView(weights="hf://meta/llama@9f3c", runtime="nim"),
}  # fmt: skip


def _yard(**changes: Any) -> FakeYard:
    yard = FakeYard()
    yard.queue.full[LLAMA.reference] = {**FULL, **changes}
    return yard


async def _open(table: Desk, *see: str) -> None:
    await table.press("2", "enter")
    await table.sees("one of security", *see)


async def test_the_first_screen_of_80_by_24_holds_what_a_decision_rests_on() -> None:
    async with desk(_yard()) as table:
        await _open(table)
        for fact in (
            "ngc/nim/meta/llama-3.3-70b:1.8.2 candidate", "chat  nim  index  8.2 GiB  risk 80", LLAMA.digest[-64:],
            "CVEs: 9 came, 2 went", "licence: Apache-2.0 -> MIT", "and 3 more changes",
            "2 critical, 0 allowed; database 3 days old", "not measured: nothing fixes the weights",
            "signature, licence, sbom, provenance, benchmark, compliance  pass", "2 of 8 block",
            "1 of 2  by mira 20h ago  missing: one of security; one of platform", "waits for you",
            "weights hf://meta/llama@9f3c", "not fixed:", "A approve",
        ):  # fmt: skip
            assert fact in table.text(), fact
        await table.press("tab")
        await table.sees("Evidence", "trivy 0.58", "CVE-2026-1230")


async def test_below_it_stands_everything_in_full() -> None:
    waiver = WaiverView(
        id="1", digest=LLAMA.digest, finding="CVE-2026-1231", owner="kim", actor="mira", reason="not reachable",
        control="blocked at the gateway", at=data.ago(days=1), until=data.NOW + timedelta(days=9),
    )  # fmt: skip
    lapsed = msgspec.structs.replace(waiver, finding="CVE-2026-1232", lapsed=True)
    comment = CommentView(actor="robin", at=data.ago(hours=1), text=f"looked at {HOSTILE}", ticket="CHG1")
    async with desk(_yard(waivers=(waiver, lapsed), comments=(comment,)), size=(120, 120)) as table:
        await _open(table, "Changes in full", "+ CVE-2026-1238", "- CVE-2025-9998")
        shown = table.text()
        for fact in (
            "CVE-2026-1231  until 2026-08-23  owner kim", "meanwhile blocked at the gateway",
            "CVE-2026-1232  lapsed", "robin  1h ago  CHG1", "[red]bold[/red]", "approve  by mira",
        ):  # fmt: skip
            assert fact in shown, fact
        assert "\x1b" not in shown
        assert "\u202e" not in shown


async def test_what_changed_while_one_looks_is_told_and_ages_are_no_change() -> None:
    yard = _yard()
    async with desk(yard, size=(100, 40)) as table:
        await _open(table)
        aged = (data.gate("vulnerabilities", EvidenceValue.FAIL, "2 critical, 0 allowed; database 4 days old"),)
        yard.queue.full[LLAMA.reference]["gates"] = (*aged, *FULL["gates"][1:])
        yard.publish(Topic.QUEUE, QueueChanged())
        await table.sees("database 4 days old")
        assert "Changed while you looked" not in table.text()
        worse = (data.gate("vulnerabilities", EvidenceValue.FAIL, "3 critical, 0 allowed; database 1 hour old"),)
        yard.queue.full[LLAMA.reference].update(gates=(*worse, *FULL["gates"][1:]), evidence_hash="sha256:" + "9" * 64)
        yard.publish(Topic.QUEUE, QueueChanged())
        await table.sees("Changed while you looked", "2 critical, 0 allowed; database 3 days old → 3 critical")


async def test_stale_evidence_is_refused_with_what_changed_and_the_way_on_keeps_the_reason() -> None:
    stale = ConflictError("approve llama", "its evidence changed", "look again", conflicts=["vulnerabilities: 2 -> 3"])
    yard = _yard()
    yard.errors["approve"] = stale
    async with desk(yard, size=(100, 40)) as table:
        await _open(table)
        await table.press("A")
        await table.sees("Last six digits")
        await table.type("needed")
        await table.press("enter")
        await table.type(SIX)
        await table.press("enter")
        await table.sees("its evidence changed", "vulnerabilities: 2 -> 3", "▸ Show what is there now ◂")
        del yard.errors["approve"]
        yard.queue.full[LLAMA.reference]["evidence_hash"] = "sha256:" + "9" * 64
        await table.press("enter")
        await table.sees_not("Last six digits")
        await table.sees("Changed while you looked")
        await table.press("A")
        await table.sees("Last six digits", "needed")
        await table.press("enter")
        await table.type(SIX)
        await table.press("enter")
        await table.until(lambda: len(yard.called("approve")) == 2)
        assert yard.called("approve")[-1] == (LLAMA.reference, "needed", "sha256:" + "9" * 64)


async def test_in_a_small_terminal_a_refusal_is_seen_beneath_many_fields() -> None:
    yard = _yard()
    lines = [f"change {number} of the evidence" for number in range(6)]
    yard.errors["approve"] = ConflictError("approve llama", "its evidence changed", "look again", conflicts=lines)
    async with desk(yard) as table:
        await _open(table)
        await table.press("A")
        await table.sees("Last six digits")
        await table.type("fine")
        await table.press("enter")
        await table.type(SIX)
        await table.press("enter")
        await table.sees("its evidence changed", "change 5 of the evidence", "look again", "▸ Show what is there now ◂")


async def test_approving_names_the_scope_that_is_known_and_enter_passes_over_it() -> None:
    async with desk(_yard(), reasons={"approve": ("all gates pass", "accepted")}) as table:
        await _open(table)
        await table.press("A")
        await table.sees("hf://meta/llama@9f3c", "not fixed: any environment", "↓ for one of 2")
        await table.press("down", "down", "up")
        await table.sees("all gates pass")
        await table.type(" today")
        await table.press("enter")
        await table.type(SIX)
        await table.press("enter")
        await table.until(lambda: table.yard.called("approve"))
        assert table.yard.called("approve")[0][1] == "all gates pass today"
        scope = ScopeView(weights="hf://meta/llama@9f3c", runtime="nim")
        assert table.yard.called("approved scope") == [("", scope)]


async def test_offers_give_back_what_was_typed() -> None:
    async with desk(reasons={"reject": ("too risky", "not needed")}) as table:
        await table.press("2", "R")
        await table.sees("Reject ngc/")
        await table.type("my own")
        await table.press("down", "down")
        await table.sees("not needed")
        await table.press("up", "up")
        await table.sees("my own")


async def test_revoking_shows_first_what_it_touches() -> None:
    approved = data.candidates()[-1]
    yard = FakeYard()
    yard.queue.impact_view = ImpactView(
        reference=approved.reference, services=None, unknown="the cluster does not answer",
        rollbacks=(("llm-prod/chat", "r41"),), keys=("team-nlp",),
    )  # fmt: skip
    async with desk(yard) as table:
        await table.press("2", "G", "V")
        await table.sees(
            "is not known: the cluster does not answer", "llm-prod/chat r41", "Access keys to it: team-nlp"
        )


async def test_the_glass_is_broken_loudly_and_looked_at_afterwards() -> None:
    async with desk(size=(100, 40)) as table:
        await table.press("2", "E")
        await table.sees("Break the glass for", "somebody else has to look at it afterwards")
        await table.type("outage")
        await table.press("enter")
        await table.sees("Ticket")
        await table.type("INC-7")
        await table.press("enter")
        await table.type(SIX)
        await table.press("enter")
        until = (data.NOW + timedelta(hours=8)).isoformat()
        await table.until(lambda: table.yard.called("break_glass"))
        assert table.yard.called("break_glass") == [(LLAMA.reference, "outage", "INC-7", until)]
        await table.sees("BREAK-GLASS 1")
        await table.press("3")
        await table.sees("3 DEPLOYMENTS", "BREAK-GLASS 1")
        await table.press("2", "Y")
        await table.sees("Review what opr-7 let run?", "outage")
        await table.type("justified")
        await table.press("enter")
        await table.until(lambda: table.yard.called("review"))


async def test_comment_submit_again_and_evaluate() -> None:
    yard = FakeYard()
    yard.candidate_views[0] = msgspec.structs.replace(LLAMA, state=ImageState.REJECTED, waits_for_me=False)
    async with desk(yard, size=(100, 60)) as table:
        await table.press("2", "slash")
        await table.type("3.3-70b")
        await table.press("enter", "enter")
        await table.sees("llama-3.3-70b:1.8.2 rejected")
        await table.press("t")
        await table.sees("Comment on")
        await table.type("please scan again")
        await table.press("enter")
        await table.sees("Comments", "please scan again")
        await table.press("u")
        await table.sees("Submit ngc/nim/meta/llama-3.3-70b:1.8.2 again?")
        await table.type("scanned")
        await table.press("enter")
        await table.sees("llama-3.3-70b:1.8.2 candidate")
        await table.press("f")
        await table.until(lambda: yard.called("evaluate"))
        assert yard.called("evaluate") == [(True, LLAMA.reference)]
        await table.press("u")
        await table.sees("what was decided against is submitted again")


async def test_evidence_lists_findings_and_packages_to_filter_and_to_waive() -> None:
    yard = FakeYard()
    pieces = data.evidence(LLAMA.reference)
    findings = (
        *(
            FindingView(id=f"CVE-2026-{index:04d}", severity="low", package="zlib", version="1", fixed="")
            for index in range(5000)
        ),
        FindingView(
            id="CVE-2027-1", severity="CRITICAL", package="glibc", version="2", fixed="2.1", title=HOSTILE,
            vex=f"not affected: {HOSTILE}",
        ),
        FindingView(
            id="CVE-2027-2", severity="HIGH", package="bash", version="5", fixed="", waived="until 2027 by kim"
        ),
    )  # fmt: skip
    packages = (PackageView(name="glibc", version="2", licence="LGPL-2.1"), PackageView(name="zlib", version="1"))
    sbom = EvidenceView(
        id="9", digest=LLAMA.digest, kind="sbom", state="read", summary="2 packages", source="Trivy",
        collected_at=data.NOW, packages=packages,
    )  # fmt: skip
    yard.evidence.views[LLAMA.reference] = [msgspec.structs.replace(pieces[0], findings=findings), *pieces[1:], sbom]
    async with desk(yard, size=(120, 24)) as table:
        await table.press("2", "e")
        await table.sees("EVIDENCE 5002  findings", "CVE-2027-1", "VEX not affected: evil", "WAIVED until 2027 by kim")
        assert "\x1b" not in table.text()
        await table.press("slash")
        await table.type("critical")
        await table.press("enter")
        await table.sees("1 of 5002")
        await table.press("W")
        await table.sees("Waive a finding?", "CVE-2027-1")
        await table.press("escape", "enter")
        await table.sees("fixed in  2.1", "title     evil", "[red]bold[/red]")
        assert "\u202e" not in table.text()
        await table.press("escape", "escape", "tab")
        await table.sees("EVIDENCE 2  packages", "LGPL-2.1", "not told")
        await table.press("tab")
        await table.sees("signatures and the rest", "keys/platform.pub")


async def test_a_scan_tells_how_far_it_is_and_is_ended_by_the_same_key() -> None:
    async with desk(size=(120, 24)) as table:
        await table.press("2", "enter")
        await table.sees("llama-3.3-70b:1.8.2")
        await table.press("x")
        await table.sees("trivy running 1.0s started")
        await table.press("x")
        await table.sees("the scan is ended")
        assert table.yard.called("cancel_scan") == [(LLAMA.reference,)]
        table.yard.evidence.scan_ends.set()
        await table.sees("trivy done 12s 2 critical", "trivy: 2 critical")


async def test_a_review_is_recorded_and_a_package_is_looked_for_in_every_image() -> None:
    yard = FakeYard(status={"roles": ("approver", "curator")})
    async with desk(yard, size=(140, 30)) as table:
        await table.press("2", "e")
        await table.sees("EVIDENCE 5  findings")
        await table.press("w")
        await table.sees("keeps you from approving this image")
        await table.type("ran it on a test set")
        await table.press("enter")
        await table.until(lambda: yard.called("assert"))
        assert yard.called("assert") == [(LLAMA.reference, "", "ran it on a test set")]
        await table.command("packages openssl")
        await table.sees("IMAGES WITH openssl", "2 images", "openssl 3.0.14", "llama-3.3-70b:1.8.2")
        assert "\x1b" not in table.text()


async def test_no_report_is_not_no_findings() -> None:
    yard = FakeYard()
    yard.evidence.views[LLAMA.reference] = []
    async with desk(yard) as table:
        await table.press("2", "e")
        await table.sees("Not measured: no report of findings is known, which is not the same as none.")


def test_times_that_break_glass_ends_at() -> None:
    assert until_of(data.NOW, "8h") == data.NOW + timedelta(hours=8)
    assert until_of(data.NOW, " 2 d ") == data.NOW + timedelta(days=2)
    assert until_of(data.NOW, "2026-08-20").hour == 23
    assert until_of(data.NOW, "2026-08-20T10:00+02:00").hour == 8
    assert check_until(data.NOW, "2026-08-20") == ""
    assert "has passed" in check_until(data.NOW, "2020-01-01T00:00")
    assert "write a span" in check_until(data.NOW, "tomorrow")
    assert "write a span" in check_until(data.NOW, "9999-99-99")
