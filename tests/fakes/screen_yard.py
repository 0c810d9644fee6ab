"""A whole yard for the screen's tests: holds views, records what it is asked, publishes events, fails on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from backend.core.errors import ModelyardError, NotFoundError, UsageError
from backend.core.events import (
    Event,
    EventHub,
    LedgerAppended,
    ServiceChanged,
    ServiceRemoved,
    StatusChanged,
    Subscription,
    Topic,
)
from backend.core.views import (
    AlertView,
    AppliedView,
    BlastView,
    CanaryView,
    ChangeView,
    CutOffView,
    DiffLineView,
    ExportView,
    FieldClaimView,
    FitView,
    GpuSnapshotView,
    ImageView,
    LedgerEntryView,
    ObjectPlanView,
    PlanView,
    RunningView,
    RuntimeDetailView,
    RuntimeView,
    ServiceDetailView,
    ServiceView,
    SnapshotView,
    TemplateView,
    ValidationView,
    Verdict,
    VerificationView,
    YardStatusView,
)
from tests.fakes import screen_data as data
from tests.fakes.screen_alerts import FakeAlerts
from tests.fakes.screen_forms import FakeForms
from tests.fakes.screen_history import FakeTelemetry
from tests.fakes.screen_library import FakeLibrary, FakeRules, FakeRuns
from tests.fakes.screen_queue import FakeEvidence, FakeQueue


class FakeClock:
    """A clock that stands until it is moved."""

    def __init__(self, at: datetime = data.NOW) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def move(self, **parts: float) -> None:
        """Let time pass."""
        self.at += timedelta(**parts)


class FakeYard:
    """The yard.

    Args:
        empty: a first run: nothing configured, nothing known.
        errors: method name ("services", "approve") to the error that it raises.
        many: so many services more.
        images: so many images.
        status: changes of the status.
    """

    def __init__(
        self,
        *,
        empty: bool = False,
        errors: dict[str, ModelyardError] | None = None,
        many: int = 0,
        images: int = 60,
        status: dict[str, object] | None = None,
    ) -> None:
        self.hub = EventHub()
        self.empty = empty
        self.errors = errors or {}
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        #: Lines of a log that is followed; an empty one ends it.
        self.log: asyncio.Queue[str] = asyncio.Queue()
        self.closed = False
        self.started = False
        nothing = {
            "name": "modelyard",
            "context": "",
            "sources": (),
            "library_total": 0,
            "library_approved": 0,
            "queue_waiting": 0,
            "worker": "",
            "unrestricted": True,
            "roles": (),
            "actor": "robin",
            "actor_source": "os",
        }
        self.status_view = data.status(**{**(nothing if empty else {}), **(status or {})})
        self.service_views = {} if empty else {view.key: view for view in data.services()}
        for index in range(many):
            view = data.service("bulk", f"model-{index:05d}", Verdict.SERVING)
            self.service_views[view.key] = view
        self.candidate_views = [] if empty else data.candidates()
        self.image_views: Sequence[ImageView] = [] if empty else data.images(images)
        unseen = "no GPU source: neither NVML on this machine nor a DCGM exporter in the cluster"
        nothing_seen = GpuSnapshotView(at=data.NOW, gpus=(), servers=(), notes=(unseen,))
        self.snapshot_view = nothing_seen if empty else data.gpus()
        self.running_views = [] if empty else data.running()
        self.validation_views = [] if empty else [data.validation(view, "failed") for view in data.services()[:1]]
        self.canary_of = ""
        self.drifted_views: list[RunningView] = []
        self.change_views = [] if empty else data.changes()
        self.entries_view = [] if empty else data.ledger()
        self.verification = VerificationView(entries=len(self.entries_view), head="a" * 64, intact=True)
        self.plan_refusals: tuple[str, ...] = ()
        self.plan_fit: FitView | None = None
        self.plan_fields: tuple[str, ...] = ()
        self.cut_off_views: list[CutOffView] = []
        self.library = FakeLibrary(self)
        self.rules = FakeRules(self)
        self.runs = FakeRuns(self)
        self.queue = FakeQueue(self)
        self.evidence = FakeEvidence(self)
        self.deployments = FakeDeployments(self)
        self.runtimes = FakeRuntimes(self)
        self.forms = FakeForms(self)
        self.gpus = FakeGpus(self)
        self.audit = FakeAudit(self)
        self.alert_views: list[AlertView] = []
        self.alerts = FakeAlerts(self)
        self.telemetry = FakeTelemetry(self)

    def called(self, name: str) -> list[tuple[Any, ...]]:
        """The arguments of every call of a method."""
        return [arguments for called, arguments in self.calls if called == name]

    def note(self, name: str, *arguments: Any) -> None:
        """Remember a call, and fail if that was asked for."""
        self.calls.append((name, arguments))
        if error := self.errors.get(name):
            raise error

    def publish(self, topic: Topic, event: Event) -> None:
        """Tell subscribers."""
        self.hub.publish(topic, event)

    def put_service(self, view: ServiceView) -> None:
        """Make or change a service, as the cluster would."""
        self.service_views[view.key] = view
        self.publish(Topic.SERVICES, ServiceChanged(key=view.key, service=view))

    def remove_service(self, key: str) -> None:
        """Take a service away."""
        del self.service_views[key]
        self.publish(Topic.SERVICES, ServiceRemoved(key=key))

    def put_status(self, **changes: object) -> None:
        """Change what the title bar tells."""
        self.status_view = msgspec.structs.replace(self.status_view, **changes)
        self.publish(Topic.STATUS, StatusChanged(status=self.status_view))

    def append(self, entry: LedgerEntryView) -> None:
        """Let the ledger grow."""
        self.entries_view.insert(0, entry)
        self.publish(Topic.LEDGER, LedgerAppended(key=str(entry.seq), entry=entry))

    def status(self) -> YardStatusView:
        return self.status_view

    def subscribe(self, *topics: Topic) -> Subscription:
        return self.hub.subscribe(topics)

    async def changes(self, hours: float = 1) -> list[ChangeView]:
        self.note("changes", hours)
        return list(self.change_views)

    async def start(self) -> None:
        self.note("start")
        self.started = True

    async def close(self) -> None:
        self.closed = True
        self.hub.close()


class FakeDeployments:
    """Services: what is asked is done at once."""

    def __init__(self, yard: FakeYard) -> None:
        self._yard = yard

    async def services(self, *, unread: object = None) -> list[ServiceView]:
        self._yard.note("services")
        return list(self._yard.service_views.values())

    async def service(self, namespace: str, name: str, *, context: str = "") -> ServiceDetailView:
        self._yard.note("service", namespace, name)
        return data.detail(self._find(namespace, name))

    async def draft(self, reference: str, name: str, namespace: str) -> str:
        self._yard.note("draft", reference, name, namespace)
        return f"name: {name}\nnamespace: {namespace}\nimage: {reference}\nreplicas: {{min: 1, max: 1}}\n"

    async def plan(
        self, deployment_yaml: str, namespace: str | None = None, *, take: Sequence[str] = (), context: str = ""
    ) -> PlanView:
        self._yard.note("plan", deployment_yaml, namespace)
        fields = dict(line.split(": ", 1) for line in deployment_yaml.splitlines() if ": " in line)
        plan = self._plan(fields["namespace"], fields["name"], fields["image"], "create", deployment_yaml)
        if not self._yard.plan_fields:
            return plan
        claims = [
            FieldClaimView(object=f"InferenceService {plan.name}", field=one, manager="other-tool", taken=one in take)
            for one in self._yard.plan_fields
        ]
        refusals = tuple(f"{claim.field} is managed by other-tool" for claim in claims if not claim.taken)
        return msgspec.structs.replace(
            plan, fields=tuple(claims), take=tuple(take), refusals=refusals, conflicts=refusals
        )

    async def export(self, namespace: str, name: str, *, context: str = "") -> ExportView:
        self._yard.note("export", namespace, name)
        return ExportView(
            context="prod-eu1",
            namespace=namespace,
            name=name,
            deployment=f"name: {name}\nnamespace: {namespace}\nimage: {data.candidates()[-1].reference}\n",
            lost=("metadata.annotations.team: nlp is not in the file",),
            manifests=f"kind: InferenceService\nmetadata:\n  name: {name}\n",
        )

    async def manifests(self, plan: PlanView) -> str:
        self._yard.note("manifests", plan.id)
        return plan.manifests

    async def cut_off(self) -> list[CutOffView]:
        return list(self._yard.cut_off_views)

    async def settle_plan(self, apply: str, *, undo: bool = False) -> PlanView:
        self._yard.note("settle_plan", apply, undo)
        (one,) = (each for each in self._yard.cut_off_views if each.id == apply)
        plan = self._plan(one.namespace, one.name, one.image, "delete" if undo else "update", "name: x\n")
        return msgspec.structs.replace(plan, settles=one.id, undoes=undo)

    async def leave(self, apply: str) -> None:
        self._yard.note("leave", apply)
        self._yard.cut_off_views = [one for one in self._yard.cut_off_views if one.id != apply]

    async def apply(self, plan: PlanView) -> AppliedView:
        self._yard.note("apply", plan.id)
        view = data.service(
            plan.namespace,
            plan.name,
            Verdict.STARTING,
            "pulling the image",
            ready_replicas=0,
            images=(plan.image,),
            since=data.NOW,
        )
        self._yard.put_service(view)
        return AppliedView(
            context="prod-eu1",
            namespace=plan.namespace,
            name=plan.name,
            changed=True,
            objects=("InferenceService",),
            snapshot="r43",
            resource_version="50000",
        )

    async def scale(self, namespace: str, name: str, replicas: int, *, context: str = "") -> AppliedView:
        return self._change("scale", namespace, name, wanted_replicas=replicas, arguments=(replicas,))

    async def stop(self, namespace: str, name: str, *, context: str = "") -> AppliedView:
        return self._change("stop", namespace, name, verdict=Verdict.STOPPED, ready_replicas=0)

    async def shell(
        self, namespace: str, pod: str, *, container: str, command: tuple[str, ...] = ("sh",), context: str = ""
    ) -> tuple[str, ...]:
        self._yard.note("shell", namespace, pod, container, command)
        return ("true",)

    async def forward(self, namespace: str, pod: str, ports: str, *, context: str = "") -> tuple[str, ...]:
        self._yard.note("forward", namespace, pod, ports)
        return ("true",)

    async def weigh(self, namespace: str, name: str, weight: int, *, context: str = "") -> AppliedView:
        return self._change("weigh", namespace, name, traffic=f"weight {weight}", arguments=(weight,))

    async def start(self, namespace: str, name: str, *, context: str = "") -> AppliedView:
        return self._change("start", namespace, name, verdict=Verdict.STARTING)

    async def delete(self, namespace: str, name: str, *, context: str = "") -> None:
        self._yard.note("delete", namespace, name)
        self._yard.remove_service(self._find(namespace, name).key)

    async def snapshots(self, namespace: str, name: str, *, context: str = "") -> list[SnapshotView]:
        self._yard.note("snapshots", namespace, name)
        return data.snapshots(self._find(namespace, name))

    async def rollback_plan(
        self, namespace: str, name: str, snapshot: str | None = None, *, take: Sequence[str] = (), context: str = ""
    ) -> PlanView:
        self._yard.note("rollback_plan", namespace, name, snapshot)
        view = self._find(namespace, name)
        return self._plan(namespace, name, view.images[0], "update", "name: x\nnamespace: y\nimage: z\n")

    async def logs(
        self,
        namespace: str,
        pod: str,
        previous: bool = False,
        tail: int = 500,
        *,
        container: str = "",
        context: str = "",
    ) -> str:
        self._yard.note("logs", namespace, pod, previous)
        lines = [f"INFO 08-14 13:5{index % 10}:00 engine.py:{index} loading shard {index} of 30" for index in range(60)]
        return "\n".join(
            [
                *lines,
                f"WARNING {data.HOSTILE}",
                "ERROR KV cache needs 52 GiB, 11 GiB are free",
                "Traceback (most recent call last):",
                "ValueError: max_model_len is too large",
            ]
        )

    async def follow_logs(
        self, namespace: str, pod: str, *, container: str = "", tail: int = 500, context: str = ""
    ) -> AsyncGenerator[str, None]:
        self._yard.note("follow_logs", namespace, pod, container)
        for line in (f"{container} begins", f"WARNING {data.HOSTILE}"):
            yield line
        while (line := await self._yard.log.get()) != "":
            yield line

    async def namespaces(self, *, context: str = "") -> list[str]:
        return ["llm-dev", "llm-prod", "llm-search"]

    async def changes(
        self, namespace: str = "", name: str = "", *, context: str = "", hours: float = 1
    ) -> list[ChangeView]:
        self._yard.note("changes of", namespace, name)
        return [change for change in self._yard.change_views if name in change.object]

    async def running(self, state: str = "") -> list[RunningView]:
        self._yard.note("running")
        return self._yard.running_views

    async def drifted(self) -> list[RunningView]:
        return self._yard.drifted_views

    async def validations(self, namespace: str = "", name: str = "", *, context: str = "") -> list[ValidationView]:
        return [one for one in self._yard.validation_views if one.name == name]

    async def validate(self, namespace: str, name: str, *, context: str = "") -> ValidationView:
        self._yard.note("validate", namespace, name)
        return data.validation(self._find(namespace, name))

    async def canary(self, namespace: str, name: str, *, context: str = "") -> CanaryView:
        return data.canary(self._find(namespace, name), going_on=name == self._yard.canary_of)

    async def promote(self, namespace: str, name: str, percent: int | None = None, *, context: str = "") -> AppliedView:
        return self._change("promote", namespace, name, arguments=(percent,))

    async def abort(self, namespace: str, name: str, *, context: str = "") -> AppliedView:
        return self._change("abort", namespace, name)

    async def blast(
        self, namespace: str, name: str, verb: str, *, replicas: int | None = None, context: str = ""
    ) -> BlastView:
        self._yard.note("blast", namespace, name, verb)
        return data.blast(self._find(namespace, name), verb)

    def _find(self, namespace: str, name: str) -> ServiceView:
        wanted = [key for key in self._yard.service_views if key.partition("/")[2] == f"{namespace}/{name}"]
        found = self._yard.service_views[wanted[0]] if wanted else None
        if found is None:
            raise NotFoundError(f"service {namespace}/{name}", "the cluster has no such service", "look at the list")
        return found

    def _change(
        self, verb: str, namespace: str, name: str, *, arguments: tuple[Any, ...] = (), **changes: object
    ) -> AppliedView:
        self._yard.note(verb, namespace, name, *arguments)
        self._yard.put_service(msgspec.structs.replace(self._find(namespace, name), **changes))
        return AppliedView(
            context="prod-eu1",
            namespace=namespace,
            name=name,
            changed=True,
            objects=(),
            snapshot="r43",
            resource_version="50001",
        )

    def _plan(self, namespace: str, name: str, image: str, action: str, deployment: str) -> PlanView:
        diff = [
            DiffLineView(mark=" ", text="spec:"),
            DiffLineView(mark=" ", text="  predictor:"),
            DiffLineView(mark="-", text="      - --max-model-len=131072"),
            DiffLineView(mark="+", text="      - --max-model-len=8192"),
            DiffLineView(mark="+", text=f"      image: {image}"),
        ]
        planned = ObjectPlanView(
            api_version="serving.kserve.io/v1beta1",
            kind="InferenceService",
            namespace=namespace,
            name=name,
            action=action,
            diff=tuple(diff),
            resource_version="48211",
        )
        return PlanView(
            id=f"plan-{namespace}-{name}",
            context="prod-eu1",
            namespace=namespace,
            name=name,
            image=image,
            objects=(planned,),
            gates=data.candidates()[2].gates,
            refusals=self._yard.plan_refusals,
            warnings=("one replica: a node that goes takes the service with it",),
            outage="1 of 2 replicas missing for about 6 min",
            not_fixed=("model.revision: the weights behind the profile may change",),
            kubectl=(f"kubectl -n {namespace} apply --server-side -f {name}.yaml",),
            manifests=f"apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata:\n  name: {name}\n",
            deployment=deployment,
            fit=self._yard.plan_fit,
        )


class FakeRuntimes:
    """Runtimes: those of the data, and what was installed."""

    def __init__(self, yard: FakeYard) -> None:
        self._yard = yard
        self.views = [] if yard.empty else data.runtimes()

    async def runtimes(self, *, context: str = "") -> list[RuntimeView]:
        self._yard.note("runtimes")
        return list(self.views)

    async def runtime(self, name: str, namespace: str | None = None, *, context: str = "") -> RuntimeDetailView:
        self._yard.note("runtime", name, namespace)
        (view,) = (one for one in self.views if one.name == name and namespace in (None, one.namespace))
        manifest = f"apiVersion: serving.kserve.io/v1alpha1\nkind: ServingRuntime\nmetadata:\n  name: {name}\n"
        notes = ("editing it starts the pods of the 3 services that use it anew",) if view.used_by else ()
        return RuntimeDetailView(runtime=view, manifest=manifest, notes=notes)

    async def difference(self, one: str, other: str, *, context: str = "") -> tuple[DiffLineView, ...]:
        self._yard.note("difference", one, other)
        return (DiffLineView(mark="-", text=f"  image: {one}"), DiffLineView(mark="+", text=f"  image: {other}"))

    async def catalogue(self) -> tuple[list[TemplateView], list[UsageError]]:
        return data.templates(), [UsageError("runtimes/own.yaml:3", "unknown key 'imag'", "did you mean 'images'?")]

    async def plan(
        self,
        template: str,
        image: str,
        namespace: str,
        *,
        name: str = "",
        secrets: Mapping[str, str] | None = None,
        pull_secrets: Sequence[str] = (),
        claims: Mapping[str, str] | None = None,
        context: str = "",
    ) -> PlanView:
        self._yard.note("runtime_plan", template, image, namespace, name)
        plan = self._yard.deployments._plan(namespace, name or f"{template}-1-abcdef", image, "create", "")
        return msgspec.structs.replace(plan, subject="runtime")


class FakeGpus:
    """GPUs."""

    def __init__(self, yard: FakeYard) -> None:
        self._yard = yard

    async def snapshot(self) -> GpuSnapshotView:
        self._yard.note("snapshot")
        return self._yard.snapshot_view


class FakeAudit:
    """The ledger."""

    def __init__(self, yard: FakeYard) -> None:
        self._yard = yard

    async def entries(
        self,
        limit: int = 200,
        before: int | None = None,
        *,
        actor: str = "",
        action: str = "",
        object: str = "",
        outcome: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[LedgerEntryView]:
        self._yard.note("entries", limit, before, actor, action, since)
        return [
            entry
            for entry in self._yard.entries_view
            if (before is None or entry.seq < before)
            and (not actor or entry.actor == actor)
            and (not action or fnmatchcase(entry.action, action))
            and object in entry.object
            and (not outcome or entry.outcome == outcome)
            and (since is None or entry.at >= since)
            and (until is None or entry.at < until)
        ][:limit]

    async def verify(self, anchor: str | None = None) -> VerificationView:
        self._yard.note("verify")
        return self._yard.verification


def opener(yard: FakeYard) -> Callable[[], Awaitable[FakeYard]]:
    """What opens the fake."""

    async def open_yard() -> FakeYard:
        yard.note("open")
        return yard

    return open_yard
