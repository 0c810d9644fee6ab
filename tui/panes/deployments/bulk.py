"""Stopping and starting every marked service: one dialog that lists them, and what became of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from backend.core.errors import ModelyardError
from backend.core.views import ServiceMetricsView, ServiceView, Verdict
from tui import format as fmt
from tui.document import Line, Span, join, text
from tui.model import PartName
from tui.panes.common.text import TextPage, log_line
from tui.panes.deployments.actions import STOP, ServiceActions
from tui.panes.deployments.columns import is_old
from tui.panes.deployments.kubectl import kubectl, resource
from tui.panes.deployments.view_model import look, metrics_key
from tui.ports import ScreenYard
from tui.widgets.fields import Field, Values, typed_name

_NAMED: Final = 8
_STOPPABLE: Final = frozenset({"InferenceService", "LLMInferenceService"})


class MarkedServices(ServiceActions):
    """Marks on services by their keys, and what is done to all that have one."""

    def __init__(self) -> None:
        super().__init__()
        # The column of marks looks at this very set.
        self.marked: set[str] = set()
        self._marked_last = ""

    def rows(self) -> Sequence[ServiceView]:
        """The rows that are shown."""
        raise NotImplementedError

    def at(self) -> int:
        """The row of the cursor."""
        raise NotImplementedError

    def show_marks(self) -> None:
        """Draw the marks, and count them in the heading."""
        raise NotImplementedError

    def chosen(self) -> list[ServiceView]:
        """The marked services, as they are now."""
        services = self.model.services.value
        self.marked.intersection_update(services)
        return [services[key] for key in sorted(self.marked)]

    def measured(self) -> Mapping[str, ServiceMetricsView]:
        """What model servers measure, by `metrics_key`."""
        raise NotImplementedError

    def contexts_meant(self) -> set[str]:
        return {service.context for service in self.chosen()} or super().contexts_meant()

    # ------------------------------------------------------------ marks

    def act_look_mark(self) -> None:
        service = self.current_service()
        if service is None:
            return
        self.marked.symmetric_difference_update((service.key,))
        self._marked_last = service.key if service.key in self.marked else ""
        self.act_move_down()
        self.show_marks()

    def act_look_mark_range(self) -> None:
        keys = [service.key for service in self.rows()]
        if self._marked_last not in keys or not keys:
            self.room.flash("mark the first row with Space", bad=True)
            return
        start, end = sorted((keys.index(self._marked_last), self.at()))
        self.marked.update(keys[start : end + 1])
        self.show_marks()

    def act_look_mark_all(self) -> None:
        if self.marked:
            self.marked.clear()
        else:
            self.marked.update(service.key for service in self.rows())
        self.show_marks()

    def act_look_mark_invert(self) -> None:
        self.marked.symmetric_difference_update(service.key for service in self.rows())
        self.show_marks()

    def act_program_back(self) -> None:
        if self.marked and not (self.filter is not None and self.filter.typed):
            self.marked.clear()
            self.show_marks()
        else:
            super().act_program_back()

    # ------------------------------------------------------------ changing

    def act_deploy_stop(self) -> None:
        chosen = self.chosen()
        if not chosen:
            super().act_deploy_stop()
            return
        chosen = [service for service in chosen if service.kind in _STOPPABLE]
        if not chosen:
            self.room.flash("none of the marked ones can be stopped", bad=True)
            return
        running = [service for service in chosen if service.verdict is not Verdict.STOPPED]
        self._ask_about("start" if not running else "stop", running or chosen, len(chosen))

    def act_deploy_start(self) -> None:
        chosen = self.chosen()
        if not chosen:
            super().act_deploy_start()
            return
        stopped = [one for one in chosen if one.verdict is Verdict.STOPPED and one.kind in _STOPPABLE]
        if stopped:
            self._ask_about("start", stopped, len(chosen))
        else:
            self.room.flash("none of the marked services is stopped", bad=True)

    def _ask_about(self, verb: str, chosen: Sequence[ServiceView], marked: int) -> None:
        yard = self.room.feed.yard
        if yard is None:
            return

        async def perform(_values: Values) -> object:
            return [(service, await self._one(yard, verb, service)) for service in chosen]

        what = fmt.count(len(chosen), "service")
        self.ask(
            f"{verb.capitalize()} {what}?",
            _lines(
                verb,
                chosen,
                marked,
                hidden=len({one.key for one in chosen} - {one.key for one in self.rows()}),
                measured=self.measured(),
            ),
            verb.capitalize(),
            perform,
            fields=self._count_field(len(chosen), chosen[0]),
            danger=verb == "stop",
            done=lambda result: self._told(verb, result),
        )

    def _count_field(self, number: int, first: ServiceView) -> list[Field]:
        if self.room.settings.confirm != "type-name":
            return []
        return [typed_name(first.name if number == 1 else str(number))]

    async def _one(self, yard: ScreenYard, verb: str, service: ServiceView) -> ModelyardError | None:
        annotation = f"{STOP}=true --overwrite" if verb == "stop" else f"{STOP}-"
        command = f"{kubectl(service)} annotate {resource(service)} {service.name} {annotation}"
        act = yard.deployments.stop if verb == "stop" else yard.deployments.start
        try:
            await self._run(command, act(service.namespace, service.address, context=service.context))
        except ModelyardError as error:
            return error
        return None

    def _told(self, verb: str, result: object) -> None:
        if not isinstance(result, list):
            return
        outcomes: list[tuple[ServiceView, ModelyardError | None]] = result
        failed = [error for _, error in outcomes if error is not None]
        self.marked.difference_update(service.key for service, error in outcomes if error is None)
        self.show_marks()
        self.room.feed.read(PartName.SERVICES, PartName.CHANGES)
        done = "stopped" if verb == "stop" else "started"
        if not failed:
            self.room.flash(f"{done} {len(outcomes)} of {len(outcomes)}; the list follows what the cluster does")
            return

        async def read() -> str:
            return "\n".join(_outcome(done, service, error) for service, error in outcomes)

        title = f"{done.upper()} {len(outcomes) - len(failed)} OF {len(outcomes)}"
        self.room.push_screen(TextPage(title, read, log_line, wraps=True, note="what failed is still marked"))


def _outcome(done: str, service: ServiceView, error: ModelyardError | None) -> str:
    name = f"{service.context} {service.namespace}/{service.name}"
    return f"{name}: {done}" if error is None else f"{name}: error: {error.why}; {error.action}"


def _lines(
    verb: str, chosen: Sequence[ServiceView], marked: int, *, hidden: int, measured: Mapping[str, ServiceMetricsView]
) -> list[Line]:
    several = len({service.context for service in chosen}) > 1
    lines: list[Line] = []
    for service in chosen[:_NAMED]:
        _, word, role = look(service)
        where = f"{service.context} " if several else ""
        name = text(f"{where}{service.namespace}/{service.name}", "name")
        held = text(fmt.count(service.gpus, "GPU"), "muted") if service.gpus else ()
        lines.append(join((Span("  "),), name, (Span(word, role),), held, gap="  "))
    if len(chosen) > _NAMED:
        lines.append(text(f"  and {len(chosen) - _NAMED} more", "muted"))
    if hidden:
        lines.append(text(f"{hidden} of them are hidden by the filter", "warn"))
    if marked > len(chosen):
        state = "stopped already" if verb == "stop" else "not stopped"
        lines.append(text(f"{marked - len(chosen)} marked ones are {state} and left alone", "muted"))
    gpus = sum(service.gpus for service in chosen)
    if verb == "stop":
        lines.append(text(f"Their pods end and {fmt.count(gpus, 'GPU')} become free; the services are kept."))
        serving = sum(service.verdict is Verdict.SERVING for service in chosen)
        if serving:
            lines.append(text(f"{fmt.count(serving, 'of them serves', 'of them serve')} now.", "warn"))
        if asked := [measured.get(metrics_key(service)) for service in chosen if service.ready_replicas]:
            lines.append(traffic_line(asked))
    else:
        lines.append(text("They start cold: scheduling, pulling, loading."))
    return lines


def traffic_line(serving: Sequence[ServiceMetricsView | None]) -> Line:
    """How many requests those that serve get together, and of how many of them that is not known now."""
    told = [one.requests_per_second for one in serving if one is not None and not is_old(one)]
    rates = [rate for rate in told if rate is not None]
    silent = fmt.count(len(serving) - len(rates), "service")
    if not rates:
        return text(f"The requests of {silent} are not known.", "warn")
    line = f"They get {sum(rates):.1f} requests a second, which nothing answers then"
    if len(rates) < len(serving):
        return text(f"{line}; of {silent} it is not known.", "warn")
    return text(f"{line}.", "warn" if sum(rates) else "muted")
