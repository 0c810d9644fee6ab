"""The part of the deployments' room that plans: what is planned, applied, and settled after it was cut off."""

from __future__ import annotations

from collections.abc import Sequence

from backend.core.views import AppliedView, CutOffView, ExportView, PlanView
from backend.flows.plans import Plans
from backend.flows.settling import Settling


class ServicePlans:
    """Plans of services; where a context is asked for, an empty one is the primary."""

    _plans: Plans
    _settling: Settling

    async def draft(self, reference: str, name: str, namespace: str) -> str:
        """A deployment file to start from for an image of the library, YAML."""
        return await self._plans.draft(reference, name, namespace)

    async def plan(
        self, deployment_yaml: str, namespace: str | None = None, *, take: Sequence[str] = (), context: str = ""
    ) -> PlanView:
        """What applying a deployment file would change. Changes nothing.

        Args:
            namespace: instead of the file's.
            take: fields of others that an apply shall take, as a plan names them.

        Raises:
            UsageError: the file is wrong; names the line.
        """
        return await self._plans.plan(deployment_yaml, namespace, take=tuple(take), context=context)

    async def rollback_plan(
        self,
        namespace: str,
        name: str,
        snapshot: str | None = None,
        *,
        take: Sequence[str] = (),
        context: str = "",
    ) -> PlanView:
        """What a return to a snapshot would change.

        Args:
            snapshot: its id; None: the newest one before the present whose image is still approved.

        Raises:
            NotFoundError: there is no such snapshot.
        """
        return await self._plans.rollback(namespace, name, snapshot, take=tuple(take), context=context)

    async def apply(self, plan: PlanView) -> AppliedView:
        """Apply what a plan showed, if everything that it saw is still so.

        Raises:
            RefusedError: of its kind. ConflictError: something changed since; plan again.
        """
        # What was cut off before and came about all the same is a snapshot that this one follows.
        await self._settling.settle(plan.context)
        return await self._plans.apply(plan)

    async def manifests(self, plan: PlanView) -> str:
        """The objects as a plan would have them, YAML, for the repository by which Argo CD or Flux keeps them."""
        return await self._plans.manifests(plan)

    async def export(self, namespace: str, name: str, *, context: str = "") -> ExportView:
        """The deployment file of what runs, and what it does not say.

        Raises:
            NotFoundError: there is no such service.
        """
        return await self._plans.export(namespace, name, context=context)

    async def cut_off(self) -> list[CutOffView]:
        """Applies that were cut off and of which a person has to say what shall become of them."""
        return await self._settling.cut_off()

    async def settle_plan(self, apply: str, *, undo: bool = False) -> PlanView:
        """What completing an apply that was cut off would change, or taking it back. Changes nothing.

        Args:
            apply: its id, or enough of its first characters.

        Raises:
            NotFoundError: none that was cut off has this id.
        """
        return await self._settling.plan(apply, undo=undo)

    async def leave(self, apply: str) -> CutOffView:
        """Leave an apply that was cut off as it stands."""
        return await self._settling.leave(apply)
