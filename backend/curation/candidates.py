"""Candidates out of the database: one with everything, or all of them for the queue."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Final, NamedTuple, TypeVar

import msgspec

from backend.core.canonical import canonical_json
from backend.core.errors import NotFoundError
from backend.core.ports import instant, timestamp
from backend.core.references import short_digest
from backend.core.views import CommentView, ScopeView
from backend.curation.decisions import ANYTHING, Decision, Submission, Verdict, fold
from backend.curation.quorum import Requirement
from backend.curation.waivers import Waiver
from backend.evidence import store as evidence_store
from backend.evidence.facts import ImageFacts
from backend.evidence.store import Reader

_Row = TypeVar("_Row")
_DECISION_COLUMNS: Final = (
    "seq, id, digest, reference, verdict, actor, at, reason, ticket, evidence_hash, policy_hash, approvals_needed,"
    " expires_at, person, actor_groups, actor_roles, requirements, automatic, stands_for, weights, runtime,"
    " environment, about, (SELECT after_seq FROM lapse WHERE lapse.id = decision.id) AS lapsed_after"
)
_SUBMISSION_COLUMNS: Final = "at, submitted_by, by_worker, rule, rule_author, after_seq"
_WAIVER_COLUMNS: Final = (
    "seq, id, digest, finding, owner, actor, reason, control, until, at,"
    " EXISTS (SELECT 1 FROM lapse WHERE lapse.id = waiver.id) AS lapsed"
)
_NAMES: Final = msgspec.json.Decoder(tuple[str, ...])
_REQUIREMENTS: Final = msgspec.json.Decoder(tuple[Requirement, ...])


class Candidate(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A digest that was submitted, with all that was decided on it.

    Attributes:
        registry, host, repository: where it was submitted from first.
        evidence_hash: over the evidence in force and the waivers.
        submissions, decisions, waivers: in the order of recording.
        corrected_by: who set what is told of it in place of what was derived.
    """

    digest: str
    registry: str
    host: str
    repository: str
    evidence_hash: str
    submissions: tuple[Submission, ...]
    decisions: tuple[Decision, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    corrected_by: tuple[str, ...] = ()

    @property
    def submitted(self) -> Submission:
        """The submission that opened it last."""
        return self.submissions[-1]

    def facts(self) -> ImageFacts:
        """What is known of it without the catalogue."""
        return ImageFacts(
            digest=self.digest,
            registry=self.registry,
            host=self.host,
            repository=self.repository,
            rules=tuple({each.rule: None for each in self.submissions if each.rule}),
        )


class QueueRows(NamedTuple):
    """What the queue is read from; of candidates that were assessed already, that instead of their evidence."""

    candidates: list[sqlite3.Row]
    submissions: list[sqlite3.Row]
    decisions: list[sqlite3.Row]
    waivers: list[sqlite3.Row]
    corrections: list[sqlite3.Row]
    waivable: dict[str, dict[str, dict[str, int]]]


class QueueData(msgspec.Struct, frozen=True, kw_only=True):
    """What the queue is built from.

    Attributes:
        summaries: evidence in force, by digest, as `backend.evidence.store.decode_summaries` reads it; empty where it
            was not asked for.
        assessed: by digest, as `backend.curation.assessments` reads it; empty: not assessed with what is known now.
        waivable: by report, by vulnerability that has a waiver, by severity: how many findings.
    """

    candidates: tuple[Candidate, ...]
    summaries: Mapping[str, str]
    assessed: Mapping[str, str]
    waivable: Mapping[str, Mapping[str, Mapping[str, int]]]


async def load(reader: Reader, digest: str) -> Candidate:
    """One candidate.

    Raises:
        NotFoundError: the digest was never submitted.
        StoreError: of its kind.
    """
    rows = await reader.fetch_all(
        "SELECT digest, registry, host, repository, evidence_hash FROM candidate WHERE digest = ?", (digest,)
    )
    if not rows:
        raise NotFoundError(
            f"candidate {short_digest(digest)}", "it was never submitted", "synchronise the rule that takes it in"
        )
    submissions = await reader.fetch_all(
        f"SELECT {_SUBMISSION_COLUMNS} FROM submission WHERE digest = ? ORDER BY seq",  # noqa: S608 - constant columns
        (digest,),
    )
    decisions = await decisions_of(reader, digest)
    corrections = await reader.fetch_all("SELECT DISTINCT actor FROM correction WHERE digest = ?", (digest,))
    return Candidate(
        **dict(rows[0]),
        submissions=tuple(_submission(row) for row in submissions),
        decisions=tuple(decisions),
        waivers=tuple(await waivers_of(reader, digest)),
        corrected_by=tuple(row["actor"] for row in corrections),
    )


async def approved_before(reader: Reader, candidate: Candidate) -> Candidate | None:
    """The other image of the same repository that was approved last and not revoked; None: there is none."""
    rows = await reader.fetch_all(
        "SELECT digest FROM candidate WHERE registry = ? AND repository = ? AND digest <> ?"
        " AND digest IN (SELECT digest FROM decision WHERE verdict = 'approve')",
        (candidate.registry, candidate.repository, candidate.digest),
    )
    others = [await load(reader, row["digest"]) for row in rows]
    return next(iter(by_approval(others).get((candidate.registry, candidate.repository), ())), None)


def by_approval(candidates: Iterable[Candidate]) -> dict[tuple[str, str], list[Candidate]]:
    """The images of each registry and repository that were approved and not revoked, the last approved first."""
    found: dict[tuple[str, str], list[tuple[int, Candidate]]] = defaultdict(list)
    for each in candidates:
        approved = fold(each.decisions).approved if each.decisions else ()
        if approved:
            found[each.registry, each.repository].append((approved[-1].seq, each))
    return {
        where: [each for _, each in sorted(approvals, key=lambda pair: -pair[0])] for where, approvals in found.items()
    }


class DecidedRows(NamedTuple):
    """What the candidates that were ever decided on are read from, without evidence and waivers."""

    candidates: list[sqlite3.Row]
    submissions: list[sqlite3.Row]
    decisions: list[sqlite3.Row]


async def fetch_decided(reader: Reader) -> DecidedRows:
    """The rows of the candidates that were ever decided on; `read_decided` makes sense of them, off the event loop."""
    return DecidedRows(
        candidates=await reader.fetch_all(
            "SELECT digest, registry, host, repository, evidence_hash FROM candidate"
            " WHERE digest IN (SELECT digest FROM decision)"
        ),
        submissions=await reader.fetch_all(
            f"SELECT {_SUBMISSION_COLUMNS}, digest FROM submission"  # noqa: S608 - constant columns
            " WHERE digest IN (SELECT digest FROM decision) ORDER BY seq"
        ),
        decisions=await reader.fetch_all(
            f"SELECT {_DECISION_COLUMNS} FROM decision ORDER BY seq"  # noqa: S608 - constant columns
        ),
    )


def read_decided(rows: DecidedRows) -> list[Candidate]:
    """The candidates that were ever decided on, with their decisions and submissions."""
    submissions = _grouped(rows.submissions, _submission)
    decisions = _grouped(rows.decisions, _decision)
    return [
        Candidate(**dict(row), submissions=tuple(submissions[row["digest"]]), decisions=tuple(decisions[row["digest"]]))
        for row in rows.candidates
    ]


async def fetch_queue(
    reader: Reader, *, assessed_by: str | None = None, now: datetime | None = None, evidence: bool = True
) -> QueueRows:
    """The rows that the queue is read from; `read_queue` makes sense of them, off the event loop.

    Args:
        assessed_by: hash of a policy: candidates that were assessed by it come with that instead of their evidence, as
            long as it holds.
        now: for which it has to hold.
        evidence: whether the evidence is wanted at all, and not only what was decided.
    """
    at = timestamp(now) if now is not None else ""
    waivers = await reader.fetch_all(f"SELECT {_WAIVER_COLUMNS} FROM waiver ORDER BY seq")  # noqa: S608 - constant columns
    pairs: dict[str, set[str]] = defaultdict(set)
    for row in waivers:
        pairs[row["digest"]].add(row["finding"])
    return QueueRows(
        candidates=await reader.fetch_all(
            "SELECT made.digest, registry, host, repository, made.evidence_hash,"
            " iif(kept.digest IS NULL AND ?1, summaries, '[]') AS summaries, coalesce(kept.data, '') AS assessed"
            " FROM candidate AS made LEFT JOIN assessment AS kept ON kept.digest = made.digest"
            "  AND kept.evidence_hash = made.evidence_hash AND kept.policy_hash = ?2 AND kept.at <= ?3"
            "  AND (kept.until IS NULL OR kept.until > ?3) ORDER BY made.rowid",
            (int(evidence), assessed_by or "", at),
        ),
        submissions=await reader.fetch_all(
            f"SELECT {_SUBMISSION_COLUMNS}, digest FROM submission ORDER BY seq"  # noqa: S608 - constant columns
        ),
        decisions=await reader.fetch_all(
            f"SELECT {_DECISION_COLUMNS} FROM decision ORDER BY seq"  # noqa: S608 - constant columns
        ),
        waivers=waivers,
        corrections=await reader.fetch_all("SELECT DISTINCT digest, actor FROM correction"),
        waivable=await evidence_store.severities_of(reader, pairs) if pairs and evidence else {},
    )


def read_queue(rows: QueueRows) -> QueueData:
    """All candidates, open and decided, in the order in which they were submitted first, and their evidence."""
    submissions = _grouped(rows.submissions, _submission)
    decisions = _grouped(rows.decisions, _decision)
    waivers = _grouped(rows.waivers, _waiver)
    corrected_by = _grouped(rows.corrections, lambda row: str(row["actor"]))
    return QueueData(
        candidates=tuple(
            Candidate(
                digest=digest,
                registry=registry,
                host=host,
                repository=repository,
                evidence_hash=hash_,
                submissions=tuple(submissions[digest]),
                decisions=tuple(decisions.get(digest, ())),
                waivers=tuple(waivers.get(digest, ())),
                corrected_by=tuple(corrected_by.get(digest, ())),
            )
            for digest, registry, host, repository, hash_, _, _ in rows.candidates
        ),
        summaries={row["digest"]: row["summaries"] for row in rows.candidates},
        assessed={row["digest"]: row["assessed"] for row in rows.candidates},
        waivable=rows.waivable,
    )


async def summaries_of(reader: Reader, digests: Iterable[str]) -> dict[str, str]:
    """Evidence in force on some candidates, as the queue's data has it."""
    rows = await reader.fetch_all(
        "SELECT digest, summaries FROM candidate WHERE digest IN (SELECT value FROM json_each(?))",
        (canonical_json(list(digests)).decode(),),
    )
    return {row["digest"]: row["summaries"] for row in rows}


async def decisions_of(reader: Reader, digest: str) -> list[Decision]:
    """All decisions on a digest, in the order in which they were recorded."""
    rows = await reader.fetch_all(
        f"SELECT {_DECISION_COLUMNS} FROM decision WHERE digest = ? ORDER BY seq",  # noqa: S608 - constant columns
        (digest,),
    )
    return [_decision(row) for row in rows]


async def waivers_of(reader: Reader, digest: str) -> list[Waiver]:
    """All waivers granted on a digest, in the order in which they were granted."""
    rows = await reader.fetch_all(
        f"SELECT {_WAIVER_COLUMNS} FROM waiver WHERE digest = ? ORDER BY seq",  # noqa: S608 - constant columns
        (digest,),
    )
    return [_waiver(row) for row in rows]


async def decision_of(reader: Reader, id: str) -> Decision:
    """One decision by its identifier, or by the first characters of it that no other has.

    Raises:
        NotFoundError: there is none such, or several begin so.
    """
    rows = await reader.fetch_all(
        f"SELECT {_DECISION_COLUMNS} FROM decision WHERE substr(id, 1, length(?1)) = ?1 LIMIT 2",  # noqa: S608 - constant columns
        (id,),
    )
    if len(rows) != 1 or not id:
        raise NotFoundError(
            f"decision {id[:40]!r}",
            "several begin so" if rows and id else "there is none",
            "name it as modelyard queue show prints it",
        )
    return _decision(rows[0])


async def comments_of(reader: Reader, digest: str) -> list[CommentView]:
    """What was said of a digest, the oldest first."""
    rows = await reader.fetch_all(
        "SELECT actor, at, text, ticket FROM comment WHERE digest = ? ORDER BY seq", (digest,)
    )
    return [
        CommentView(actor=row["actor"], at=instant(row["at"]), text=row["text"], ticket=row["ticket"]) for row in rows
    ]


async def broken_glass(reader: Reader) -> list[Decision]:
    """All break-glass decisions and their reviews, in the order of recording."""
    rows = await reader.fetch_all(
        f"SELECT {_DECISION_COLUMNS} FROM decision WHERE verdict IN ('break-glass', 'review') ORDER BY seq"  # noqa: S608 - constant columns
    )
    return [_decision(row) for row in rows]


async def all_decisions(reader: Reader, digests: Iterable[str] | None = None) -> dict[str, list[Decision]]:
    """All decisions by digest, each in the order in which they were recorded.

    Args:
        digests: of these only; None: of all.
    """
    if digests is None:
        rows = await reader.fetch_all(f"SELECT {_DECISION_COLUMNS} FROM decision ORDER BY seq")  # noqa: S608 - constant columns
    else:
        rows = await reader.fetch_all(
            f"SELECT {_DECISION_COLUMNS} FROM decision"  # noqa: S608 - constant columns
            " WHERE digest IN (SELECT value FROM json_each(?)) ORDER BY seq",
            (canonical_json(list(digests)).decode(),),
        )
    return _grouped(rows, _decision)


def _grouped(rows: Iterable[sqlite3.Row], read: Callable[[sqlite3.Row], _Row]) -> dict[str, list[_Row]]:
    found: dict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        found[row["digest"]].append(read(row))
    return found


def _submission(row: sqlite3.Row) -> Submission:
    return Submission(
        at=instant(row["at"]),
        by=row["submitted_by"],
        by_worker=bool(row["by_worker"]),
        rule=row["rule"],
        rule_author=row["rule_author"],
        after=row["after_seq"],
    )


def _decision(row: sqlite3.Row) -> Decision:
    weights, runtime, environment = row["weights"], row["runtime"], row["environment"]
    fixed = weights or runtime or environment
    return Decision(
        seq=row["seq"],
        id=row["id"],
        digest=row["digest"],
        reference=row["reference"],
        verdict=Verdict(row["verdict"]),
        actor=row["actor"],
        at=instant(row["at"]),
        reason=row["reason"],
        ticket=row["ticket"],
        evidence_hash=row["evidence_hash"],
        policy_hash=row["policy_hash"],
        approvals_needed=row["approvals_needed"],
        expires_at=instant(row["expires_at"]) if row["expires_at"] else None,
        person=row["person"],
        groups=_NAMES.decode(row["actor_groups"]),
        roles=_NAMES.decode(row["actor_roles"]),
        requirements=_REQUIREMENTS.decode(row["requirements"]),
        automatic=bool(row["automatic"]),
        stands_for=row["stands_for"],
        scope=ScopeView(weights=weights, runtime=runtime, environment=environment) if fixed else ANYTHING,
        about=row["about"],
        lapsed_after=row["lapsed_after"],
    )


def _waiver(row: sqlite3.Row) -> Waiver:
    columns = dict(row)
    ended = bool(columns.pop("lapsed"))
    return Waiver(**{**columns, "until": instant(columns["until"]), "at": instant(columns["at"]), "seen_ended": ended})
