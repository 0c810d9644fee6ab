"""A person at a yard's database in a process of their own: `python -m tests.fakes.curation_process PATH NAME VERDICT`.

The name may be followed by groups: `mira:security,platform`; then policy asks for one of security and one of platform.
It waits for a line on stdin, decides on the one candidate there is, and prints how that ended.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

import msgspec

from backend.core.errors import ModelyardError
from backend.core.ports import RandomIds
from backend.curation import store
from backend.curation.candidates import load
from backend.curation.decisions import Verdict
from backend.store.connection import Database
from tests.fakes.curation import DIGEST, NOW, image, permit, person, policy
from tests.fakes.ports import FixedClock

BY_GROUP = ({"group": "security"}, {"group": "platform"})


async def decide(path: Path, name: str, verdict: Verdict) -> str:
    """Decide as everybody does: look, then decide on what was seen."""
    name, _, groups = name.partition(":")
    actor = msgspec.structs.replace(person(name), groups=tuple(groups.split(",")) if groups else ())
    rules = policy(None, require=BY_GROUP) if groups else policy(None, approvals=2)
    database = await Database.open(path, clock=FixedClock(NOW), patience=timedelta(seconds=60))
    try:
        shown = (await load(database, DIGEST)).evidence_hash
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        async with database.transaction() as transaction:
            await store.record_decision(
                transaction, permit(f"queue.{verdict.value}", actor), verdict=verdict, facts=image(),
                reason="looked at it", shown_evidence=shown, policy=rules, ids=RandomIds(), at=NOW,
            )  # fmt: skip
    except ModelyardError as error:
        return type(error).__name__
    finally:
        await database.close()
    return "decided"


if __name__ == "__main__":
    answer = asyncio.run(decide(Path(sys.argv[1]), sys.argv[2], Verdict(sys.argv[3])))
    sys.stdout.write(answer + "\n")
