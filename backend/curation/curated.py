"""The curated library: what is approved, unexpired and unrevoked, derived from decisions and never set by hand."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from backend.core.views import ImageState
from backend.curation.candidates import Candidate, all_decisions, fetch_decided, fetch_queue, read_decided, read_queue
from backend.curation.decisions import Decision, Standing, is_approved_at, standing
from backend.evidence.store import Reader


async def approved_digests(reader: Reader, at: datetime) -> frozenset[str]:
    """The digests that were approved at an instant, now or earlier."""
    return approved_at(await all_decisions(reader), at)


def approved_at(decisions: Mapping[str, Sequence[Decision]], at: datetime) -> frozenset[str]:
    """The digests that were approved at an instant.

    Args:
        decisions: by digest, each in the order of recording.
    """
    return frozenset(digest for digest, made in decisions.items() if is_approved_at(made, at))


async def states(reader: Reader, policy_hash: str, now: datetime) -> dict[str, ImageState]:
    """Where each submitted digest stands now; what is missing was never submitted.

    Raises:
        StoreError: of its kind.
    """
    return states_of(read_queue(await fetch_queue(reader, evidence=False)).candidates, policy_hash, now)


async def decided_states(reader: Reader, policy_hash: str, now: datetime) -> dict[str, ImageState]:
    """The same as `states` of the digests that were ever decided on: every other that was submitted is a candidate.

    Raises:
        StoreError: of its kind.
    """
    rows = await fetch_decided(reader)
    # Thousands of decisions take longer to read than an event loop may be held up.
    return await asyncio.to_thread(lambda: states_of(read_decided(rows), policy_hash, now))


async def counts(reader: Reader, decided_on: Mapping[str, ImageState]) -> Counter[ImageState]:
    """How many of the submitted digests stand where.

    Args:
        decided_on: where those stand that were ever decided on.

    Raises:
        StoreError: of its kind.
    """
    rows = await reader.fetch_all("SELECT count(*) FROM candidate")
    found = Counter(decided_on.values())
    found[ImageState.CANDIDATE] += int(rows[0][0]) - len(decided_on)
    return found


def states_of(candidates: Iterable[Candidate], policy_hash: str, now: datetime) -> dict[str, ImageState]:
    """Where each submitted digest stands now."""
    return {digest: each.state for digest, each in standings_of(candidates, policy_hash, now).items()}


async def standings(reader: Reader, policy_hash: str, now: datetime) -> dict[str, Standing]:
    """The same as `states`, with what was approved beside the digests, and with break-glass."""
    return standings_of(read_queue(await fetch_queue(reader, evidence=False)).candidates, policy_hash, now)


def standings_of(candidates: Iterable[Candidate], policy_hash: str, now: datetime) -> dict[str, Standing]:
    """The same as `states_of`, with all that is known."""
    return {
        each.digest: standing(
            each.decisions, each.submissions, evidence_hash=each.evidence_hash, policy_hash=policy_hash, now=now
        )
        for each in candidates
    }
