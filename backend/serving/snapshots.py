"""What was applied, kept so that it can be returned to; and applies that were cut off, found again on return.

KServe's Standard mode keeps no revisions, and its controller reverts `kubectl rollout undo`.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Literal, Protocol

import msgspec

from backend.cluster.client import FIELD_MANAGER
from backend.cluster.objects import parsed_time
from backend.core.canonical import canonical_json, hash_of
from backend.core.errors import NotFoundError, UsageError
from backend.core.ports import instant, timestamp
from backend.core.views import SnapshotView
from backend.store.connection import Database, SqlValue, Transaction

_SHORTEST_PREFIX: Final = 6
_DIGEST: Final = re.compile(r"sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128})")
#: How far the API server's clock and ours may differ.
_CLOCK_SKEW: Final = timedelta(minutes=5)
_COLUMNS: Final = (
    "id, context, cluster_id, namespace, name, image, plan, manifests, deployment, note, actor, started_at, subject,"
    " decisions, take, before, process"
)


class Reader(Protocol):
    """Reads the database, inside a transaction or outside."""

    async def fetch_all(self, sql: str, parameters: Sequence[SqlValue] = ()) -> list[sqlite3.Row]: ...


class Outcome(StrEnum):
    """What became of an apply."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    OVERWRITTEN = "overwritten"
    REFUSED = "refused"
    FAILED = "failed"
    NOT_APPLIED = "not applied"


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """An apply that somebody decided on.

    Attributes:
        id: also the snapshot's, when it comes about.
        cluster_id: UID of the cluster's `kube-system`, or empty when it may not be read.
        plan: id of the plan. deployment: the file that it was made from, YAML; empty for a foreign manifest.
        subject: service or runtime. decisions: ids of those that the approval of the image rests on.
        take: fields of others that a person named. before: the objects as the plan saw them, in the order of the
            manifests, None where there was none; empty: not kept.
        process: that applies, `host pid`.
    """

    id: str
    context: str
    cluster_id: str
    namespace: str
    name: str
    image: str
    plan: str
    manifests: tuple[dict[str, Any], ...]
    deployment: str
    note: str
    actor: str
    started_at: datetime
    subject: Literal["service", "runtime"] = "service"
    decisions: tuple[str, ...] = ()
    take: tuple[str, ...] = ()
    before: tuple[dict[str, Any] | None, ...] = ()
    process: str = ""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """An apply that came about, and when."""

    intent: Intent
    at: datetime

    @property
    def id(self) -> str:
        """The snapshot's id."""
        return self.intent.id


async def begin(transaction: Transaction, intent: Intent) -> None:
    """Record that an apply is about to be sent. Commit before sending it."""
    await transaction.execute(
        f"INSERT INTO apply_intent ({_COLUMNS}) VALUES ({', '.join('?' * 17)})",  # noqa: S608 - constant
        (
            intent.id,
            intent.context,
            intent.cluster_id,
            intent.namespace,
            intent.name,
            intent.image,
            intent.plan,
            canonical_json(list(intent.manifests)).decode(),
            intent.deployment,
            intent.note,
            intent.actor,
            timestamp(intent.started_at),
            intent.subject,
            json.dumps(intent.decisions),
            json.dumps(intent.take),
            canonical_json(list(intent.before)).decode(),
            intent.process,
        ),
    )


async def complete(
    transaction: Transaction, intent: Intent, outcome: Outcome, *, at: datetime, detail: str = ""
) -> str:
    """Record what became of an apply.

    Returns:
        id of the snapshot that can be returned to: this one, or the last one where nothing changed since; empty when
        the apply did not come about.
    """
    await transaction.execute(
        "UPDATE apply_intent SET ended_at = ?, outcome = ?, detail = ? WHERE id = ? AND ended_at IS NULL",
        (timestamp(at), outcome.value, detail, intent.id),
    )
    if outcome not in {Outcome.APPLIED, Outcome.UNCHANGED, Outcome.OVERWRITTEN}:
        return ""
    manifest_hash = hash_of(list(intent.manifests))
    last = await transaction.fetch_one(
        "SELECT snapshot.id, manifest_hash FROM snapshot JOIN apply_intent ON apply_intent.id = snapshot.id"
        " WHERE snapshot.context = ? AND snapshot.namespace = ? AND snapshot.name = ? AND subject = ?"
        " ORDER BY position DESC LIMIT 1",
        (intent.context, intent.namespace, intent.name, intent.subject),
    )
    if last is not None and last["manifest_hash"] == manifest_hash:
        return str(last["id"])
    await transaction.execute(
        "INSERT INTO snapshot (id, context, namespace, name, manifest_hash, at) VALUES (?, ?, ?, ?, ?, ?)",
        (intent.id, intent.context, intent.namespace, intent.name, manifest_hash, timestamp(at)),
    )
    return intent.id


async def release(transaction: Transaction, intent: Intent) -> None:
    """Record that its process is done with an apply, of which it is not known what became of it."""
    await transaction.execute("UPDATE apply_intent SET process = '' WHERE id = ? AND ended_at IS NULL", (intent.id,))


async def open_intents(database: Database, *, before: datetime | None = None) -> tuple[Intent, ...]:
    """Applies of which it is not recorded what became of them, oldest first.

    Args:
        before: only those begun before this instant, so that one under way elsewhere is left alone; None: all.
    """
    rows = await database.fetch_all(
        f"SELECT {_COLUMNS} FROM apply_intent WHERE ended_at IS NULL AND started_at < ? ORDER BY started_at",  # noqa: S608 - constant
        ("9999" if before is None else timestamp(before),),
    )
    return tuple(_intent(row) for row in rows)


async def snapshots(
    database: Database, context: str, namespace: str, name: str, *, subject: str = "service"
) -> tuple[Snapshot, ...]:
    """What a service can be returned to, newest first; or what was applied of a runtime."""
    columns = ", ".join(f"apply_intent.{column}" for column in _COLUMNS.split(", "))
    rows = await database.fetch_all(
        f"SELECT {columns}, snapshot.at AS at FROM snapshot JOIN apply_intent ON apply_intent.id = snapshot.id"  # noqa: S608 - constant
        " WHERE snapshot.context = ? AND snapshot.namespace = ? AND snapshot.name = ? AND apply_intent.subject = ?"
        " ORDER BY snapshot.position DESC",
        (context, namespace, name, subject),
    )
    return tuple(Snapshot(intent=_intent(row), at=instant(row["at"])) for row in rows)


async def newest_snapshots(database: Database, context: str) -> dict[tuple[str, str], Snapshot]:
    """By namespace and name, what was applied last to each service of a cluster."""
    columns = ", ".join(f"apply_intent.{column}" for column in _COLUMNS.split(", "))
    rows = await database.fetch_all(
        f"SELECT {columns}, snapshot.at AS at FROM snapshot JOIN apply_intent ON apply_intent.id = snapshot.id"  # noqa: S608 - constant
        " WHERE snapshot.position IN"
        " (SELECT max(position) FROM snapshot JOIN apply_intent ON apply_intent.id = snapshot.id"
        " WHERE snapshot.context = ? AND subject = 'service' GROUP BY snapshot.namespace, snapshot.name)",
        (context,),
    )
    held = [Snapshot(intent=_intent(row), at=instant(row["at"])) for row in rows]
    return {(one.intent.namespace, one.intent.name): one for one in held}


async def with_the_one_before(database: Database, snapshot: str) -> tuple[Snapshot, ...]:
    """A snapshot and the one of the same service before it, as far as there are such."""
    columns = ", ".join(f"apply_intent.{column}" for column in _COLUMNS.split(", "))
    rows = await database.fetch_all(
        f"SELECT {columns}, snapshot.at AS at FROM snapshot JOIN apply_intent ON apply_intent.id = snapshot.id"  # noqa: S608 - constant
        " JOIN snapshot AS chosen ON chosen.context = snapshot.context AND chosen.namespace = snapshot.namespace"
        " AND chosen.name = snapshot.name AND snapshot.position <= chosen.position"
        " WHERE chosen.id = ? AND apply_intent.subject = 'service' ORDER BY snapshot.position DESC LIMIT 2",
        (snapshot,),
    )
    return tuple(Snapshot(intent=_intent(row), at=instant(row["at"])) for row in rows)


async def naming(reader: Database, digest: str) -> tuple[tuple[str, str], ...]:
    """Snapshots whose service names an image, `context/namespace/name` and the snapshot's id, newest first.

    Of a serving runtime it is `context/namespace/runtime/name`.

    Raises:
        StoreError: the database cannot be read.
    """
    rows = await reader.fetch_all(
        "SELECT snapshot.context, snapshot.namespace, snapshot.name, snapshot.id, subject FROM snapshot"
        " JOIN apply_intent ON apply_intent.id = snapshot.id"
        " WHERE instr(apply_intent.image, ?) OR instr(apply_intent.manifests, ?) ORDER BY snapshot.position DESC",
        (digest, digest),
    )
    return tuple(
        (
            f"{row['context']}/{row['namespace']}/{'runtime/' if row['subject'] == 'runtime' else ''}{row['name']}",
            row["id"],
        )
        for row in rows
    )


async def digests_held(reader: Reader) -> frozenset[str]:
    """Every digest that a snapshot, or an apply that is under way, names: what a rollback may need."""
    rows = await reader.fetch_all(
        "SELECT manifests FROM apply_intent WHERE ended_at IS NULL OR id IN (SELECT id FROM snapshot)"
    )
    return frozenset(digest for row in rows for digest in _DIGEST.findall(row["manifests"]))


def choose(held: Sequence[Snapshot], wanted: str | None, service: str) -> Snapshot:
    """The snapshot to return to.

    Args:
        held: newest first.
        wanted: an id or six or more of its first characters; None: the one before the newest.
        service: for errors.

    Raises:
        NotFoundError: there is none such.
        UsageError: the characters fit several, or are too few.
    """
    what = f"rollback of {service}"
    if wanted is None:
        if len(held) < 2:
            if not held:
                raise NotFoundError(what, "nothing was applied here yet", "apply a deployment file instead")
            raise NotFoundError(
                what,
                "there is no snapshot before the newest",
                f"return to the newest itself, where others wrote it since (--to {held[0].id[:12]})",
            )
        return held[1]
    if len(wanted) < _SHORTEST_PREFIX:
        raise UsageError(what, f"{wanted!r} is too short for a snapshot", f"give {_SHORTEST_PREFIX} or more characters")
    found = [snapshot for snapshot in held if snapshot.id.startswith(wanted)]
    if not found:
        known = ", ".join(snapshot.id[:12] for snapshot in held[:5]) or "none"
        raise NotFoundError(what, f"there is no snapshot {wanted!r}", f"known: {known}")
    if len(found) > 1:
        raise UsageError(what, f"{wanted!r} fits {len(found)} snapshots", "give more characters")
    return found[0]


def snapshot_view(snapshot: Snapshot, *, still_approved: bool, proved: str = "", good: bool = False) -> SnapshotView:
    """The snapshot as it is shown."""
    intent = snapshot.intent
    return SnapshotView(
        id=snapshot.id,
        context=intent.context,
        namespace=intent.namespace,
        name=intent.name,
        image=intent.image,
        actor=intent.actor,
        at=snapshot.at,
        note=intent.note,
        still_approved=still_approved,
        proved=proved,
        good=good,
        decisions=intent.decisions,
    )


def became(intent: Intent, live: Sequence[Mapping[str, Any] | None]) -> Outcome:
    """What became of an apply that was cut off, from the objects as the cluster has them now.

    Args:
        live: in the order of the intent's manifests; None: there is no such object.
    """
    found = list(zip(standing(intent, live), live, strict=True))
    if all(state == "applied" for state, _ in found):
        return Outcome.APPLIED
    if all(
        state == "applied" or (state == "changed" and object_ is not None and _we_wrote_since(object_, intent))
        for state, object_ in found
    ):
        return Outcome.OVERWRITTEN
    return Outcome.NOT_APPLIED


def standing(intent: Intent, live: Sequence[Mapping[str, Any] | None]) -> tuple[str, ...]:
    """How each object of an apply stands: applied, not applied, absent, or changed: neither as wanted nor as before.

    Args:
        live: in the order of the intent's manifests; None: there is no such object.
    """
    states = []
    for position, (manifest, object_) in enumerate(zip(intent.manifests, live, strict=True)):
        if object_ is None:
            states.append("absent")
        elif _holds(object_, manifest):
            states.append("applied")
        elif position < len(intent.before):
            before = intent.before[position]
            states.append("not applied" if before is not None and _holds(object_, before) else "changed")
        else:
            states.append("changed" if _we_wrote_since(object_, intent) else "not applied")
    return tuple(states)


def _holds(live: Any, wanted: Any) -> bool:
    """Whether everything that was wanted is so."""
    if isinstance(wanted, Mapping):
        return isinstance(live, Mapping) and all(key in live and _holds(live[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return (
            isinstance(live, list)
            and len(live) == len(wanted)
            and all(_holds(one, other) for one, other in zip(live, wanted, strict=True))
        )
    return bool(live == wanted)


def _we_wrote_since(live: Mapping[str, Any], intent: Intent) -> bool:
    for entry in (live.get("metadata") or {}).get("managedFields") or ():
        if entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply":
            at = parsed_time(entry.get("time"))
            return at is not None and at >= intent.started_at - _CLOCK_SKEW
    return False


def _intent(row: sqlite3.Row) -> Intent:
    return Intent(
        id=row["id"],
        context=row["context"],
        cluster_id=row["cluster_id"],
        namespace=row["namespace"],
        name=row["name"],
        image=row["image"],
        plan=row["plan"],
        manifests=tuple(json.loads(row["manifests"])),
        deployment=row["deployment"],
        note=row["note"],
        actor=row["actor"],
        started_at=instant(row["started_at"]),
        subject=row["subject"],
        decisions=tuple(json.loads(row["decisions"])),
        take=tuple(json.loads(row["take"])),
        before=tuple(json.loads(row["before"])),
        process=row["process"],
    )
