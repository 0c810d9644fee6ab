"""A yard's database to decide in, and what a yard would do with it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from backend.core.actors import WORKER, Actor
from backend.core.views import CandidateView, DecisionView, ImageState, ScopeView
from backend.curation import emergency, keeping, queue, store
from backend.curation.candidates import fetch_queue, load, read_queue
from backend.curation.curated import standings, states
from backend.curation.decisions import ANYTHING, Standing, Verdict
from backend.curation.policy import Policy
from backend.evidence.records import EvidenceRecord, Origin
from backend.store.connection import Database
from tests.fakes.curation import DIGEST, NOW, image, permit, person, report_record
from tests.fakes.ports import NumberedIds

SCAN = {"kind": "vulnerabilities", "max_critical": 0, "accept_unsigned": True}
MIRA, ROBIN, KIM = person("mira"), person("robin"), person("kim")


class Curation:
    """A database and what a yard would do with it."""

    def __init__(self, database: Database, policy: Policy) -> None:
        self.database = database
        self.policy = policy
        self.ids = NumberedIds()
        self.now = NOW

    async def submit(self, digest: str = DIGEST, actor: Actor = WORKER, **rest: Any) -> bool:
        async with self.database.transaction() as transaction:
            return await store.submit(transaction, image(digest), actor=actor, at=self.now, rule="nim", **rest)

    async def collect(self, *records: EvidenceRecord, digest: str = DIGEST) -> bool:
        fresh = [
            msgspec.structs.replace(each, id=self.ids.new_id(), digest=digest, collected_at=self.now)
            for each in records
        ]
        async with self.database.transaction() as transaction:
            return await store.record_evidence(transaction, image(digest), fresh, actor=WORKER, at=self.now)

    async def hand_in(self, actor: Actor, *findings: Any) -> None:
        record = report_record(
            *findings, id=self.ids.new_id(), origin=Origin.HANDED_IN, asserted_by=actor.name, measured_at=self.now
        )
        async with self.database.transaction() as transaction:
            leave = permit("evidence.import", actor)
            await store.import_evidence(transaction, leave, image(), [record], at=self.now)

    async def hash(self, digest: str = DIGEST) -> str:
        return (await load(self.database, digest)).evidence_hash

    async def decide(
        self, actor: Actor, verdict: Verdict = Verdict.APPROVE, *, shown: str | None = None, digest: str = DIGEST,
        reason: str = "looked at it", policy: Policy | None = None, scope: ScopeView = ANYTHING,
        shown_policy: str = "",
    ) -> DecisionView:  # fmt: skip
        evidence = await self.hash(digest) if shown is None else shown
        async with self.database.transaction() as transaction:
            return await store.record_decision(
                transaction, permit(f"queue.{verdict.value}", actor, digest), verdict=verdict, facts=image(digest),
                reason=reason, ticket="CHG0012345", shown_evidence=evidence, policy=policy or self.policy,
                ids=self.ids, at=self.now, scope=scope, shown_policy=shown_policy,
            )  # fmt: skip

    async def waive(self, actor: Actor, found: str, until: datetime, **rest: Any) -> None:
        async with self.database.transaction() as transaction:
            await store.waive(
                transaction, permit("queue.waive", actor), facts=image(), finding=found, until=until,
                reason="not reachable", policy=self.policy, ids=self.ids, at=self.now, **rest,
            )  # fmt: skip

    async def state(self, digest: str = DIGEST) -> ImageState:
        return (await states(self.database, self.policy.hash, self.now))[digest]

    async def ledger(self) -> list[tuple[str, str]]:
        rows = await self.database.fetch_all("SELECT actor, action FROM ledger ORDER BY seq")
        return [(row["actor"], row["action"]) for row in rows]

    async def break_glass(self, actor: Actor, until: datetime, **changes: Any) -> DecisionView:
        asked: dict[str, Any] = {"reason": "it burns", "ticket": "INC-7", **changes}
        async with self.database.transaction() as transaction:
            return await emergency.break_glass(
                transaction, permit("queue.break-glass", actor), facts=image(), until=until, policy=self.policy,
                ids=self.ids, at=self.now, **asked,
            )  # fmt: skip

    async def review(self, actor: Actor, about: str) -> DecisionView:
        async with self.database.transaction() as transaction:
            return await emergency.review(
                transaction, permit("queue.review", actor), about=about, facts=image(), reason="it had to be",
                policy=self.policy, ids=self.ids, at=self.now,
            )  # fmt: skip

    async def comment(self, actor: Actor, text: str, ticket: str = "") -> None:
        async with self.database.transaction() as transaction:
            leave = permit("queue.comment", actor)
            await store.comment(transaction, leave, facts=image(), text=text, ticket=ticket, ids=self.ids, at=self.now)

    async def submit_again(self, actor: Actor, reason: str = "mended") -> None:
        async with self.database.transaction() as transaction:
            leave = permit("queue.submit", actor)
            await store.submit_again(transaction, leave, image(), reason=reason, policy=self.policy, at=self.now)

    async def standing(self, digest: str = DIGEST) -> Standing:
        return (await standings(self.database, self.policy.hash, self.now))[digest]

    async def view(self, actor: Actor, digest: str = DIGEST) -> CandidateView:
        facts = {digest: image(digest)}
        return await queue.candidate(self.database, digest, facts, policy=self.policy, actor=actor, now=self.now)

    async def keep(self) -> list[keeping.Judged]:
        """What the worker does now and then."""
        await keeping.note_ends(self.database, self.now)
        wanted = await keeping.to_judge(self.database, self.policy, self.now)
        if not wanted:
            return []
        data = read_queue(await fetch_queue(self.database))
        facts = {digest: image(digest) for digest in wanted}
        judged = keeping.judge(data, wanted, facts, policy=self.policy, now=self.now)
        for each in judged:
            async with self.database.transaction() as transaction:
                await keeping.act(transaction, each, policy=self.policy, ids=self.ids, at=self.now)
        await keeping.keep_judgements(self.database, judged, policy=self.policy, now=self.now)
        return judged
