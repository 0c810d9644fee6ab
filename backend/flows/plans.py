"""Plans of services: of a deployment file, and of the return to a snapshot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from backend.cluster.client import ClusterClient
from backend.cluster.kserve_objects import ServingRuntime
from backend.core.canonical import Json
from backend.core.errors import ModelyardError, NotFoundError, PolicyError, RefusedError, UsageError
from backend.core.views import AppliedView, ExportView, FitView, GateView, ImageState, PlanCheckView, PlanView
from backend.curation.scope import Use
from backend.flows.applying import Applier, Recipe
from backend.flows.approvals import Approvals
from backend.flows.changes import found_service, require_inference_service
from backend.flows.foundation import Foundation
from backend.flows.lookup import Lookup
from backend.serving.board import Approval
from backend.serving.deployment import DeploymentFile, parse, to_yaml
from backend.serving.digests import digest_of
from backend.serving.drafts import draft
from backend.serving.plan import Seen
from backend.serving.planner import Wanted, repository_manifests, runtime_info, runtime_named, wanted_of
from backend.serving.reversal import reverse
from backend.serving.reversal_fields import Parts
from backend.serving.runtime_fit import ServedImage, why_not
from backend.serving.runtimes import server_image
from backend.serving.scope import runtime_family, weights_of
from backend.serving.snapshots import Snapshot, choose, snapshots
from backend.serving.start_store import kept
from backend.serving.starts import usual_of
from backend.serving.validations import last_good, outcomes

if TYPE_CHECKING:
    from backend.flows.fit import Fits


class Plans:
    """Says how services are planned; the applier makes, keeps and applies the plans."""

    def __init__(
        self, foundation: Foundation, approvals: Approvals, lookup: Lookup, applier: Applier, fits: Callable[[], Fits]
    ) -> None:
        self._foundation = foundation
        self._fits = fits
        self._approvals = approvals
        self._lookup = lookup
        self._applier = applier

    async def draft(self, reference: str, name: str, namespace: str) -> str:
        """A deployment file to start from for an image of the library, YAML."""
        facts = await self._lookup.facts(reference)
        return to_yaml(draft(facts.reference, namespace=namespace, name=name))

    async def plan(
        self, text: str, namespace: str | None = None, *, take: tuple[str, ...] = (), context: str = ""
    ) -> PlanView:
        """Plan a deployment file."""
        deployment = await asyncio.to_thread(parse, text)
        if namespace is not None and namespace != deployment.namespace:
            deployment = await asyncio.to_thread(parse, to_yaml(deployment.model_copy(update={"namespace": namespace})))
        return await self._fitted(
            await self._applier.plan(self.recipe(deployment, take=take, context=context)), deployment
        )

    async def rollback(
        self, namespace: str, name: str, wanted: str | None, *, take: tuple[str, ...] = (), context: str = ""
    ) -> PlanView:
        """Plan the return to a snapshot."""
        require_inference_service(namespace, name, "snapshots are taken of InferenceServices only")
        client = await self._foundation.clusters.client(context)
        await self._approvals.refresh()
        held = await snapshots(self._foundation.database, client.context, namespace, name)
        chosen = (
            await self._chosen(client, held, f"{namespace}/{name}")
            if wanted is None
            else choose(held, wanted, f"{namespace}/{name}")
        )
        deployment = parse(chosen.intent.deployment, "snapshot")
        made = await self._applier.plan(self.recipe(deployment, snapshot=chosen, take=take, context=context))
        return await self._fitted(made, deployment)

    async def apply(
        self, plan: PlanView, *, as_worker: bool = False, because: Mapping[str, Json] | None = None
    ) -> AppliedView:
        """Apply a plan that was made here, or elsewhere and still comes out the same.

        Args:
            as_worker: the worker does it, and not whoever started the program. because: of what, for the ledger.
        """
        recipe = self._applier.recipe(plan)
        if recipe is None:
            recipe = self.recipe(parse(plan.deployment, "plan"), take=plan.take, context=plan.context)
        if as_worker or because:
            recipe = replace(recipe, as_worker=as_worker, detail={**recipe.detail, **(because or {})})
        return await self._applier.apply(plan, recipe)

    async def manifests(self, plan: PlanView) -> str:
        """The objects as a plan would have them, YAML, for the repository that says what they are.

        Raises:
            NotFoundError: the plan was not made here.
        """
        planned = self._applier.planned(plan)
        if planned is None:
            raise NotFoundError("manifests of the plan", "the plan is not at hand any more", "make a new plan")
        return repository_manifests(planned.objects)

    async def export(self, namespace: str, name: str, *, context: str = "") -> ExportView:
        """The deployment file of what runs, and its manifests for a repository."""
        require_inference_service(namespace, name, "a deployment file describes InferenceServices only")
        client = await self._foundation.clusters.client(context)
        live = await found_service(client, namespace, name)
        held = await snapshots(self._foundation.database, client.context, namespace, name)
        raw = await runtime_named(client, namespace, Parts(live).runtime_name)
        reversal = reverse(live, _file_of(held), runtime_info(namespace, raw), server_image(raw))
        return ExportView(
            context=client.context,
            namespace=namespace,
            name=name,
            deployment=to_yaml(reversal.deployment) if reversal.deployment is not None else "",
            lost=reversal.lost,
            manifests=repository_manifests([Seen(manifest=live, live=live, answer=live)]),
        )

    def recipe(
        self,
        deployment: DeploymentFile,
        *,
        snapshot: Snapshot | None = None,
        take: tuple[str, ...] = (),
        context: str = "",
    ) -> Recipe:
        """How a deployment file, or a snapshot of it, is planned and applied."""

        async def wanted(client: ClusterClient) -> Wanted:
            manifests = snapshot.intent.manifests if snapshot is not None else None
            judged = await self.judged(client, deployment, await wanted_of(client, deployment, manifests), take)
            # What comes back served before: it gets its traffic at once.
            return msgspec.structs.replace(judged, proves=judged.proves and snapshot is None)

        async def policy(client: ClusterClient) -> None:
            await self.require_approved(client, deployment)

        return Recipe(
            context=context,
            mutation="deploy.apply" if snapshot is None else "deploy.rollback",
            wanted=wanted,
            policy=policy,
            note=f"rollback to {snapshot.id[:12]}" if snapshot is not None else "",
            detail={"snapshot": snapshot.id} if snapshot is not None else {},
        )

    async def judged(
        self, client: ClusterClient, deployment: DeploymentFile, wanted: Wanted, take: tuple[str, ...] = ()
    ) -> Wanted:
        """What is wanted, with what policy says of its image."""
        gates, warnings = await self._gates(deployment)
        await self._approvals.refresh()
        use = self._use(client, deployment)
        approval = self._approvals.judge(_digests(deployment), use)
        usual = usual_of([one for one in await kept(self._foundation.database) if one.digest in _digests(deployment)])
        if approval.approved and approval.note:
            warnings = (*warnings, approval.note)
        return Wanted(
            subject=wanted.subject,
            manifests=wanted.manifests,
            deletions=wanted.deletions,
            take=take,
            gates=gates,
            refusals=(
                *wanted.refusals,
                *(() if approval.approved else (_refusal(approval),)),
                *self._elsewhere(client, deployment),
            ),
            warnings=(*wanted.warnings, *warnings, *await self._unsuited(deployment, wanted)),
            decisions=self._approvals.decisions(_digests(deployment), use) if approval.approved else (),
            settles=wanted.settles,
            checks=(self._weights(deployment, use, approved=bool(approval.approved)),),
            cold_start=timedelta(seconds=usual.total) if usual is not None else None,
            starts=usual.number if usual is not None else 0,
            proves=self._foundation.policy.config.validation,
            deployment=deployment,
            runtime=wanted.runtime,
        )

    async def require_approved(self, client: ClusterClient, deployment: DeploymentFile) -> None:
        """
        Raises:
            PolicyError: the image is not approved for this use.
        """
        await self._approvals.refresh()
        approval = self._approvals.judge(_digests(deployment), self._use(client, deployment))
        if not approval.approved:
            what = f"apply of {deployment.namespace}/{deployment.name}"
            raise PolicyError(what, _refusal(approval), "have it approved for this first")

    # ------------------------------------------------------------ judging

    async def _fitted(self, plan: PlanView, deployment: DeploymentFile) -> PlanView:
        """A plan with an estimate of where its pods would run; what keeps that from being told keeps no plan back."""
        try:
            client = await self._foundation.clusters.client(plan.context)
            fit = (await self._fits().advice(client, deployment)).fit
        except ModelyardError as error:
            sentence = f"it cannot be told: {error.why}"
            fit = FitView(verdict="unknown", pods=deployment.replicas.min, fitting=0, sentence=sentence)
        return msgspec.structs.replace(plan, fit=fit)

    async def _unsuited(self, deployment: DeploymentFile, wanted: Wanted) -> tuple[str, ...]:
        """That the runtime does not suit the image, by what the library knows of it; empty: it does."""
        if wanted.runtime is None:
            return ()
        try:
            image = await self._lookup.image(deployment.image)
            runtime = msgspec.convert(wanted.runtime, ServingRuntime)
        except (NotFoundError, msgspec.ValidationError):
            return ()
        served = ServedImage(image=deployment.image, kind=image.kind, framework=image.framework, type=image.type)
        # That a runtime is disabled is told by itself.
        why = "" if runtime.spec.disabled else why_not(served, runtime, several_nodes=deployment.workers is not None)
        return (f"the runtime {deployment.runtime!r} does not suit the image: {why}",) if why else ()

    def _elsewhere(self, client: ClusterClient, deployment: DeploymentFile) -> tuple[str, ...]:
        """That the file is meant for another environment than its namespace belongs to; empty: it is not."""
        belongs = self._foundation.policy.environment_of(client.context, deployment.namespace)
        if not deployment.environment or deployment.environment == belongs:
            return ()
        told = f"belongs to {belongs}" if belongs else "belongs to no environment of the policy"
        return (f"the file is for environment {deployment.environment}, and namespace {deployment.namespace} {told}",)

    def _use(self, client: ClusterClient, deployment: DeploymentFile) -> Use:
        return self._approvals.use_in(
            client.context,
            deployment.namespace,
            weights=weights_of(deployment),
            runtime=runtime_family(deployment),
        )

    def _weights(self, deployment: DeploymentFile, use: Use, *, approved: bool) -> PlanCheckView:
        """What the approval says of the weights that will be loaded."""
        named = self._approvals.approved_weights(digest_of(deployment.image), use)
        told = use.weights or "nothing fixes them"
        if named:
            return PlanCheckView(about="weights", state="ok", sentence=f"{told}: approved with the image")
        if named is None and approved:
            return PlanCheckView(about="weights", state="unknown", sentence=f"{told}: it runs by break-glass")
        if named is None:
            return PlanCheckView(about="weights", state="missing", sentence=f"{told}: not approved with this image")
        if use.weights:
            sentence = f"{told}: the approval of the image names no weights, and so covers any"
        else:
            sentence = "nothing fixes them, and the approval of the image names none"
        return PlanCheckView(about="weights", state="unknown", sentence=sentence)

    async def _gates(self, deployment: DeploymentFile) -> tuple[tuple[GateView, ...], tuple[str, ...]]:
        digest = digest_of(deployment.image)
        try:
            candidate = await self._lookup.candidate(digest)
        except (NotFoundError, RefusedError):
            return (), ()
        lapsed = [gate for gate in candidate.gates if gate.blocks]
        warnings = tuple(f"gate {gate.kind} would not pass now: {gate.sentence}" for gate in lapsed)
        return candidate.gates, warnings if candidate.state is ImageState.APPROVED else ()

    async def last_good(self, context: str, held: Sequence[Snapshot]) -> Snapshot | None:
        """The snapshot to return to: proved good before one of which nothing is known, and still approved.

        Args:
            held: the service's snapshots, newest first.
        """
        client = await self._foundation.clusters.client(context)
        await self._approvals.refresh()
        approved = [one.id for one in held[1:] if self._is_approved(client, one)]
        return last_good(held, await outcomes(self._foundation.database, [one.id for one in held]), approved)

    def _is_approved(self, client: ClusterClient, snapshot: Snapshot) -> bool:
        deployment = parse(snapshot.intent.deployment, "snapshot")
        return bool(self._approvals.judge(_digests(deployment), self._use(client, deployment)).approved)

    async def _chosen(self, client: ClusterClient, held: Sequence[Snapshot], service: str) -> Snapshot:
        good = await self.last_good(client.context, held)
        if good is not None:
            return good
        if len(held) > 1:
            raise PolicyError(
                f"rollback of {service}",
                "no earlier snapshot was not proved bad and has an image that is still approved for it",
                "name a snapshot, or deploy an approved image instead",
            )
        return choose(held, None, service)


def _file_of(held: tuple[Snapshot, ...]) -> DeploymentFile | None:
    """The file that was applied last, as far as this program can still read it."""
    if not held:
        return None
    try:
        return parse(held[0].intent.deployment, "snapshot")
    except UsageError:
        return None


def _digests(deployment: DeploymentFile) -> frozenset[str]:
    return frozenset({digest_of(deployment.image)})


def _refusal(approval: Approval) -> str:
    return f"the image is not approved: {approval.note}"
