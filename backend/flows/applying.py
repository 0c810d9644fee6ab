"""Plans that were made, and their application through the gate: policy, dry run, precondition, intent, snapshot."""

from __future__ import annotations

import os
import platform
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from backend.cluster.client import Applied, ClusterClient
from backend.cluster.resources import resource_of
from backend.cluster.reviews import AccessRequest
from backend.core.canonical import Json
from backend.core.errors import (
    AccessDeniedError,
    AdmissionError,
    ConflictError,
    MalformedDataError,
    ModelyardError,
    NotFoundError,
    PartialFailureError,
    RefusedError,
    UnreachableError,
)
from backend.core.permits import Permit
from backend.core.views import AppliedView, PlanView, ValidationView
from backend.flows.foundation import Foundation
from backend.flows.gate import Checks
from backend.serving.canary import without_share
from backend.serving.deployment import parse
from backend.serving.planner import Planned, Wanted, carry_out, make_plan, require_applicable
from backend.serving.snapshots import Intent, Outcome, begin, complete, open_intents, release
from backend.serving.undo import kept_before
from backend.serving.validations import expect

_KEPT: Final = 50


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a plan is made, and made again before it is applied.

    Attributes:
        context: of the cluster; empty: the primary.
        mutation: as the gate names it.
        wanted: what is to be planned, from what is so now.
        policy: raises PolicyError when it may not be applied.
        note: of the snapshot. detail: for the ledger.
        settles: the apply that was cut off which this completes or, with `undoes`, takes back.
        as_worker: the worker applies it, and not whoever started the program.
    """

    context: str
    mutation: str
    wanted: Callable[[ClusterClient], Awaitable[Wanted]]
    policy: Callable[[ClusterClient], Awaitable[None]]
    note: str = ""
    detail: Mapping[str, Json] = field(default_factory=dict)
    settles: Intent | None = None
    undoes: bool = False
    as_worker: bool = False


@dataclass(frozen=True)
class _Made:
    planned: Planned
    recipe: Recipe


class Applier:
    """Makes plans by recipes, keeps the newest, and applies those that still hold."""

    def __init__(self, foundation: Foundation) -> None:
        self._foundation = foundation
        self._made: OrderedDict[str, _Made] = OrderedDict()

    def recipe(self, plan: PlanView) -> Recipe | None:
        """How a plan was made here, or None when it was made elsewhere."""
        made = self._made.get(plan.id)
        return made.recipe if made is not None else None

    def planned(self, plan: PlanView) -> Planned | None:
        """A plan that was made here with what it saw, or None."""
        made = self._made.get(plan.id)
        return made.planned if made is not None else None

    async def plan(self, recipe: Recipe) -> PlanView:
        """Make a plan, and record that it was."""
        planned = await self._make(recipe)
        view = planned.view
        if not self._foundation.database.read_only:
            actor = await self._foundation.identity.actor()
            await self._foundation.gate.record(
                actor,
                "deploy.plan",
                _named(view),
                "refused" if view.refusals else "done",
                {
                    "plan": view.id,
                    "image": view.image,
                    "refusals": list(view.refusals),
                    "objects": [f"{one.action} {one.kind} {one.name}" for one in view.objects],
                },
            )
        return view

    async def apply(self, plan: PlanView, recipe: Recipe) -> AppliedView:
        """Apply a plan by its recipe, if it still comes out the same.

        Raises:
            RefusedError: of its kind. ConflictError: something changed since; plan again.
        """
        client = await self._foundation.clusters.client(recipe.context)
        again: list[Planned] = []
        what = f"apply of {plan.namespace}/{plan.name}"

        async def policy() -> None:
            again.append(await self._make(recipe))
            await recipe.policy(client)
            if owner := again[0].view.owner:
                raise RefusedError(
                    what,
                    f"{owner} keeps it as its repository says, and would put it back",
                    f"write the manifests for that repository: modelyard deploy export {plan.name} --gitops FILE",
                )

        async def dry_run() -> None:
            refusals = again[0].view.refusals
            if refusals:
                # Raises what the cluster says, if it is the cluster that refuses.
                await require_applicable(client, again[0])
                raise AdmissionError(what, refusals[0], "correct it and plan again")

        async def precondition() -> None:
            if again[0].view.id != plan.id:
                raise ConflictError(
                    what,
                    "something changed since the plan was made",
                    "look at a new plan, and apply that",
                    conflicts=_differences(plan, again[0].view),
                )

        return await self._foundation.gate.run(
            recipe.mutation,
            _named(plan),
            lambda permit: self._carry_out(client, permit, again[0], recipe),
            checks=Checks(
                access=lambda: _require_access(client, plan), policy=policy, dry_run=dry_run, precondition=precondition
            ),
            detail={"plan": plan.id, "image": plan.image, **_taken(plan), **recipe.detail},
            told=lambda applied: {"snapshot": applied.snapshot, "changed": applied.changed, **_decided(again[0].view)},
            as_worker=recipe.as_worker,
        )

    # ------------------------------------------------------------ inside

    async def _make(self, recipe: Recipe) -> Planned:
        link = self._foundation.clusters.link(recipe.context)
        client = await link.client()
        try:
            planned = await make_plan(client, await recipe.wanted(client))
        except UnreachableError as error:
            link.answered(error)
            raise
        link.answered()
        self._made[planned.view.id] = _Made(planned, recipe)
        self._made.move_to_end(planned.view.id)
        while len(self._made) > _KEPT:
            self._made.popitem(last=False)
        return planned

    async def _carry_out(self, client: ClusterClient, permit: Permit, planned: Planned, recipe: Recipe) -> AppliedView:
        intent = recipe.settles
        if intent is None:
            intent = await self._begun(client, permit, planned, recipe)
        try:
            applied = await carry_out(client, permit, planned)
        except UnreachableError as error:
            # Nobody knows what became of it: the intent stays open, and whoever looks next finds out.
            self._foundation.clusters.link(recipe.context).answered(error)
            await self._release(intent)
            raise
        except (RefusedError, ConflictError, NotFoundError, MalformedDataError) as error:
            if recipe.settles is None:
                await self._complete(intent, Outcome.REFUSED, str(error))
            raise
        except PartialFailureError:
            # What becomes of the rest is a person's choice.
            await self._release(intent)
            raise
        except ModelyardError as error:
            if recipe.settles is None:
                await self._complete(intent, Outcome.FAILED, str(error))
            raise
        return await self._ended(client, permit, planned, recipe, intent, applied)

    async def _begun(self, client: ClusterClient, permit: Permit, planned: Planned, recipe: Recipe) -> Intent:
        view = planned.view
        identity = await client.identity()
        intent = Intent(
            id=self._foundation.ids.new_id(),
            context=client.context,
            cluster_id=identity.cluster_id,
            namespace=view.namespace,
            name=view.name,
            image=view.image,
            plan=view.id,
            manifests=tuple(without_share(seen.manifest) for seen in planned.objects),
            deployment=view.deployment,
            note=recipe.note,
            actor=permit.actor.name,
            started_at=self._foundation.clock.now(),
            subject="runtime" if view.subject == "runtime" else "service",
            decisions=view.decisions,
            take=view.take,
            before=tuple(kept_before(seen.live, seen.manifest) for seen in planned.objects),
            process=this_process(),
        )
        async with self._foundation.database.transaction() as transaction:
            await begin(transaction, intent)
        return intent

    async def _ended(
        self,
        client: ClusterClient,
        permit: Permit,
        planned: Planned,
        recipe: Recipe,
        intent: Intent,
        applied: tuple[Applied, ...],
    ) -> AppliedView:
        kept = [seen for seen in planned.objects if not seen.delete]
        gone = [seen for seen in planned.objects if seen.delete and seen.live is not None]
        changed = bool(gone) or any(_moved(seen.live, one) for seen, one in zip(kept, applied, strict=True))
        if recipe.undoes:
            snapshot = await self._complete(intent, Outcome.NOT_APPLIED, f"undone by {permit.actor.name}")
        else:
            outcome = Outcome.APPLIED if changed or recipe.settles is not None else Outcome.UNCHANGED
            detail = f"completed by {permit.actor.name}" if recipe.settles is not None else ""
            snapshot = await self._complete(intent, outcome, detail)
        await self._supersede(intent)
        view = planned.view
        proves = changed and snapshot and view.subject == "service" and not recipe.undoes
        validation = await self._expect_proof(intent, snapshot, recipe) if proves else ""
        return AppliedView(
            context=client.context,
            namespace=view.namespace,
            name=view.name,
            changed=changed,
            objects=tuple(f"{one.kind} {one.namespace}/{one.name}" for one in view.objects),
            snapshot=snapshot,
            resource_version=applied[0].metadata.resource_version if applied else "",
            validation=validation,
        )

    async def _expect_proof(self, intent: Intent, snapshot: str, recipe: Recipe) -> str:
        """Have a rollout validated once it is there; a rollback that fails is not rolled back in its turn."""
        if not self._foundation.policy.config.validation:
            return ""
        is_rollback = recipe.mutation == "deploy.rollback"
        expected = ValidationView(
            id=self._foundation.ids.new_id(),
            context=intent.context,
            namespace=intent.namespace,
            name=intent.name,
            snapshot=snapshot,
            image=intent.image,
            actor=intent.actor,
            outcome="waiting",
            traffic="",
            started_at=self._foundation.clock.now(),
            ended_at=None,
            on_failure="nothing" if is_rollback else parse(intent.deployment, "snapshot").on_failure,
        )
        returns_to = str(recipe.detail.get("snapshot") or "") if is_rollback else ""
        async with self._foundation.database.transaction() as transaction:
            await expect(transaction, expected, returns_to=returns_to)
        return expected.id

    async def _supersede(self, intent: Intent) -> None:
        """Earlier applies of the same that were cut off have nothing left to be decided."""
        earlier = [
            one
            for one in await open_intents(self._foundation.database, before=intent.started_at)
            if (one.context, one.subject, one.namespace, one.name)
            == (intent.context, intent.subject, intent.namespace, intent.name)
        ]
        for one in earlier:
            await self._complete(one, Outcome.NOT_APPLIED, f"a later apply ({intent.id}) took its place")

    async def _release(self, intent: Intent) -> None:
        async with self._foundation.database.transaction() as transaction:
            await release(transaction, intent)

    async def _complete(self, intent: Intent, outcome: Outcome, detail: str) -> str:
        async with self._foundation.database.transaction() as transaction:
            return await complete(transaction, intent, outcome, at=self._foundation.clock.now(), detail=detail)


def this_process() -> str:
    """`host pid` of this process."""
    return f"{platform.node()} {os.getpid()}"


def is_gone(process: str) -> bool:
    """Whether a process, as `this_process` named it, is known to be gone."""
    host, _, pid = process.rpartition(" ")
    if host != platform.node() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


async def _require_access(client: ClusterClient, plan: PlanView) -> None:
    """Ask the cluster whether it would let us, before anything is sent.

    Raises:
        AccessDeniedError: it would not.
    """
    for planned in plan.objects:
        resource = resource_of({"apiVersion": planned.api_version, "kind": planned.kind})
        for verb in {"create": ("patch", "create"), "delete": ("delete",)}.get(planned.action, ("patch",)):
            access = await client.can_i(
                AccessRequest(
                    verb=verb,
                    resource=resource.plural,
                    group=resource.group,
                    namespace=planned.namespace,
                    name=planned.name,
                )
            )
            if not access.allowed:
                raise AccessDeniedError(
                    f"{verb} of {planned.namespace}/{planned.name}",
                    access.reason or f"RBAC does not allow to {verb} {resource.plural} in {planned.namespace}",
                    f"ask for the verb {verb} on {resource.plural}.{resource.group} in {planned.namespace}",
                )


def _named(plan: PlanView) -> str:
    kind = "" if plan.subject == "service" else f"{plan.subject}/"
    return f"{plan.context}/{plan.namespace}/{kind}{plan.name}"


def _taken(plan: PlanView) -> dict[str, Json]:
    return {"take": list(plan.take)} if plan.take else {}


def _decided(plan: PlanView) -> dict[str, Json]:
    return {"decisions": list(plan.decisions)} if plan.decisions else {}


def _moved(live: dict[str, Any] | None, applied: Applied) -> bool:
    """Whether an apply changed what is wanted: it made the object, or its generation or metadata moved."""
    if live is None:
        return True
    before = live.get("metadata") or {}
    after = applied.object.get("metadata") or {}
    return any(before.get(name) != after.get(name) for name in ("uid", "generation", "labels", "annotations"))


def _differences(before: PlanView, after: PlanView) -> list[str]:
    """What a new plan says differently, a line each."""
    lines = []
    for old, new in zip(before.objects, after.objects, strict=False):
        if old != new:
            lines.append(f"{new.kind} {new.namespace}/{new.name} was {old.action}, now {new.action}")
    lines += [f"refused now: {text}" for text in after.refusals if text not in before.refusals]
    return lines or ["what the plan saw of the cluster or of the image's evidence"]
