"""Snapshots and intents in a real database: what was applied can be returned to, what was cut off is found again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from backend.core.errors import NotFoundError, UsageError
from backend.serving.snapshots import (
    Intent,
    Outcome,
    became,
    begin,
    choose,
    complete,
    open_intents,
    snapshot_view,
    snapshots,
)
from backend.store.connection import Database
from tests.fakes.ports import FixedClock

AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture
async def database(tmp_path: Path, clock: FixedClock) -> AsyncIterator[Database]:
    opened = await Database.open(tmp_path / "modelyard.db", clock=clock)
    try:
        yield opened
    finally:
        await opened.close()


def _intent(number: int, image: str = "r.example/x@sha256:1", **replaced: Any) -> Intent:
    manifest = {"kind": "InferenceService", "metadata": {"name": "chat"}, "spec": {"image": image, "list": [{"a": 1}]}}
    values: dict[str, Any] = {
        "id": f"{number:032x}",
        "context": "prod",
        "cluster_id": "c",
        "namespace": "llm",
        "name": "chat",
        "image": image,
        "plan": "sha256:p",
        "manifests": (manifest,),
        "deployment": "name: chat\n",
        "note": "",
        "actor": "robin",
        "started_at": AT,
    }
    return Intent(**values | replaced)


async def _done(database: Database, intent: Intent, outcome: Outcome = Outcome.APPLIED) -> str:
    async with database.transaction() as transaction:
        await begin(transaction, intent)
    async with database.transaction() as transaction:
        return await complete(transaction, intent, outcome, at=AT)


async def test_an_apply_that_was_cut_off_is_found_on_return(database: Database) -> None:
    async with database.transaction() as transaction:
        await begin(transaction, _intent(1))
    assert await open_intents(database) == (_intent(1),)
    assert await open_intents(database, before=AT) == ()
    async with database.transaction() as transaction:
        assert await complete(transaction, _intent(1), Outcome.NOT_APPLIED, at=AT) == ""
    assert await open_intents(database) == ()
    assert await snapshots(database, "prod", "llm", "chat") == ()


async def test_what_was_applied_can_be_returned_to_newest_first(database: Database) -> None:
    first = await _done(database, _intent(1, "a"))
    second = await _done(database, _intent(2, "b"))
    held = await snapshots(database, "prod", "llm", "chat")
    assert [one.id for one in held] == [second, first]
    assert held[0].intent.manifests == _intent(2, "b").manifests
    view = snapshot_view(held[1], still_approved=True)
    assert (view.id, view.image, view.actor, view.at) == (first, "a", "robin", AT)
    assert await snapshots(database, "other", "llm", "chat") == ()


async def test_the_same_again_makes_no_new_snapshot(database: Database) -> None:
    first = await _done(database, _intent(1))
    assert await _done(database, _intent(2), Outcome.UNCHANGED) == first
    assert len(await snapshots(database, "prod", "llm", "chat")) == 1
    await _done(database, _intent(3, "b"))
    assert await _done(database, _intent(4)) == _intent(4).id


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.FAILED, Outcome.NOT_APPLIED])
async def test_what_did_not_come_about_is_no_snapshot(database: Database, outcome: Outcome) -> None:
    assert await _done(database, _intent(1), outcome) == ""
    assert await snapshots(database, "prod", "llm", "chat") == ()


async def test_a_second_end_changes_nothing(database: Database) -> None:
    await _done(database, _intent(1), Outcome.REFUSED)
    async with database.transaction() as transaction:
        await complete(transaction, _intent(1), Outcome.FAILED, at=AT)
    row = await database.fetch_one("SELECT outcome FROM apply_intent")
    assert row is not None
    assert row["outcome"] == "refused"


async def test_the_snapshot_to_return_to(database: Database) -> None:
    await _done(database, _intent(0xABC << 116, "a"))
    await _done(database, _intent(0xABD << 116, "b"))
    held = await snapshots(database, "prod", "llm", "chat")
    assert choose(held, None, "llm/chat").intent.image == "a"
    assert choose(held, held[0].id[:8], "llm/chat").intent.image == "b"
    with pytest.raises(NotFoundError) as caught:
        choose(held, "ffffffff", "llm/chat")
    assert held[0].id[:12] in caught.value.action
    with pytest.raises(UsageError):
        choose(held, "ab", "llm/chat")
    with pytest.raises(NotFoundError, match="no snapshot before"):
        choose(held[:1], None, "llm/chat")
    with pytest.raises(NotFoundError, match="nothing was applied"):
        choose((), None, "llm/chat")


def _live(spec: dict[str, Any], time: str = "2026-11-20T12:00:01Z", operation: str = "Apply") -> dict[str, Any]:
    return {
        "kind": "InferenceService",
        "metadata": {
            "name": "chat",
            "uid": "u",
            "managedFields": [
                {"manager": "kserve", "operation": "Update", "time": time},
                {"manager": "modelyard", "operation": operation, "time": time},
            ],
        },
        "spec": spec,
    }


@pytest.mark.parametrize(
    ("live", "outcome"),
    [
        (_live({"image": "a", "list": [{"a": 1, "default": 2}], "more": 3}), Outcome.APPLIED),
        (_live({"image": "b", "list": [{"a": 1}]}), Outcome.OVERWRITTEN),
        (_live({"image": "a", "list": []}), Outcome.OVERWRITTEN),
        (_live({"image": "b"}, "2026-11-20T10:00:00Z"), Outcome.NOT_APPLIED),
        (_live({"image": "b"}, operation="Update"), Outcome.NOT_APPLIED),
        (None, Outcome.NOT_APPLIED),
    ],
)
def test_what_became_of_an_apply_that_was_cut_off(live: dict[str, Any] | None, outcome: Outcome) -> None:
    assert became(_intent(1, "a"), [live]) is outcome
