"""Plans and their application: policy, dry run, precondition, intent, snapshot."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from datetime import timedelta
from typing import Any, Final

import msgspec

from backend.cluster.client import Applied, ClusterClient
from backend.core.errors import (
    AdmissionError,
    ConflictError,
    MalformedDataError,
    ModelyardError,
    NotFoundError,
    PolicyError,
    RefusedError,
    UnreachableError,
)
from backend.core.permits import Permit
from backend.core.views import AppliedView, GateView, ImageState, PlanView
from backend.flows.approvals import Approvals
from backend.flows.changes import access_check
from backend.flows.foundation import Foundation
from backend.flows.gate import Checks
from backend.flows.lookup import Lookup
from backend.serving.board import Approval
from backend.serving.deployment import DeploymentFile, parse, to_yaml
from backend.serving.digests import digest_of
from backend.serving.drafts import draft
from backend.serving.planner import Planned, carry_out, make_plan, require_applicable, settle
from backend.serving.scope import runtime_family, weights_of
from backend.serving.snapshots import (
    Intent,
    Outcome,
    Snapshot,
    begin,
    choose,
    complete,
    open_intents,
    snapshots,
)

_KEPT: Final = 50
#: An apply that was begun longer ago than this is not under way any more, in whatever process.
_CUT_OFF: Final = timedelta(minutes=3)


class _Made(msgspec.Struct, frozen=True):
    """A plan that was made here; for a rollback with what it returns to."""

    planned: Planned
    deployment: DeploymentFile
    snapshot: Snapshot | None


class Plans:
    """Makes plans, keeps the newest, and applies those that still hold."""

    def __init__(self, foundation: Foundation, approvals: Approvals, lookup: Lookup) -> None:
        self._foundation = foundation
        self._approvals = approvals
        self._lookup = lookup
        self._made: OrderedDict[str, _Made] = OrderedDict()

    async def draft(self, reference: str, name: str, namespace: str) -> str:
        """A deployment file to start from for an image of the library, YAML."""
        facts = await self._lookup.facts(reference)
        return to_yaml(draft(facts.reference, namespace=namespace, name=name))

    async def plan(self, text: str, namespace: str | None = None, *, context: str = "") -> PlanView:
        """Plan a deployment file."""
        deployment = await asyncio.to_thread(parse, text)
        if namespace is not None and namespace != deployment.namespace:
            deployment = await asyncio.to_thread(parse, to_yaml(deployment.model_copy(update={"namespace": namespace})))
        made = await self._make(await self._foundation.clusters.client(context), deployment, None)
        await self._record(made)
        return made.planned.view

    async def rollback(self, namespace: str, name: str, wanted: str | None, *, context: str = "") -> PlanView:
        """Plan the return to a snapshot."""
        client = await self._foundation.clusters.client(context)
        await self._approvals.refresh()
        held = await snapshots(self._foundation.database, client.context, namespace, name)
        chosen = (
            self._last_good(client, held, f"{namespace}/{name}")
            if wanted is None
            else choose(held, wanted, f"{namespace}/{name}")
        )
        made = await self._make(client, parse(chosen.intent.deployment, "snapshot"), chosen)
        await self._record(made)
        return made.planned.view

    async def apply(self, plan: PlanView) -> AppliedView:
        """Apply a plan that was made here, or elsewhere and still comes out the same."""
        client = await self._foundation.clusters.client(plan.context)
        made = self._made.get(plan.id)
        if made is None:
            made = await self._make(client, parse(plan.deployment, "plan"), None)
        view = made.planned.view
        await self.settle(client)
        again: list[_Made] = []
        what = f"apply of {view.namespace}/{view.name}"

        async def policy() -> None:
            fresh = await self._make(client, made.deployment, made.snapshot)
            again.append(fresh)
            approval = await self._approval(client, made.deployment)
            if not approval.approved:
                raise PolicyError(what, _refusal(approval), "have it approved for this first")

        async def dry_run() -> None:
            refusals = again[0].planned.view.refusals
            if refusals:
                # Raises what the cluster says, if it is the cluster that refuses.
                await require_applicable(client, again[0].planned)
                raise AdmissionError(what, refusals[0], "correct the deployment file and plan again")

        async def precondition() -> None:
            if again[0].planned.view.id != plan.id:
                raise ConflictError(
                    what,
                    "something changed since the plan was made",
                    "look at a new plan, and apply that",
                    conflicts=_differences(view, again[0].planned.view),
                )

        return await self._foundation.gate.run(
            "deploy.apply" if made.snapshot is None else "deploy.rollback",
            f"{view.context}/{view.namespace}/{view.name}",
            lambda permit: self._carry_out(client, permit, again[0]),
            checks=Checks(
                access=access_check(client, "patch", view.namespace, view.name),
                policy=policy,
                dry_run=dry_run,
                precondition=precondition,
            ),
            detail={
                "plan": plan.id,
                "image": view.image,
                **({"snapshot": made.snapshot.id} if made.snapshot is not None else {}),
            },
            told=lambda applied: {"snapshot": applied.snapshot, "changed": applied.changed},
        )

    async def settle(self, client: ClusterClient) -> list[str]:
        """Find out what became of applies that were cut off, and record it.

        Returns:
            a line for each that was found.
        """
        told: list[str] = []
        now = self._foundation.clock.now()
        for intent in await open_intents(self._foundation.database, before=now - _CUT_OFF):
            if intent.context != client.context:
                continue
            outcome = await settle(client, intent)
            async with self._foundation.database.transaction() as transaction:
                await complete(transaction, intent, outcome, at=now, detail="found after it was cut off")
            told.append(f"apply of {intent.namespace}/{intent.name} by {intent.actor} was cut off: {outcome.value}")
            actor = await self._foundation.identity.actor()
            await self._foundation.gate.record(
                actor,
                "deploy.settle",
                f"{intent.context}/{intent.namespace}/{intent.name}",
                "done",
                {"intent": intent.id, "by": intent.actor, "outcome": outcome.value},
            )
        return told

    # ------------------------------------------------------------ making

    async def _make(self, client: ClusterClient, deployment: DeploymentFile, snapshot: Snapshot | None) -> _Made:
        link = self._foundation.clusters.link(client.context)
        gates, warnings = await self._gates(deployment)
        approval = await self._approval(client, deployment)
        refusals = () if approval.approved else (_refusal(approval),)
        if approval.approved and approval.note:
            warnings = (*warnings, approval.note)
        try:
            planned = await make_plan(
                client,
                deployment,
                manifests=snapshot.intent.manifests if snapshot is not None else None,
                gates=gates,
                refusals=refusals,
                warnings=warnings,
            )
        except UnreachableError as error:
            link.answered(error)
            raise
        link.answered()
        made = _Made(planned, deployment, snapshot)
        self._made[planned.view.id] = made
        self._made.move_to_end(planned.view.id)
        while len(self._made) > _KEPT:
            self._made.popitem(last=False)
        return made

    async def _gates(self, deployment: DeploymentFile) -> tuple[tuple[GateView, ...], tuple[str, ...]]:
        digest = digest_of(deployment.image)
        try:
            candidate = await self._lookup.candidate(digest)
        except (NotFoundError, RefusedError):
            return (), ()
        lapsed = [gate for gate in candidate.gates if gate.blocks]
        warnings = tuple(f"gate {gate.kind} would not pass now: {gate.sentence}" for gate in lapsed)
        return candidate.gates, warnings if candidate.state is ImageState.APPROVED else ()

    async def _approval(self, client: ClusterClient, deployment: DeploymentFile) -> Approval:
        await self._approvals.refresh()
        return self._judged(client, deployment)

    def _judged(self, client: ClusterClient, deployment: DeploymentFile) -> Approval:
        use = self._approvals.use_in(
            client.context,
            deployment.namespace,
            weights=weights_of(deployment),
            runtime=runtime_family(deployment),
        )
        return self._approvals.judge(frozenset({digest_of(deployment.image)}), use)

    def _last_good(self, client: ClusterClient, held: tuple[Snapshot, ...], service: str) -> Snapshot:
        for snapshot in held[1:]:
            if self._judged(client, parse(snapshot.intent.deployment, "snapshot")).approved:
                return snapshot
        if len(held) > 1:
            raise PolicyError(
                f"rollback of {service}",
                "no earlier snapshot has an image that is still approved for it",
                "deploy an approved image instead",
            )
        return choose(held, None, service)

    async def _record(self, made: _Made) -> None:
        if self._foundation.database.read_only:
            return
        view = made.planned.view
        actor = await self._foundation.identity.actor()
        await self._foundation.gate.record(
            actor, "deploy.plan", f"{view.context}/{view.namespace}/{view.name}",
            "refused" if view.refusals else "done",
            {"plan": view.id, "image": view.image, "refusals": list(view.refusals),
             "objects": [f"{one.action} {one.kind} {one.name}" for one in view.objects]},
        )  # fmt: skip

    # ------------------------------------------------------------ carrying out

    async def _carry_out(self, client: ClusterClient, permit: Permit, made: _Made) -> AppliedView:
        view = made.planned.view
        identity = await client.identity()
        intent = Intent(
            id=self._foundation.ids.new_id(),
            context=client.context,
            cluster_id=identity.cluster_id,
            namespace=view.namespace,
            name=view.name,
            image=view.image,
            plan=view.id,
            manifests=tuple(seen.manifest for seen in made.planned.objects),
            deployment=view.deployment,
            note=f"rollback to {made.snapshot.id[:12]}" if made.snapshot is not None else "",
            actor=permit.actor.name,
            started_at=self._foundation.clock.now(),
        )
        async with self._foundation.database.transaction() as transaction:
            await begin(transaction, intent)
        try:
            applied = await carry_out(client, permit, made.planned)
        except UnreachableError as error:
            # Nobody knows what became of it: the intent stays open, and the next apply or screen finds out.
            self._foundation.clusters.link(client.context).answered(error)
            raise
        except (RefusedError, ConflictError, NotFoundError, MalformedDataError) as error:
            await self._complete(intent, Outcome.REFUSED, str(error))
            raise
        except ModelyardError as error:
            await self._complete(intent, Outcome.FAILED, str(error))
            raise
        changed = any(_moved(seen.live, one) for seen, one in zip(made.planned.objects, applied, strict=True))
        snapshot = await self._complete(intent, Outcome.APPLIED if changed else Outcome.UNCHANGED, "")
        return AppliedView(
            context=client.context,
            namespace=view.namespace,
            name=view.name,
            changed=changed,
            objects=tuple(f"{one.kind} {one.namespace}/{one.name}" for one in view.objects),
            snapshot=snapshot,
            resource_version=applied[0].metadata.resource_version,
        )

    async def _complete(self, intent: Intent, outcome: Outcome, detail: str) -> str:
        async with self._foundation.database.transaction() as transaction:
            return await complete(transaction, intent, outcome, at=self._foundation.clock.now(), detail=detail)


def _refusal(approval: Approval) -> str:
    return f"the image is not approved: {approval.note}"


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
