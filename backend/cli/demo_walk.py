"""`modelyard demo --headless`: the whole path once, through the facade that the screen uses, a line a step."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeVar

from backend.cli.session import logging_to_file, yard_options
from backend.config import load_configuration
from backend.core.errors import ModelyardError, PartialFailureError
from backend.core.events import Topic
from backend.core.garbage import collect_from_now_on
from backend.core.logs import Redactor
from backend.core.references import short_digest
from backend.core.text import sanitise
from backend.core.views import AppliedView, CandidateView, GpuState, ImageState, PlanView, ServiceView, Verdict
from backend.yard import Yard

if TYPE_CHECKING:
    from backend.cli.demo import DemoYard

_Seen = TypeVar("_Seen")
_SERVICE: Final = "walk-chat"
_NAMESPACE: Final = "llm-prod"
_READY_WITHIN: Final = 60.0
_BUSY_WITHIN: Final = 30.0


def walk(demo: DemoYard) -> int:
    """Synchronise, evaluate, approve by two people, plan, apply, wait until ready, see the GPU work, verify the ledger.

    Returns:
        0 when every step was seen.

    Raises:
        PartialFailureError: names the first step that failed.
    """
    redactor = Redactor()
    collect_from_now_on()
    with logging_to_file(redactor, debug=demo.options.debug):
        asyncio.run(_Walk(demo, redactor).run())
    return 0


class _Walk:
    """The steps, in order. Each prints what it saw and how long that took."""

    def __init__(self, demo: DemoYard, redactor: Redactor) -> None:
        self._demo = demo
        self._redactor = redactor
        self._started = time.monotonic()

    async def run(self) -> None:
        async with asyncio.timeout(110):
            person = await self._open(None)
            try:
                await self._with_person(person)
            finally:
                await person.close()
        sys.stdout.write(f"done     {time.monotonic() - self._started:6.2f} s  every step was seen\n")

    async def _with_person(self, person: Yard) -> None:
        await self._step("sync", lambda: self._synchronise(person))
        candidate = await self._step("evaluate", lambda: self._evaluate(person))
        await self._step("approve", lambda: self._approve(person, candidate))
        plan = await self._step("plan", lambda: self._plan(person, candidate))
        await person.start()
        applied = await self._step("apply", lambda: self._apply(person, plan))
        await self._step("ready", lambda: self._wait_until_serving(person))
        await self._step("prove", lambda: self._prove(person, applied))
        await self._step("gpu", lambda: self._see_gpu(person))
        await self._step("audit", lambda: self._verify(person))

    async def _open(self, colleague: str | None) -> Yard:
        options = self._demo.options if colleague is None else self._demo.seen_by(colleague)
        configuration = load_configuration(options.config)
        return await Yard.open(configuration, yard_options(options), redactor=self._redactor)

    async def _step(self, name: str, work: Callable[[], Awaitable[tuple[_Seen, str]]]) -> _Seen:
        began = time.monotonic()
        try:
            seen, told = await work()
        except (ModelyardError, TimeoutError) as error:
            why = str(error) if isinstance(error, ModelyardError) else "it took too long"
            raise PartialFailureError(f"demo step {name}", why, "run it again with --debug and see the log") from error
        sys.stdout.write(f"{name:8} {time.monotonic() - began:6.2f} s  {sanitise(told, 300)}\n")
        sys.stdout.flush()
        return seen

    async def _synchronise(self, yard: Yard) -> tuple[None, str]:
        result = await yard.runs.synchronise(evaluate=False)
        if not result.new:
            raise _unseen("nothing was taken in")
        failed = f", {len(result.failed)} refused (the demo's registry lies on purpose)" if result.failed else ""
        return None, f"{len(result.new)} tags taken in by {result.requests} requests{failed}"

    async def _evaluate(self, yard: Yard) -> tuple[CandidateView, str]:
        evaluated = await yard.evidence.evaluate()
        candidates = await yard.queue.candidates()
        passing = [one for one in candidates if one.gates and not one.blocked and one.type == "chat"]
        if not passing:
            raise _unseen("no chat image passes every gate")
        chosen = passing[0]
        blocked = sum(one.blocked for one in candidates)
        return chosen, (
            f"{evaluated} images evaluated, {blocked} held back by a gate; "
            f"{chosen.name} {short_digest(chosen.digest)}: " + "; ".join(gate.sentence for gate in chosen.gates)
        )

    async def _approve(self, person: Yard, candidate: CandidateView) -> tuple[None, str]:
        from backend.cli.demo import COLLEAGUE

        colleague = await self._open(COLLEAGUE)
        try:
            names = []
            for yard, reason in ((colleague, "evidence reviewed"), (person, "needed by the chat team")):
                shown = await yard.queue.candidate(candidate.reference)
                decision = await yard.queue.approve(
                    shown.reference, reason=reason, evidence_hash=shown.evidence_hash, policy_hash=shown.policy_hash
                )
                names.append(decision.actor)
        finally:
            await colleague.close()
        state = (await person.queue.candidate(candidate.reference)).state
        if state is not ImageState.APPROVED:
            raise _unseen(f"after two approvals it is {state.value}")
        return None, f"approved by {' and '.join(names)}"

    async def _plan(self, yard: Yard, candidate: CandidateView) -> tuple[PlanView, str]:
        draft = await yard.deployments.draft(candidate.reference, _SERVICE, _NAMESPACE)
        plan = await yard.deployments.plan(draft)
        if plan.refusals:
            raise _unseen(plan.refusals[0])
        lines = sum(line.mark != " " for planned in plan.objects for line in planned.diff)
        return plan, ", ".join(f"{one.action} {one.kind} {one.namespace}/{one.name}" for one in plan.objects) + (
            f" ({lines} lines), proved by a server-side dry run"
        )

    async def _apply(self, yard: Yard, plan: PlanView) -> tuple[AppliedView, str]:
        applied = await yard.deployments.apply(plan)
        return applied, f"{', '.join(applied.objects)}, snapshot {applied.snapshot}"

    async def _prove(self, yard: Yard, applied: AppliedView) -> tuple[None, str]:
        async with asyncio.timeout(_READY_WITHIN):
            proof = await yard.deployments.follow_validation(applied.validation, lambda _state: None)
        if proof.outcome != "passed":
            raise _unseen(f"its validation {proof.outcome}: {proof.reason}")
        return None, f"validated {proof.traffic}, {proof.reason}"

    async def _wait_until_serving(self, yard: Yard) -> tuple[None, str]:
        subscription = yard.subscribe(Topic.SERVICES)
        began = time.monotonic()
        verdicts: list[str] = []
        try:
            async with asyncio.timeout(_READY_WITHIN):
                while True:
                    service = _named(await yard.deployments.services())
                    if service is not None and (not verdicts or verdicts[-1] != service.verdict.value):
                        verdicts.append(service.verdict.value)
                    if service is not None and service.verdict is Verdict.SERVING:
                        break
                    await anext(subscription)
        except TimeoutError:
            raise _unseen(f"not serving after {time.monotonic() - began:.0f} s: {' > '.join(verdicts)}") from None
        finally:
            subscription.close()
        return None, " > ".join(verdicts)

    async def _see_gpu(self, yard: Yard) -> tuple[None, str]:
        deadline = time.monotonic() + _BUSY_WITHIN
        while True:
            snapshot = await yard.gpus.snapshot()
            ours = [gpu for gpu in snapshot.gpus if gpu.service == _SERVICE]
            working = [gpu for gpu in ours if gpu.state is GpuState.BUSY and gpu.engine_active is not None]
            if working:
                gpu = working[0]
                return None, (
                    f"{len(snapshot.gpus)} GPUs seen; {gpu.node} GPU {gpu.index} ({gpu.product}) serves {_SERVICE}: "
                    f"engine {gpu.engine_active:.0f} %, from {gpu.source}"
                )
            if time.monotonic() > deadline:
                raise _unseen(f"{len(ours)} GPUs hold the service and none works")
            await asyncio.sleep(yard.gpus.interval.total_seconds())

    async def _verify(self, yard: Yard) -> tuple[None, str]:
        found = await yard.audit.verify()
        if not found.intact:
            raise _unseen(found.reason)
        return None, f"{found.entries} ledger entries verified, head {found.head[:19]}"


def _named(services: list[ServiceView]) -> ServiceView | None:
    return next((one for one in services if (one.namespace, one.name) == (_NAMESPACE, _SERVICE)), None)


def _unseen(why: str) -> PartialFailureError:
    return PartialFailureError("demo", why, "run it again with --debug")
