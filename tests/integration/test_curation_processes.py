"""Several people in processes of their own on one database never decide twice."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from backend.core.actors import WORKER
from backend.core.views import ImageState
from backend.curation import store
from backend.curation.candidates import load
from backend.curation.curated import states
from backend.curation.decisions import Verdict
from backend.curation.people import count_people
from backend.curation.quorum import is_met
from backend.store.connection import Database
from tests.fakes.curation import DIGEST, NOW, image, permit, person, policy
from tests.fakes.curation_process import BY_GROUP
from tests.fakes.ports import FixedClock, NumberedIds

ROOT = Path(__file__).parents[2]
POLICY = policy(None, approvals=2)


def race(path: Path, people: Sequence[tuple[str, Verdict]]) -> list[str]:
    """Let a process for each person look, then let them all decide at once; tells how each ended."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.curation_process", str(path), name, verdict.value],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for name, verdict in people
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = []
    for process in processes:
        out, err = process.communicate(timeout=90)
        assert process.returncode == 0, err
        answers.append(out.strip())
    return answers


async def open_yard(path: Path) -> Database:
    return await Database.open(path, clock=FixedClock(NOW), patience=timedelta(seconds=30))


async def submitted(path: Path) -> None:
    database = await open_yard(path)
    async with database.transaction() as transaction:
        await store.submit(transaction, image(), actor=WORKER, at=NOW)
    await database.close()


async def test_of_many_approvers_at_once_exactly_as_many_as_needed_decide(tmp_path: Path) -> None:
    path = tmp_path / "yard.db"
    await submitted(path)
    answers = race(path, [(name, Verdict.APPROVE) for name in ("mira", "MIRA", "mira@corp", "robin", "kim", "sam")])
    counts = Counter(answers)
    assert counts["decided"] == 2 and counts["decided"] + counts["ConflictError"] + counts["RoleError"] == 6
    database = await open_yard(path)
    try:
        candidate = await load(database, DIGEST)
        assert len(candidate.decisions) == 2 == count_people(each.actor for each in candidate.decisions)
        assert (await states(database, POLICY.hash, NOW))[DIGEST] is ImageState.APPROVED
        rows = await database.fetch_all("SELECT action FROM ledger ORDER BY seq")
        assert [row["action"] for row in rows] == ["queue.submit", "queue.approve", "queue.approve"]
    finally:
        await database.close()


async def test_of_two_groups_at_once_one_of_each_is_enough_and_nobody_counts_for_both(tmp_path: Path) -> None:
    path = tmp_path / "yard.db"
    await submitted(path)
    people = ("sam:security", "lee:security", "SAM@corp:platform", "max:security,platform", "kim:platform")
    answers = race(path, [(name, Verdict.APPROVE) for name in people])
    assert set(answers) <= {"decided", "ConflictError", "RoleError"}
    database = await open_yard(path)
    try:
        made = (await load(database, DIGEST)).decisions
        asked = policy(None, require=BY_GROUP)
        state = (await states(database, asked.hash, NOW))[DIGEST]
    finally:
        await database.close()
    assert answers.count("decided") == len(made) == count_people(each.actor for each in made)
    before_last, everyone = ([each.approver for each in some] for some in (made[:-1], made))
    wanted = asked.requirements(image())
    # It ended with the first decision that was enough, whichever came first.
    assert state is ImageState.APPROVED and is_met(everyone, 1, wanted) and not is_met(before_last, 1, wanted)


async def test_one_revocation_of_many_takes_effect(tmp_path: Path) -> None:
    path = tmp_path / "yard.db"
    await submitted(path)
    database = await open_yard(path)
    ids = NumberedIds()
    for name in ("mira", "robin"):
        async with database.transaction() as transaction:
            await store.record_decision(
                transaction, permit("queue.approve", person(name)), verdict=Verdict.APPROVE, facts=image(),
                reason="x", shown_evidence=(await load(transaction, DIGEST)).evidence_hash, policy=POLICY, ids=ids,
                at=NOW,
            )  # fmt: skip
    await database.close()
    answers = race(path, [(name, Verdict.REVOKE) for name in ("kim", "sam", "mira", "robin")])
    assert sorted(answers) == ["ConflictError"] * 3 + ["decided"]


@pytest.mark.parametrize("verdicts", [(Verdict.APPROVE, Verdict.REJECT, Verdict.REJECT, Verdict.APPROVE)])
async def test_approvals_and_rejections_at_once_end_in_one_state(tmp_path: Path, verdicts: Sequence[Verdict]) -> None:
    path = tmp_path / "yard.db"
    await submitted(path)
    answers = race(path, list(zip(("mira", "robin", "kim", "sam"), verdicts, strict=True)))
    assert set(answers) <= {"decided", "ConflictError"}
    database = await open_yard(path)
    try:
        state = (await states(database, POLICY.hash, NOW))[DIGEST]
        recorded = [each.verdict for each in (await load(database, DIGEST)).decisions]
    finally:
        await database.close()
    assert answers.count("decided") == len(recorded)
    assert state is (ImageState.REJECTED if recorded[-1] is Verdict.REJECT else ImageState.APPROVED)
