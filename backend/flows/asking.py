"""Asks the pods of a rollout: for a real answer, and for what its model servers count over a window.

`pods/proxy` reaches a pod around gateway, keys and access logs: every request goes through the gate and is in the
ledger, and policy can turn it off.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec

from backend.cluster.client import ClusterClient
from backend.cluster.objects import Pod
from backend.cluster.resources import PODS
from backend.cluster.reviews import AccessRequest
from backend.core.errors import AccessDeniedError, NotFoundError, PolicyError, UnreachableError
from backend.core.permits import Permit
from backend.core.text import sanitise
from backend.core.views import EvidenceValue, ProofCheckView, ValidationView
from backend.flows.approvals import Approvals
from backend.flows.foundation import Foundation
from backend.flows.gate import Checks
from backend.library.facts import all_facts
from backend.serving.deployment import DeploymentFile
from backend.serving.digests import digest_of, is_sidecar
from backend.serving.engines import TRITON, Engine, engine_of
from backend.serving.probes import (
    ModelKind,
    Probe,
    kind_of,
    model_names,
    probes,
    read_answer,
    tensor_probe,
)
from backend.telemetry.engines import Kind
from backend.telemetry.model_servers import WINDOW
from backend.telemetry.scraping import ServerScrape
from backend.telemetry.sources import ClusterSource

_LOG = logging.getLogger(__name__)
#: Where KServe's own server serves OpenAI's API.
_PREFIXES: Final = ("", "/openai")
#: Longest that an answer is waited for where no bound is asked for.
_PATIENCE: Final = 120.0


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What a validation asks for: latency, the share of failed requests over a window; None: no bound."""

    latency: timedelta | None = None
    error_rate: float | None = None
    window: timedelta = timedelta(minutes=2)

    @classmethod
    def of(cls, deployment: DeploymentFile | None) -> Bounds:
        """Those of a deployment file."""
        if deployment is None:
            return cls()
        asked = deployment.validation
        return cls(latency=asked.latency, error_rate=asked.error_rate, window=asked.window)


class _Answer(msgspec.Struct, frozen=True):
    status: int
    body: bytes
    seconds: float


class _Place(msgspec.Struct, frozen=True):
    """The pod that is asked, and what is known of its server."""

    pod: Pod
    port: int
    engine: Engine
    arguments: tuple[str, ...]
    images: tuple[str, ...]


class Asking:
    """Makes the checks of a validation."""

    def __init__(
        self,
        foundation: Foundation,
        approvals: Approvals,
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._foundation = foundation
        self._approvals = approvals
        self._pause = pause

    def require_allowed(self, what: str) -> None:
        """Raises PolicyError when policy turned validations off."""
        if not self._foundation.policy.config.validation:
            raise PolicyError(
                what,
                "policy lets no pod be asked through the API server (validation = false)",
                "ask the service through its gateway by hand",
            )

    async def ask(
        self,
        client: ClusterClient,
        waiting: ValidationView,
        pods: Sequence[Pod],
        deployment: DeploymentFile | None,
        bounds: Bounds,
        *,
        as_worker: bool,
    ) -> tuple[ProofCheckView, ...]:
        """The checks of a rollout that is there.

        Args:
            pods: of the rollout, the one to ask first.

        Raises:
            PolicyError, AccessDeniedError: nothing may be asked. UnreachableError: no pod answers.
        """
        place = await self._place(client, pods[0], deployment)
        kind = await self._kind(place)
        answer, seconds = await self._answer(client, waiting, place, kind, bounds, as_worker=as_worker)
        checks = [answer]
        if seconds is not None:
            checks.append(_latency(seconds, bounds.latency))
        if answer.value is not EvidenceValue.FAIL:
            checks.append(await self._errors(client, pods, bounds))
        return tuple(checks)

    async def _place(self, client: ClusterClient, pod: Pod, deployment: DeploymentFile | None) -> _Place:
        meta = pod.metadata
        whole = await client.get(PODS, meta.namespace, meta.name)
        containers = [each for each in pod.spec.containers if not is_sidecar(each)]
        first = next((each for each in containers if each.name == "kserve-container"), containers[0])
        engine = engine_of(first.image, deployment.runtime if deployment and not deployment.own_containers else "")
        ports = _ports(whole, first.name)
        port = ports[0] if ports else deployment.port if deployment else 8080 if engine is TRITON else 8000
        images = tuple(each.image for each in containers)
        return _Place(pod, port, engine, tuple(first.args or ()), images)

    async def _kind(self, place: _Place) -> ModelKind:
        facts = await all_facts(self._foundation.database)
        for image in place.images:
            known = facts.get(self._approvals.canonical(digest_of(image)))
            if known is not None:
                return kind_of(known.type, place.engine, place.arguments)
        return kind_of("", place.engine, place.arguments)

    async def _answer(
        self,
        client: ClusterClient,
        waiting: ValidationView,
        place: _Place,
        kind: ModelKind,
        bounds: Bounds,
        *,
        as_worker: bool,
    ) -> tuple[ProofCheckView, float | None]:
        patience = max(_PATIENCE, bounds.latency.total_seconds() * 2) if bounds.latency else _PATIENCE
        tried: list[str] = []
        for probe in await self._probes(client, waiting, place, kind, as_worker=as_worker):
            try:
                answer = await self._post(client, waiting, place, probe, patience, as_worker=as_worker)
            except UnreachableError as error:
                return _check("answer", EvidenceValue.FAIL, f"{probe.path} gave no answer: {error.why}"), None
            read = read_answer(probe, answer.status, answer.body)
            if read.good is None:
                tried.append(probe.path)
                continue
            value = EvidenceValue.PASS if read.good else EvidenceValue.FAIL
            told = f"{probe.kind.value}: {read.sentence} in {_spoken(answer.seconds)}"
            return _check("answer", value, told), answer.seconds
        told = f"it serves none of {', '.join(tried)}" if tried else "no request is known for what it serves"
        return _check("answer", EvidenceValue.NOT_MEASURED, told), None

    async def _probes(
        self, client: ClusterClient, waiting: ValidationView, place: _Place, kind: ModelKind, *, as_worker: bool
    ) -> tuple[Probe, ...]:
        if kind is not ModelKind.TENSORS:
            for prefix in _PREFIXES:
                names = model_names(await self._page(client, place, f"{prefix}/v1/models"))
                if names:
                    return probes(kind, place.engine, names[0], prefix=prefix)
        if kind in {ModelKind.TENSORS, ModelKind.UNKNOWN}:
            index = Probe(kind=ModelKind.TENSORS, path="/v2/repository/index", body=b"{}")
            answer = await self._post(client, waiting, place, index, _PATIENCE, as_worker=as_worker)
            names = model_names(answer.body) if answer.status == 200 else ()
            made = [tensor_probe(name, await self._page(client, place, f"/v2/models/{name}")) for name in names]
            return tuple(probe for probe in made if probe is not None)
        return probes(kind, place.engine, "")

    async def _page(self, client: ClusterClient, place: _Place, path: str) -> bytes:
        """A page of the pod; nothing where it has none."""
        meta = place.pod.metadata
        try:
            return await client.pod_proxy(meta.namespace, meta.name, place.port, path)
        except (NotFoundError, UnreachableError):
            return b""

    async def _post(
        self,
        client: ClusterClient,
        waiting: ValidationView,
        place: _Place,
        probe: Probe,
        patience: float,
        *,
        as_worker: bool,
    ) -> _Answer:
        meta, clock = place.pod.metadata, self._foundation.clock
        what = f"validation of {meta.namespace}/{waiting.name}"

        async def access() -> None:
            asked = AccessRequest(verb="create", resource="pods", subresource="proxy", namespace=meta.namespace)
            answer = await client.can_i(asked)
            if not answer.allowed:
                raise AccessDeniedError(
                    what,
                    answer.reason or f"RBAC does not allow to create pods/proxy in {meta.namespace}",
                    f"ask for the verb create on pods/proxy in {meta.namespace}",
                )

        async def policy() -> None:
            self.require_allowed(what)

        async def action(permit: Permit) -> _Answer:
            began = clock.monotonic()
            answer = await client.pod_request(
                permit, meta.namespace, meta.name, place.port, probe.path, probe.body, patience=patience
            )
            return _Answer(answer.status, answer.body, max(0.0, clock.monotonic() - began))

        return await self._foundation.gate.run(
            "deploy.validate",
            waiting.service,
            action,
            checks=Checks(access=access, policy=policy),
            detail={"pod": meta.name, "port": place.port, "path": probe.path, "validation": waiting.id},
            told=lambda answer: {"status": answer.status, "seconds": round(answer.seconds, 3)},
            as_worker=as_worker,
        )

    async def _errors(self, client: ClusterClient, pods: Sequence[Pod], bounds: Bounds) -> ProofCheckView:
        """The share of failed requests over the window, as the pods' model servers count them."""
        if bounds.error_rate is None:
            return _check("errors", EvidenceValue.NOT_MEASURED, "no bound is asked for (validation.errorRate)")
        source = ClusterSource(client, self._foundation.clock)
        scrapes = [ServerScrape(pod) for pod in pods]
        counts: dict[Kind, float] = {}
        left = bounds.window.total_seconds()
        await self._scrape(source, scrapes)
        while left > 0:
            turn = min(WINDOW, left)
            await self._pause(turn)
            left -= turn
            await self._scrape(source, scrapes)
            for scrape in scrapes:
                for kind, count in (scrape.metrics.window.counts if scrape.metrics else {}).items():
                    counts[kind] = counts.get(kind, 0.0) + count
        return _error_check(scrapes, counts, bounds)

    async def _scrape(self, source: ClusterSource, scrapes: Sequence[ServerScrape]) -> None:
        await asyncio.gather(*(scrape.scrape(source, self._foundation.clock) for scrape in scrapes))


def _spoken(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _latency(seconds: float, bound: timedelta | None) -> ProofCheckView:
    if bound is None:
        return _check("latency", EvidenceValue.NOT_MEASURED, f"{_spoken(seconds)}; no bound is asked for")
    good = seconds <= bound.total_seconds()
    value = EvidenceValue.PASS if good else EvidenceValue.FAIL
    return _check("latency", value, f"{_spoken(seconds)}, at most {_spoken(bound.total_seconds())} allowed")


def _error_check(scrapes: Sequence[ServerScrape], counts: Mapping[Kind, float], bounds: Bounds) -> ProofCheckView:
    window = f"in {bounds.window.total_seconds():g} s"
    if not any(scrape.metrics for scrape in scrapes):
        told = scrapes[0].failure if scrapes else "no pod"
        return _check("errors", EvidenceValue.NOT_MEASURED, f"model-server metrics: {told}")
    done, failed = counts.get(Kind.REQUESTS), counts.get(Kind.ERRORS)
    if done is None or failed is None:
        return _check("errors", EvidenceValue.NOT_MEASURED, "this model server does not count failed requests")
    if done <= 0:
        return _check("errors", EvidenceValue.NOT_MEASURED, f"no request ended {window}")
    share, allowed = failed / done, bounds.error_rate or 0.0
    value = EvidenceValue.PASS if share <= allowed else EvidenceValue.FAIL
    told = f"{failed:.0f} of {done:.0f} requests failed {window} ({share:.1%}), at most {allowed:.1%} allowed"
    return _check("errors", value, told)


def _check(name: str, value: EvidenceValue, sentence: str) -> ProofCheckView:
    return ProofCheckView(name=name, value=value, sentence=sanitise(sentence, 400))


def _ports(pod: Mapping[str, Any], container: str) -> list[int]:
    """The ports that a container states, those that are named for gRPC last."""
    found: list[tuple[bool, int]] = []
    for each in (pod.get("spec") or {}).get("containers") or ():
        if each.get("name") != container:
            continue
        for port in each.get("ports") or ():
            number = port.get("containerPort")
            if isinstance(number, int):
                name = str(port.get("name") or "")
                found.append((name.startswith(("grpc", "h2c", "metrics")), number))
    return [number for _, number in sorted(found, key=lambda each: each[0])]
