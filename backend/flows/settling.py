"""Applies that were cut off: found on return, and completed or taken back as a person says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from backend.cluster.client import ClusterClient
from backend.core.errors import ModelyardError, NotFoundError, PolicyError, UsageError
from backend.core.permits import Permit
from backend.core.views import CutOffView, PlanView
from backend.flows.applying import Applier, Recipe, is_gone
from backend.flows.approvals import Approvals
from backend.flows.foundation import Foundation
from backend.flows.plans import Plans
from backend.serving.deployment import parse
from backend.serving.digests import digest_of
from backend.serving.plan import Subject
from backend.serving.planner import Wanted, live_of, wanted_of
from backend.serving.snapshots import Intent, Outcome, Snapshot, became, complete, open_intents, snapshots
from backend.serving.undo import cut_off_view, undoing, unknown_view

#: An apply that was begun longer ago than this is not under way any more, in whatever process.
_CUT_OFF: Final = timedelta(minutes=3)


class Settling:
    """Finds applies that were cut off, records those that came about, and plans what becomes of the others."""

    def __init__(self, foundation: Foundation, approvals: Approvals, plans: Plans, applier: Applier) -> None:
        self._foundation = foundation
        self._approvals = approvals
        self._plans = plans
        self._applier = applier

    async def cut_off(self) -> list[CutOffView]:
        """Applies that were cut off and of which something is left to be decided, oldest first.

        Those that came about all the same are recorded. Those to a cluster that does not answer, or that the yard does
        not know any more, are told as not known.
        """
        found = []
        for intent in await self._open():
            try:
                live = await self._live(intent)
            except ModelyardError as error:
                found.append(unknown_view(intent, error.why))
                continue
            outcome = became(intent, live)
            if outcome is Outcome.NOT_APPLIED:
                found.append(cut_off_view(intent, live, await self._earlier(intent)))
            elif not self._foundation.gate.writes_off:
                await self._record(intent, outcome)
        return found

    async def settle(self, context: str) -> list[str]:
        """Record the applies to a cluster that were cut off and came about all the same.

        Returns:
            a line for each, and for each that waits for a person.
        """
        told: list[str] = []
        if self._foundation.gate.writes_off:
            return told
        for intent in await self._open():
            if intent.context != context:
                continue
            outcome = became(intent, await self._live(intent))
            line = f"apply of {intent.namespace}/{intent.name} by {intent.actor} was cut off"
            if outcome is Outcome.NOT_APPLIED:
                told.append(f"{line}: complete it or take it back (modelyard deploy settle {intent.name})")
                continue
            await self._record(intent, outcome)
            told.append(f"{line}: {outcome.value}")
        return told

    async def plan(self, wanted: str, *, undo: bool) -> PlanView:
        """Plan to complete an apply that was cut off, or to take it back.

        Args:
            wanted: its id, or six or more of its first characters.
        """
        intent = await self._chosen(wanted)
        recipe = self._undoing(intent) if undo else self._completing(intent)
        return await self._applier.plan(recipe)

    async def leave(self, wanted: str) -> CutOffView:
        """Leave an apply that was cut off as it stands: nobody is asked about it any more."""
        intent = await self._chosen(wanted)
        try:
            view = cut_off_view(intent, await self._live(intent), await self._earlier(intent))
        except ModelyardError as error:
            view = unknown_view(intent, error.why)

        async def action(permit: Permit) -> CutOffView:
            permit.spend("deploy.settle")
            async with self._foundation.database.transaction() as transaction:
                detail = f"left as it stood by {permit.actor.name}: {view.told}"
                await complete(transaction, intent, Outcome.NOT_APPLIED, at=self._foundation.clock.now(), detail=detail)
            return view

        return await self._foundation.gate.run(
            "deploy.settle",
            f"{intent.context}/{intent.namespace}/{intent.name}",
            action,
            detail={"intent": intent.id, "choice": "leave", "told": view.told},
        )

    # ------------------------------------------------------------ recipes

    def _completing(self, intent: Intent) -> Recipe:
        if intent.subject == "service":
            deployment = parse(intent.deployment, "the apply")

            async def wanted(client: ClusterClient) -> Wanted:
                await self._chosen(intent.id)
                made = _settling(await wanted_of(client, deployment, intent.manifests), intent)
                return await self._plans.judged(client, deployment, made, intent.take)

            async def policy(client: ClusterClient) -> None:
                await self._plans.require_approved(client, deployment)

        else:

            async def wanted(client: ClusterClient) -> Wanted:
                await self._chosen(intent.id)
                subject = Subject(
                    kind="runtime",
                    namespace=intent.namespace,
                    name=intent.name,
                    image=intent.image,
                    source=intent.deployment,
                )
                return Wanted(subject=subject, manifests=intent.manifests, take=intent.take, settles=intent.id)

            async def policy(client: ClusterClient) -> None:
                await self._require_image(client, intent, intent.image)

        return Recipe(
            context=intent.context,
            mutation="deploy.settle",
            wanted=wanted,
            policy=policy,
            note=intent.note,
            detail={"intent": intent.id, "choice": "complete"},
            settles=intent,
        )

    def _undoing(self, intent: Intent) -> Recipe:
        returned: list[str] = []

        async def wanted(client: ClusterClient) -> Wanted:
            await self._chosen(intent.id)
            undo = undoing(intent, await self._live(intent), await self._earlier(intent))
            if undo.impossible:
                raise UsageError(
                    f"undo of {intent.namespace}/{intent.name}", undo.impossible, "complete it, or leave it as it is"
                )
            returned[:] = [undo.image] if undo.image else []
            subject = Subject(
                kind=intent.subject,
                namespace=intent.namespace,
                name=intent.name,
                image=undo.image or intent.image,
                source=undo.source or intent.deployment,
            )
            return Wanted(
                subject=subject,
                manifests=undo.manifests,
                deletions=undo.deletions,
                settles=intent.id,
                undoes=True,
                warnings=(f"it {undo.told}",),
            )

        async def policy(client: ClusterClient) -> None:
            for image in returned:
                await self._require_image(client, intent, image)

        return Recipe(
            context=intent.context,
            mutation="deploy.settle",
            wanted=wanted,
            policy=policy,
            detail={"intent": intent.id, "choice": "undo"},
            settles=intent,
            undoes=True,
        )

    async def _require_image(self, client: ClusterClient, intent: Intent, image: str) -> None:
        await self._approvals.refresh()
        use = self._approvals.use_in(client.context, intent.namespace)
        approval = self._approvals.judge(frozenset({digest_of(image)}), use)
        if not approval.approved:
            what = f"settling of {intent.namespace}/{intent.name}"
            raise PolicyError(what, f"the image is not approved: {approval.note}", "have it approved, or leave it")

    # ------------------------------------------------------------ finding

    async def _record(self, intent: Intent, outcome: Outcome) -> None:
        """Record what became of an apply by itself."""
        now = self._foundation.clock.now()
        async with self._foundation.database.transaction() as transaction:
            await complete(transaction, intent, outcome, at=now, detail="found after it was cut off")
        await self._foundation.gate.record(
            await self._foundation.identity.actor(),
            "deploy.settle",
            f"{intent.context}/{intent.namespace}/{intent.name}",
            "done",
            {"intent": intent.id, "by": intent.actor, "outcome": outcome.value},
        )

    async def _open(self) -> list[Intent]:
        since = self._foundation.clock.now() - _CUT_OFF
        return [
            intent
            for intent in await open_intents(self._foundation.database)
            if not intent.process or intent.started_at < since or is_gone(intent.process)
        ]

    async def _chosen(self, wanted: str) -> Intent:
        found = [intent for intent in await self._open() if intent.id.startswith(wanted)] if wanted else []
        if len(found) != 1:
            why = "several were cut off whose ids begin so" if found else "none that was cut off has this id"
            raise NotFoundError(f"apply {wanted!r}", why, "see modelyard deploy settle")
        return found[0]

    async def _live(self, intent: Intent) -> list[dict[str, Any] | None]:
        client = await self._foundation.clusters.client(intent.context)
        return [await live_of(client, manifest) for manifest in intent.manifests]

    async def _earlier(self, intent: Intent) -> Snapshot | None:
        held = await snapshots(
            self._foundation.database, intent.context, intent.namespace, intent.name, subject=intent.subject
        )
        return held[0] if held else None


def _settling(wanted: Wanted, intent: Intent) -> Wanted:
    return Wanted(
        subject=wanted.subject,
        manifests=wanted.manifests,
        take=intent.take,
        settles=intent.id,
        deployment=wanted.deployment,
        runtime=wanted.runtime,
    )
