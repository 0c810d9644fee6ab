"""What people corrected of an image is part of what a decision on it rests on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backend.core.actors import Actor
from backend.core.errors import ConflictError, RoleError
from backend.core.ports import timestamp
from backend.curation import evidence_sets, queue
from backend.curation.archive import evidence_sets as stored_sets
from backend.curation.candidates import load
from backend.curation.decisions import evidence_hash
from backend.curation.submissions import submit_many
from backend.store.connection import Database
from tests.fakes.curation import DIGEST, NOW, image, policy, report_record
from tests.fakes.curation_yard import KIM, MIRA, ROBIN, SCAN, Curation
from tests.fakes.ports import FixedClock


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Curation]:
    """A yard that holds one image, not submitted."""
    database = await Database.open(tmp_path / "yard.db", clock=FixedClock(NOW))
    try:
        async with database.transaction() as transaction:
            await transaction.execute(
                "INSERT INTO content (digest, media_type, data, stored_at) VALUES (?, 'x', x'7b7d', ?)",
                (DIGEST, timestamp(NOW)),
            )
            await transaction.execute(
                "INSERT INTO image (digest, media_type, artifact_type, kind, framework, engine, type, platforms,"
                " recorded_at) VALUES (?, 'x', '', 'image', 'nim', '', 'chat', '[]', ?)",
                (DIGEST, timestamp(NOW)),
            )
        yield Curation(database, policy(None, SCAN, approvals=2))
    finally:
        await database.close()


async def correct(yard: Curation, name: str, value: str | None, by: Actor = ROBIN) -> None:
    """Set a property as the library does, or take that back, and look at the candidate again."""
    async with yard.database.transaction() as transaction:
        await transaction.execute(
            "INSERT OR REPLACE INTO classification (digest, name, value, evidence, confidence, set_value, set_by)"
            " VALUES (?, ?, 'chat', 'x', 0.5, ?, ?)",
            (DIGEST, name, value, by.name if value else None),
        )
        await evidence_sets.refresh_if_submitted(transaction, DIGEST, yard.now)


async def test_a_correction_changes_what_a_decision_binds_to_and_taking_it_back_too(yard: Curation) -> None:
    await yard.submit()
    await yard.collect(report_record())
    shown = await yard.hash()
    await yard.keep()
    await correct(yard, "type", "embedding")
    assert [each.facts.digest for each in await yard.keep()] == [DIGEST]
    with pytest.raises(ConflictError) as caught:
        await yard.decide(MIRA, shown=shown)
    assert caught.value.conflicts == ("type was corrected: embedding",)
    corrected = await yard.hash()
    await yard.decide(MIRA, shown=corrected)
    (kept,) = await stored_sets(yard.database)
    assert kept.hash == corrected and kept.corrections == {"type": "embedding"}
    await correct(yard, "type", None)
    assert await yard.hash() == shown
    with pytest.raises(ConflictError, match="type is as it was derived again"):
        await yard.decide(KIM, shown=corrected)


async def test_a_correction_of_what_gates_do_not_read_changes_nothing(yard: Curation) -> None:
    await yard.submit()
    shown = await yard.hash()
    await correct(yard, "family", "bert")
    assert await yard.hash() == shown == evidence_hash(DIGEST, (), ()) == evidence_hash(DIGEST, (), (), {})


async def test_who_corrected_it_does_not_approve_it_and_the_queue_says_so(yard: Curation) -> None:
    await yard.submit()
    await yard.collect(report_record())
    await correct(yard, "type", "embedding", MIRA)
    with pytest.raises(RoleError, match="you corrected what is told of it"):
        await yard.decide(MIRA)
    assert "corrected" in (await yard.view(MIRA)).not_me
    for actor, refused in ((MIRA, True), (ROBIN, False)):
        (view,) = await queue.candidates(
            yard.database, {DIGEST: image()}, policy=yard.policy, actor=actor, now=yard.now
        )
        assert bool(view.not_me) is refused
    await yard.decide(ROBIN)
    await correct(yard, "type", None)
    await yard.decide(MIRA)


async def test_what_was_corrected_before_it_was_submitted_counts_too(yard: Curation) -> None:
    await correct(yard, "type", "embedding")
    async with yard.database.transaction() as transaction:
        await submit_many(transaction, [image()], actor=KIM, at=NOW)
    found = await load(yard.database, DIGEST)
    assert found.evidence_hash == evidence_hash(DIGEST, (), (), {"type": "embedding"})
    assert found.corrected_by == ("robin",)
