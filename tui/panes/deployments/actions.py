"""What can be done to a service: looks at it, and the dialogs before it is changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import Final

from backend.core.views import (
    INFERENCE_SERVICE,
    AlertView,
    GpuView,
    ServiceDetailView,
    ServiceView,
    SourceState,
    Verdict,
    YardStatusView,
)
from tui import format as fmt
from tui.action import Action
from tui.document import EMPTY, Line, plain, text
from tui.model import PartName
from tui.panes.alerts import view_model as alerts
from tui.panes.alerts.actions import AlertActions
from tui.panes.common.text import TextPage, log_line, yaml_line
from tui.panes.deployments.detail_model import event_lines, summary
from tui.panes.deployments.hand_over import HandOverActions
from tui.panes.deployments.kubectl import kubectl, resource
from tui.panes.deployments.proof_actions import ProofActions
from tui.panes.gpus.history_actions import HistoryActions
from tui.ports import ScreenYard
from tui.widgets.fields import Field, Values, typed_name

_MOST_REPLICAS = 1000
STOP: Final = "serving.kserve.io/stop"
#: States of a cluster in which nothing can be written to it.
_CLOSED: Final = frozenset({SourceState.LOST, SourceState.REFUSED})
#: What may be done to other kinds than InferenceServices.
_OF_KIND: Final = {
    "LLMInferenceService": ("deploy.stop", "deploy.start", "deploy.weigh", "deploy.exec", "deploy.forward")
}


class ServiceActions(HandOverActions, ProofActions, AlertActions, HistoryActions):
    """Actions on the service that a page points at."""

    def gpus_here(self) -> Sequence[GpuView]:
        """The GPUs that are meant, where the page points at GPUs."""
        return ()

    def alerts_here(self) -> Sequence[AlertView]:
        service, going = self.current_service(), self.model.alerts.value
        mine = {alert.id for alert in alerts.of_gpus(going, self.gpus_here())}
        if service is not None:
            mine |= {alert.id for alert in alerts.of_service(going, service.key)}
        return [alert for alert in going if alert.id in mine]

    def perform(self, action: Action, *arguments: str) -> None:
        """Do an action, unless it is for InferenceServices and the page points at another kind."""
        service = self.current_service()
        kind = service.kind if service is not None else INFERENCE_SERVICE
        # What was cut off is settled whatever the page points at.
        mutates = "" if action.id == "deploy.settle" else action.mutates or ""
        if kind != INFERENCE_SERVICE and mutates.startswith("deploy.") and action.id not in _OF_KIND.get(kind, ()):
            self.room.flash(f"{action.title}: a {kind} is only looked at here", bad=True)
            return
        if mutates.startswith("deploy.") and (
            why := lost(self.model.status, self.contexts_meant(), self.room.clock.now())
        ):
            self.room.flash(f"{action.title}: {why}", bad=True)
            return
        super().perform(action, *arguments)

    def contexts_meant(self) -> set[str]:
        """Contexts of the services that an action would change."""
        service = self.current_service()
        return {service.context} if service is not None else set()

    # ------------------------------------------------------------ looking

    def act_look_manifest(self) -> None:
        service = self._service()
        if service is None:
            return

        async def read() -> str:
            return (await self._detail(service)).manifest

        self.room.push_screen(TextPage(f"MANIFEST {service.namespace}/{service.name}", read, yaml_line))

    def act_look_logs(self) -> None:
        self._logs(previous=False)

    def act_look_previous_logs(self) -> None:
        self._logs(previous=True)

    def act_look_events(self) -> None:
        service = self._service()
        if service is None:
            return

        async def read() -> str:
            detail = await self._detail(service)
            return "\n".join(plain(line) for line in event_lines(detail, self.room.clock.now()))

        self.room.push_screen(TextPage(f"EVENTS {service.namespace}/{service.name}", read, log_line, wraps=True))

    def _logs(self, *, previous: bool) -> None:
        from tui.panes.deployments.logs import LogPage

        if (service := self._service()) is not None:
            self.room.push_screen(LogPage(service, previous=previous))

    # ------------------------------------------------------------ changing

    def act_deploy_stop(self) -> None:
        service = self._service()
        if service is None:
            return
        if service.verdict is Verdict.STOPPED:
            self.act_deploy_start()
            return
        if service.kind != INFERENCE_SERVICE:
            told = text(f"Its pods end and {fmt.count(service.gpus, 'GPU')} become free; the service itself is kept.")
            self._ask_stop(service, (told,))
            return
        self.after_blast(service, "stop", lambda ends: self._ask_stop(service, ends))

    def _ask_stop(self, service: ServiceView, ends: Sequence[Line]) -> None:
        kept = text("The service itself is kept; S starts it again, which is a cold start.", "muted")
        self._ask(
            "Stop",
            service,
            (summary(service), *ends, kept),
            lambda yard: yard.deployments.stop(service.namespace, service.address, context=service.context),
            f"{kubectl(service)} annotate {resource(service)} {service.name} {STOP}=true --overwrite",
        )

    def act_deploy_start(self) -> None:
        service = self._service()
        if service is None:
            return
        if service.kind != INFERENCE_SERVICE:
            self._ask_start(service, ())
            return
        self.after_blast(service, "start", lambda ends: self._ask_start(service, ends))

    def _ask_start(self, service: ServiceView, ends: Sequence[Line]) -> None:
        self._ask(
            "Start",
            service,
            (summary(service), *ends, text("It starts cold: scheduling, pulling, loading.", "muted")),
            lambda yard: yard.deployments.start(service.namespace, service.address, context=service.context),
            f"{kubectl(service)} annotate {resource(service)} {service.name} {STOP}-",
            danger=False,
        )

    def act_deploy_weigh(self, weight: str = "") -> None:
        """Set the share of its group's traffic that an LLMInferenceService gets."""
        service = self._service()
        if service is None:
            return
        if service.kind == INFERENCE_SERVICE:
            self.room.flash("an InferenceService has a canary: P promotes it", bad=True)
            return
        yard = self.room.feed.yard
        lines = (summary(service), text(service.traffic or "It shares its traffic with no other.", "accent"))

        async def perform(values: Values) -> object:
            if yard is None:
                return None
            share = int(values["weight"])
            command = (
                f"{kubectl(service)} patch {resource(service)} {service.name} --type=merge "
                f'-p \'{{"spec":{{"router":{{"route":{{"weight":{share}}}}}}}}}\''
            )
            return await self._run(
                command, yard.deployments.weigh(service.namespace, service.address, share, context=service.context)
            )

        field = Field(id="weight", label="Weight in its group", value=weight, check=check_replicas)
        self.ask(
            f"Weight of {service.namespace}/{service.name}",
            lines,
            "Set",
            perform,
            fields=[field, *self._name_field(service)],
            done=self._done("weight set"),
        )

    def act_deploy_delete(self) -> None:
        service = self._service()
        if service is None:
            return
        makes = f"{service.owner} writes this object too, and may make it again."
        self.after_blast(
            service,
            "delete",
            lambda ends: self._ask(
                "Delete",
                service,
                (
                    summary(service),
                    text("The InferenceService is deleted with its pods."),
                    *ends,
                    text("Its snapshots stay in the yard: it can be deployed again from them.", "muted"),
                    text(makes, "warn") if service.owner else EMPTY,
                ),
                lambda yard: yard.deployments.delete(service.namespace, service.name, context=service.context),
                f"{kubectl(service)} delete inferenceservice {service.name}",
            ),
        )

    def act_deploy_scale(self, replicas: str = "") -> None:
        service = self._service()
        if service is None:
            return
        if replicas and not check_replicas(replicas):
            self._ask_scale(service, int(replicas))
            return
        per_replica = service.gpus // service.wanted_replicas if service.wanted_replicas else service.gpus
        lines = (summary(service), text(f"Each replica holds {fmt.count(per_replica, 'GPU')}.", "muted"))
        wanted = Field(
            id="replicas", label="Replicas", value=replicas or str(service.wanted_replicas), check=check_replicas
        )

        async def chosen(values: Values) -> object:
            return int(values["replicas"])

        def ask(count: object) -> None:
            if isinstance(count, int):
                self._ask_scale(service, count)

        self.ask(
            f"How many replicas of {service.namespace}/{service.name}?",
            lines,
            "Next",
            chosen,
            fields=[wanted],
            done=ask,
        )

    def _ask_scale(self, service: ServiceView, count: int) -> None:
        """Ask whether so many replicas shall serve, with what that ends."""
        command = (
            f"{kubectl(service)} patch inferenceservice {service.name} --type=merge "
            f'-p \'{{"spec":{{"predictor":{{"minReplicas":{count}}}}}}}\''
        )
        change = text(f"from {fmt.count(service.wanted_replicas, 'replica')} to {count}", "accent")

        def ask(ends: Sequence[Line]) -> None:
            self._ask(
                "Scale",
                service,
                (summary(service), change, *ends),
                lambda yard: yard.deployments.scale(service.namespace, service.name, count, context=service.context),
                command,
                danger=count < service.wanted_replicas,
            )

        self.after_blast(service, "scale", ask, replicas=count)

    def act_deploy_rollback(self) -> None:
        from tui.panes.deployments.plan import open_rollback

        service = self._service()
        if service is not None:
            self.open_later(open_rollback(self.room, service), "planning the rollback")

    # ------------------------------------------------------------ inside

    def _ask(
        self,
        verb: str,
        service: ServiceView,
        lines: Sequence[Line],
        act: Callable[[ScreenYard], Awaitable[object]],
        command: str,
        *,
        danger: bool = True,
    ) -> None:
        yard = self.room.feed.yard

        async def perform(_values: Values) -> object:
            return await self._run(command, act(yard)) if yard is not None else None

        self.ask(
            f"{verb} {service.namespace}/{service.name}?",
            lines,
            verb,
            perform,
            fields=self._name_field(service),
            danger=danger,
            done=self._done(f"{verb.lower()}: asked the cluster"),
        )

    async def _run(self, command: str, work: Awaitable[object]) -> object:
        try:
            result = await work
        except Exception:
            self.room.log_command(command, "failed")
            raise
        self.room.log_command(command, "done")
        return result

    def _done(self, told: str) -> Callable[[object], None]:
        def done(result: object) -> None:
            if result is not None:
                self.room.feed.read(PartName.SERVICES, PartName.CHANGES)
                self.room.flash(f"{told}; the list follows what the cluster does")

        return done

    def _name_field(self, service: ServiceView) -> list[Field]:
        return [typed_name(service.name)] if self.room.settings.confirm == "type-name" else []

    def _service(self) -> ServiceView | None:
        return self.pointed_service()

    async def _detail(self, service: ServiceView) -> ServiceDetailView:
        yard = self.room.feed.yard
        assert yard is not None, "pages show services only once the yard is open"  # noqa: S101 - an invariant
        return await yard.deployments.service(service.namespace, service.address, context=service.context)


def check_replicas(value: str) -> str:
    """Why a text is no number of replicas."""
    good = value.strip().isascii() and value.strip().isdigit() and int(value) <= _MOST_REPLICAS
    return "" if good else f"a whole number from 0 to {_MOST_REPLICAS}"


def lost(status: YardStatusView | None, contexts: Collection[str], now: datetime) -> str:
    """Why nothing may be changed in any of some contexts, in a clause; empty when all of them answer.

    What is shown of a cluster that is lost is old: nobody should decide by it, and the change would not arrive.
    """
    for source in status.sources if status is not None else ():
        if source.kind == "cluster" and source.name in contexts and source.state in _CLOSED:
            age = f" for {fmt.age(source.as_of, now)}" if source.as_of is not None else ""
            state = "refuses us" if source.state is SourceState.REFUSED else "is lost"
            told = f": {source.detail}" if source.detail else ""
            return f"writes are refused, {source.name} {state}{age}{told}"
    return ""
