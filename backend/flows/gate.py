"""The one way to a mutation, of the cluster or of a decision.

In this order: read-only, identity, role, the cluster's access review, policy, dry run, precondition, and the ledger.
A refusal at any of them is an entry of the ledger too. What passes gets a `Permit`, without which no adapter changes
anything.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Final, TypeVar

import msgspec

from backend.core.actors import WORKER, Actor, Role
from backend.core.canonical import Json
from backend.core.errors import (
    ConflictError,
    ModelyardError,
    ReadOnlyError,
    RefusedError,
    RoleError,
    StoreError,
)
from backend.core.permits import Permit
from backend.core.ports import Clock
from backend.core.views import LedgerEntryView
from backend.store import ledger
from backend.store.connection import Database

_LOG = logging.getLogger(__name__)
_Result = TypeVar("_Result")
_Check = Callable[[], Awaitable[None]]


class Reach(StrEnum):
    """What a mutation changes, and so how the ledger tells of it."""

    STORE = "store"  # one transaction holds the change and its entry
    FILE = "file"  # told like a cluster's change: the file is not part of the transaction
    CLUSTER = "cluster"  # an entry before, and one after that says how it ended


class Mutation(msgspec.Struct, frozen=True):
    """Something that changes a cluster, a decision or the library.

    Attributes:
        name: as permits and the ledger name it.
        role: who may ask for it.
        reach: what it changes.
        phrase: for messages: "to approve".
        by_worker: the worker does it too, on schedule.
        also: who else may ask for it.
    """

    name: str
    role: Role
    reach: Reach
    phrase: str
    by_worker: bool = False
    also: tuple[Role, ...] = ()

    def open_to(self, actor: Actor) -> bool:
        """Whether the actor's roles allow it."""
        return any(actor.may(role) for role in (self.role, *self.also)) or (actor is WORKER and self.by_worker)


MUTATIONS: Final[Mapping[str, Mutation]] = {
    mutation.name: mutation
    for mutation in (
        Mutation("library.correct", Role.CURATOR, Reach.STORE, "to correct what is told of an image"),
        Mutation("library.parent", Role.CURATOR, Reach.STORE, "to name parents of an image"),
        Mutation("library.prune", Role.OPERATOR, Reach.STORE, "to remove images from the library"),
        Mutation("library.synchronise", Role.OPERATOR, Reach.STORE, "to synchronise", by_worker=True),
        Mutation("library.cancel", Role.OPERATOR, Reach.STORE, "to stop a run"),
        Mutation("rules.write", Role.CURATOR, Reach.FILE, "to write rules"),
        Mutation("rules.remove", Role.CURATOR, Reach.FILE, "to remove rules"),
        Mutation("evidence.collect", Role.OPERATOR, Reach.STORE, "to collect evidence", by_worker=True),
        Mutation("evidence.import", Role.CURATOR, Reach.STORE, "to hand in evidence"),
        Mutation("evidence.assert", Role.CURATOR, Reach.STORE, "to assert a review"),
        Mutation("evidence.scan", Role.OPERATOR, Reach.STORE, "to scan"),
        Mutation("queue.approve", Role.APPROVER, Reach.STORE, "to approve"),
        Mutation("queue.reject", Role.APPROVER, Reach.STORE, "to reject"),
        Mutation("queue.revoke", Role.APPROVER, Reach.STORE, "to revoke"),
        Mutation("queue.waive", Role.APPROVER, Reach.STORE, "to waive"),
        Mutation("queue.break-glass", Role.APPROVER, Reach.STORE, "to break the glass"),
        Mutation("queue.review", Role.APPROVER, Reach.STORE, "to review a break-glass"),
        Mutation(
            "queue.comment", Role.APPROVER, Reach.STORE, "to comment", also=(Role.CURATOR, Role.OPERATOR, Role.ADMIN)
        ),
        Mutation("alert.keep", Role.OPERATOR, Reach.STORE, "to keep alerts", by_worker=True),
        Mutation(
            "alert.acknowledge",
            Role.OPERATOR,
            Reach.STORE,
            "to take an alert up",
            also=(Role.APPROVER, Role.CURATOR, Role.ADMIN),
        ),
        Mutation("alert.silence", Role.OPERATOR, Reach.STORE, "to silence alerts", also=(Role.ADMIN,)),
        Mutation("alert.lift", Role.OPERATOR, Reach.STORE, "to lift a silence", also=(Role.ADMIN,)),
        Mutation("policy.keep", Role.ADMIN, Reach.STORE, "to keep policy", by_worker=True),
        Mutation("queue.submit", Role.CURATOR, Reach.STORE, "to submit again", also=(Role.APPROVER,)),
        Mutation("deploy.apply", Role.OPERATOR, Reach.CLUSTER, "to apply"),
        Mutation("deploy.rollback", Role.OPERATOR, Reach.CLUSTER, "to roll back", by_worker=True),
        Mutation("deploy.promote", Role.OPERATOR, Reach.CLUSTER, "to promote", by_worker=True),
        Mutation("deploy.abort", Role.OPERATOR, Reach.CLUSTER, "to abort a canary"),
        Mutation("deploy.validate", Role.OPERATOR, Reach.CLUSTER, "to validate", by_worker=True),
        Mutation("deploy.scale", Role.OPERATOR, Reach.CLUSTER, "to scale"),
        Mutation("deploy.stop", Role.OPERATOR, Reach.CLUSTER, "to stop"),
        Mutation("deploy.exec", Role.OPERATOR, Reach.CLUSTER, "to open a shell"),
        Mutation("deploy.forward", Role.OPERATOR, Reach.CLUSTER, "to forward a port"),
        Mutation("deploy.weigh", Role.OPERATOR, Reach.CLUSTER, "to send traffic"),
        Mutation("deploy.start", Role.OPERATOR, Reach.CLUSTER, "to start"),
        Mutation("deploy.delete", Role.OPERATOR, Reach.CLUSTER, "to delete"),
        Mutation("runtime.apply", Role.OPERATOR, Reach.CLUSTER, "to install a runtime"),
        Mutation("deploy.settle", Role.OPERATOR, Reach.CLUSTER, "to settle an apply that was cut off"),
    )
}


class Checks(msgspec.Struct, frozen=True, kw_only=True):
    """What else must hold, each raising a RefusedError or ConflictError when it does not; None: does not apply."""

    access: _Check | None = None
    policy: _Check | None = None
    dry_run: _Check | None = None
    precondition: _Check | None = None


class Gate:
    """Lets mutations through, one at a time, and records what became of them."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        actor: Callable[[], Awaitable[Actor]],
        writes_off: Callable[[], str],
        before: Callable[[], Awaitable[None]] | None = None,
        policy_holds: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        """
        Args:
            policy_holds: awaited with what is about to be decided; raises PolicyError when the policy that it would be
                decided by is not the one of the files any more.
            before: awaited before whatever is let through, such as to record by which configuration it is.
            actor: tells who acts; raises IdentityError or UnreachableError when it cannot be told.
            writes_off: why nothing may be changed, or empty.
        """
        self._database = database
        self._clock = clock
        self._actor = actor
        self._writes_off = writes_off
        self._before = before
        self._policy_holds = policy_holds

    @property
    def writes_off(self) -> str:
        """Why nothing may be changed, or empty."""
        return self._writes_off()

    async def run(
        self,
        name: str,
        object: str,
        action: Callable[[Permit], Awaitable[_Result]],
        *,
        checks: Checks | None = None,
        detail: Mapping[str, Json] | None = None,
        told: Callable[[_Result], Mapping[str, Json]] | None = None,
        as_worker: bool = False,
    ) -> _Result:
        """Do `action` if everything lets it through.

        Args:
            name: of the mutation, a key of MUTATIONS.
            object: what is changed, as the ledger names it.
            action: does the change; it spends the permit, and for a mutation of the store appends to the ledger in
                the transaction of the change.
            checks: what else must hold.
            detail: what was asked for, for the ledger.
            told: what to say of the result in the ledger; for mutations of the cluster.
            as_worker: the worker does it, and not whoever started the program.

        Raises:
            RefusedError, ConflictError: a check does not hold; recorded as refused.
            ModelyardError: the action failed; recorded as failed where something may have been changed.
        """
        mutation = MUTATIONS[name]
        asked = dict(detail or {})
        actor = await self.who(as_worker=as_worker)
        await self._admit(actor, mutation, object, checks or Checks(), asked)
        if self._before is not None:
            await self._before()
        permit = Permit(mutation=name, object=object, actor=actor)
        if mutation.reach is Reach.STORE:
            try:
                return await action(permit)
            except (RefusedError, ConflictError) as error:
                await self._record_refusal(actor, mutation, object, asked, error)
                raise
        await self.record(actor, name, object, "started", asked)
        try:
            result = await action(permit)
        except ModelyardError as error:
            outcome = "refused" if isinstance(error, RefusedError | ConflictError) else "failed"
            await self.record(actor, name, object, outcome, {**asked, "error": str(error)})
            raise
        except asyncio.CancelledError:
            # Whether the cluster still took the request is not known: it was not done as far as anybody saw.
            await self.record(actor, name, object, "failed", {**asked, "error": "interrupted before its end was known"})
            raise
        await self.record(actor, name, object, "done", {**asked, **(told(result) if told else {})})
        return result

    async def require(self, name: str, object: str, *, as_worker: bool = False) -> None:
        """Hold what leads up to a mutation to the same: nothing is noted down for one that may not be.

        Raises:
            ReadOnlyError, RoleError: it may not; recorded as refused.
        """
        await self._admit(await self.who(as_worker=as_worker), MUTATIONS[name], object, Checks(), {})

    async def who(self, *, as_worker: bool = False) -> Actor:
        """Who acts: the worker, or whoever started the program.

        Raises:
            IdentityError, UnreachableError: it cannot be told.
        """
        return WORKER if as_worker else await self._actor()

    async def record(
        self, actor: Actor, action: str, object: str, outcome: str, detail: Mapping[str, Json]
    ) -> LedgerEntryView:
        """Append an entry to the ledger by itself."""
        async with self._database.transaction() as transaction:
            return await ledger.append(
                transaction,
                at=self._clock.now(),
                actor=actor,
                action=action,
                object=object,
                outcome=outcome,
                detail=detail,
            )

    async def _admit(
        self, actor: Actor, mutation: Mutation, object: str, checks: Checks, asked: Mapping[str, Json]
    ) -> None:
        try:
            self._require_writes(mutation, object)
            if not mutation.open_to(actor):
                raise RoleError(
                    f"{mutation.name} of {object}",
                    f"{actor.name} does not have the role {mutation.role.value}, which is needed {mutation.phrase}",
                    "ask an administrator of the yard for the role, or somebody who has it to do this",
                )
            if self._policy_holds is not None and mutation.name.startswith("queue."):
                await self._policy_holds(f"{mutation.name} of {object}")
            for check in (checks.access, checks.policy, checks.dry_run, checks.precondition):
                if check is not None:
                    await check()
        except (RefusedError, ConflictError) as error:
            await self._record_refusal(actor, mutation, object, asked, error)
            raise

    def _require_writes(self, mutation: Mutation, object: str) -> None:
        if reason := self._writes_off():
            raise ReadOnlyError(
                f"{mutation.name} of {object}", reason, f"start modelyard without --read-only {mutation.phrase}"
            )

    async def _record_refusal(
        self, actor: Actor, mutation: Mutation, object: str, asked: Mapping[str, Json], error: ModelyardError
    ) -> None:
        if self._database.read_only:
            _LOG.warning("refused and not recorded, the database is read-only: %s", error)
            return
        refused = {**asked, "reason": str(error), "error": type(error).__name__}
        try:
            await self.record(actor, mutation.name, object, "refused", refused)
        except StoreError:
            _LOG.exception("a refusal of %s could not be recorded", mutation.name)
