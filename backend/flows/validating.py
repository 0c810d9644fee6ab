"""Proves rollouts: waits until one is there, has it asked for a real answer, and undoes or proposes to undo it."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from backend.cluster.resources import INFERENCE_SERVICES
from backend.core.errors import ConflictError, ModelyardError, NotFoundError, UsageError
from backend.core.views import (
    INFERENCE_SERVICE,
    EvidenceValue,
    ProofCheckView,
    ServiceView,
    ValidationView,
    named_kind,
)
from backend.flows.approvals import Approvals
from backend.flows.asking import Asking, Bounds
from backend.flows.foundation import Foundation
from backend.flows.plans import Plans
from backend.flows.services import Services
from backend.serving import validations
from backend.serving.case import Case
from backend.serving.deployment import DeploymentFile, parse
from backend.serving.rollouts import Progress, Stage, progress
from backend.serving.snapshots import Snapshot, snapshots
from backend.serving.validations import FAILED, NOT_POSSIBLE, PASSED

if TYPE_CHECKING:
    from backend.flows.promoting import Promoting

_LOG = logging.getLogger(__name__)
_LOOK_EVERY: Final = 2.0
_DEFAULT_STARTUP: Final = timedelta(minutes=30)


class Validating:
    """Carries validations on, whoever expects them; each is worked on by one process at a time."""

    def __init__(
        self,
        foundation: Foundation,
        approvals: Approvals,
        services: Services,
        plans: Plans,
        promoting: Promoting,
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._foundation = foundation
        self._services = services
        self._plans = plans
        self._promoting = promoting
        self._pause = pause
        self._asking = Asking(foundation, approvals, pause=pause)
        self._me = f"{socket.gethostname().partition('.')[0]}:{os.getpid()}:{id(self)}"
        self._busy: dict[str, asyncio.Task[None]] = {}

    # ------------------------------------------------------------ by the lease's holder

    async def run(self, is_held: Callable[[], bool]) -> None:
        """Carry on every open validation while the lease is ours, until cancelled."""
        try:
            while True:
                await self._pause(_LOOK_EVERY)
                if is_held():
                    try:
                        await self._round()
                    except ModelyardError as error:
                        _LOG.warning("validations: %s", error)
        finally:
            for task in self._busy.values():
                task.cancel()
            await asyncio.gather(*self._busy.values(), return_exceptions=True)

    async def _round(self) -> None:
        for waiting in await validations.open_validations(self._foundation.database):
            if waiting.id not in self._busy:
                task = asyncio.create_task(self._carried_on(waiting))
                self._busy[waiting.id] = task
                task.add_done_callback(partial(self._finished, waiting.id))

    def _finished(self, id: str, _task: asyncio.Task[None]) -> None:
        self._busy.pop(id, None)

    async def _carried_on(self, waiting: ValidationView) -> None:
        try:
            await self.step(waiting, as_worker=True)
        except ModelyardError as error:
            _LOG.warning("validation of %s: %s", waiting.service, error)

    # ------------------------------------------------------------ by a person

    async def follow(self, id: str, told: Callable[[str], None]) -> ValidationView:
        """Carry a validation on until it ends, here or in another process.

        Args:
            told: called with each new state of the rollout, in a clause.

        Raises:
            ModelyardError: the cluster or the database cannot be asked.
        """
        last = ""
        first = await validations.validation(self._foundation.database, id)
        if first is None:
            raise NotFoundError(f"validation {id[:12]}", "there is none of that id", "see modelyard deploy status")
        await self._foundation.gate.require("deploy.validate", first.service)
        while True:
            current = await validations.validation(self._foundation.database, id) or first
            if current.ended_at is not None:
                return current
            state = await self.step(current, as_worker=False, told=told)
            if state and state != last:
                told(state)
                last = state
            await self._pause(_LOOK_EVERY / 2)

    async def validate(
        self,
        namespace: str,
        name: str,
        *,
        context: str = "",
        latency: timedelta | None = None,
        error_rate: float | None = None,
        window: timedelta | None = None,
    ) -> ValidationView:
        """Validate a service as it runs now; its newest snapshot, where there is one, is what is proved.

        Args:
            latency, error_rate, window: instead of those of its deployment file.

        Raises:
            PolicyError: policy turned validations off. NotFoundError: there is no such service.
            ConflictError: it is still coming up. RefusedError: of its kind.
        """
        kind, _ = named_kind(name)
        if kind != INFERENCE_SERVICE:
            raise UsageError(
                f"validation of {namespace}/{name}",
                f"validations are of InferenceServices, and this is of kind {kind}",
                "ask it by hand",
            )
        where = context or self._foundation.cluster.context
        await self._foundation.gate.require("deploy.validate", f"{where}/{namespace}/{name}")
        self._asking.require_allowed(f"validation of {namespace}/{name}")
        case, row = await self._seen(context, namespace, name)
        if case is None or row is None:
            raise await self._missing(context, namespace, name)
        held = await snapshots(self._foundation.database, row.context, namespace, name)
        actor = await self._foundation.identity.actor()
        now = self._foundation.clock.now()
        asked = ValidationView(
            id=self._foundation.ids.new_id(), context=row.context, namespace=namespace, name=name,
            snapshot=held[0].id if held else "", image=row.images[0] if row.images else "", actor=actor.name,
            outcome="waiting", traffic="", started_at=now, ended_at=None, on_failure="propose",
        )  # fmt: skip
        # By what it is now: whoever asks for a validation does not wait for a rollout.
        found = progress(case, row, now - timedelta(days=1), timedelta(days=365))
        if found.stage is Stage.GOING_ON:
            raise ConflictError(
                f"validation of {namespace}/{name}",
                f"it is still coming up: {found.reason}",
                "wait until it is there; a rollout is validated by itself then",
            )
        going = [one for one in await validations.open_validations(self._foundation.database) if one.service == row.key]
        if going and held and going[-1].snapshot == held[0].id:
            # What its deployment file wants done when its rollout fails is wanted still.
            asked = msgspec.structs.replace(asked, on_failure=going[-1].on_failure)
        async with self._foundation.database.transaction() as transaction:
            await validations.expect(transaction, asked)
        await validations.claim(self._foundation.database, asked.id, self._me, now)
        deployment = _deployment(held[0]) if held else None
        filed = Bounds.of(deployment)
        bounds = Bounds(
            latency=filed.latency if latency is None else latency,
            error_rate=filed.error_rate if error_rate is None else error_rate,
            window=filed.window if window is None else window,
        )
        return await self._prove(asked, found, held, deployment, bounds, as_worker=False)

    # ------------------------------------------------------------ one step

    async def step(self, waiting: ValidationView, *, as_worker: bool, told: Callable[[str], None] | None = None) -> str:
        """Look how far a rollout has come, and prove it when it is there.

        Returns:
            what it waits for; empty: it was proved, or somebody else works on it.

        Raises:
            ModelyardError: the cluster or the database cannot be asked.
        """
        case, row = await self._seen(waiting.context, waiting.namespace, waiting.name)
        held = await snapshots(self._foundation.database, waiting.context, waiting.namespace, waiting.name)
        snapshot = next((one for one in held if one.id == waiting.snapshot), None)
        deployment = _deployment(snapshot) if snapshot is not None else None
        if case is None or row is None:
            found = Progress(stage=Stage.NOTHING_RUNS, reason="it is not there any more")
        else:
            startup = timedelta(seconds=deployment.health.startup_seconds) if deployment else _DEFAULT_STARTUP
            found = progress(case, row, waiting.started_at, startup)
        if found.stage is Stage.GOING_ON:
            return found.reason
        now = self._foundation.clock.now()
        if not await validations.claim(self._foundation.database, waiting.id, self._me, now):
            return ""
        if told is not None and found.stage is Stage.THERE:
            told("the rollout is there; it is asked for an answer")
        await self._prove(waiting, found, held, deployment, Bounds.of(deployment), as_worker=as_worker)
        return ""

    async def _seen(self, context: str, namespace: str, name: str) -> tuple[Case | None, ServiceView | None]:
        board = await self._services.of(context).current((namespace, name))
        return board.case((namespace, name), self._foundation.clock.now()), board.row((namespace, name))

    async def _missing(self, context: str, namespace: str, name: str) -> ModelyardError:
        client = await self._foundation.clusters.client(context)
        await client.get(INFERENCE_SERVICES, namespace, name)
        return NotFoundError(
            f"service {namespace}/{name}",
            "its namespace is not among those that the yard looks at",
            "add the namespace to [[cluster]] namespaces",
        )

    # ------------------------------------------------------------ proving

    async def _prove(
        self,
        waiting: ValidationView,
        found: Progress,
        held: tuple[Snapshot, ...],
        deployment: DeploymentFile | None,
        bounds: Bounds,
        *,
        as_worker: bool,
    ) -> ValidationView:
        traffic = "before traffic" if found.before_traffic else "after traffic"
        checks: tuple[ProofCheckView, ...]
        if found.stage is Stage.FAILED:
            checks = (ProofCheckView(name="rollout", value=EvidenceValue.FAIL, sentence=found.reason),)
            return await self._ended(waiting, held, FAILED, "", checks, found.reason, as_worker=as_worker)
        if found.stage is Stage.NOTHING_RUNS:
            return await self._ended(waiting, held, NOT_POSSIBLE, "", (), found.reason, as_worker=as_worker)
        client = await self._foundation.clusters.client(waiting.context)
        keep = asyncio.create_task(self._keep(waiting.id))
        try:
            checks = await self._asking.ask(client, waiting, found.pods, deployment, bounds, as_worker=as_worker)
        except ModelyardError as error:
            reason = f"nothing could be asked: {error.why}"
            return await self._ended(waiting, held, NOT_POSSIBLE, traffic, (), reason, as_worker=as_worker)
        finally:
            keep.cancel()
            await asyncio.gather(keep, return_exceptions=True)
        failed = [check for check in checks if check.value is EvidenceValue.FAIL]
        answered = any(check.name == "answer" and check.value is EvidenceValue.PASS for check in checks)
        outcome = FAILED if failed else PASSED if answered else NOT_POSSIBLE
        reason = "; ".join(check.sentence for check in (failed or checks[:1]))
        ended = await self._ended(waiting, held, outcome, traffic, checks, reason, as_worker=as_worker)
        if outcome == PASSED and found.before_traffic:
            await self._promoting.advance(waiting.context, waiting.namespace, waiting.name, as_worker=as_worker)
        return ended

    async def _keep(self, id: str) -> None:
        while True:
            await self._pause(validations.CLAIM.total_seconds() / 3)
            await validations.claim(self._foundation.database, id, self._me, self._foundation.clock.now())

    async def _ended(
        self,
        waiting: ValidationView,
        held: tuple[Snapshot, ...],
        outcome: str,
        traffic: str,
        checks: tuple[ProofCheckView, ...],
        reason: str,
        *,
        as_worker: bool,
    ) -> ValidationView:
        back = None
        if outcome == FAILED and waiting.on_failure != "nothing" and held and held[0].id == waiting.snapshot:
            back = await self._plans.last_good(waiting.context, held)
        if outcome == FAILED and waiting.on_failure != "nothing" and back is None:
            reason += "; there is no earlier snapshot that is approved to return to"
        ended = msgspec.structs.replace(
            waiting, outcome=outcome, traffic=traffic, ended_at=self._foundation.clock.now(), checks=checks,
            reason=reason, proposal=back.id if back is not None else "",
        )  # fmt: skip
        async with self._foundation.database.transaction() as transaction:
            ours = await validations.end(transaction, ended)
        if not ours:
            return await validations.validation(self._foundation.database, waiting.id) or ended
        await self._foundation.gate.record(
            await self._foundation.gate.who(as_worker=as_worker),
            "deploy.validation",
            waiting.service,
            "failed" if outcome == FAILED else "done",
            {
                "validation": waiting.id, "snapshot": waiting.snapshot, "outcome": outcome, "traffic": traffic,
                "reason": reason, "proposal": ended.proposal,
                "checks": [f"{check.name}: {check.value.value}: {check.sentence}" for check in checks],
            },
        )  # fmt: skip
        if back is not None and waiting.on_failure == "rollback":
            return await self._rolled_back(ended, as_worker=as_worker)
        return ended

    async def _rolled_back(self, ended: ValidationView, *, as_worker: bool) -> ValidationView:
        """Return to the proposed snapshot, as the deployment file says; a refusal leaves the proposal to a person."""
        told = "rolled back"
        try:
            plan = await self._plans.rollback(ended.namespace, ended.name, ended.proposal, context=ended.context)
            await self._plans.apply(
                plan, as_worker=as_worker, because={"validation": ended.id, "on_behalf_of": ended.actor}
            )
        except ModelyardError as error:
            _LOG.warning("rollback of %s: %s", ended.service, error)
            told = f"refused: {error.why}"
        async with self._foundation.database.transaction() as transaction:
            await validations.answer(transaction, ended.id, told)
        return msgspec.structs.replace(ended, answer=told)


def _deployment(snapshot: Snapshot) -> DeploymentFile | None:
    return parse(snapshot.intent.deployment, "snapshot") if snapshot.intent.deployment else None
