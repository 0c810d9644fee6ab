"""Shells in containers and forwarded ports, by `kubectl`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from backend.core.views import ServiceDetailView, ServiceView
from tui.document import Line, text
from tui.outside import missing, run_outside
from tui.page import Page
from tui.panes.deployments.logs import sources_of
from tui.ports import ScreenYard
from tui.widgets.fields import Field, Values

_PORTS: Final = re.compile(r"(?:\d{1,5}:)?\d{1,5}\Z")
_DEFAULT_PORTS: Final = "8080:8000"


class HandOverActions(Page):
    """What is handed to `kubectl` for the service that a page points at."""

    def current_service(self) -> ServiceView | None:
        """The service that is meant."""
        raise NotImplementedError

    def act_deploy_exec(self) -> None:
        self._open(self._ask_shell, "finding its containers")

    def act_deploy_forward(self) -> None:
        self._open(self._ask_forward, "finding its pods")

    def _open(self, ask: Callable[[ScreenYard, ServiceView, ServiceDetailView], None], what: str) -> None:
        service, yard = self.current_service(), self.room.feed.yard
        if service is None or yard is None:
            self.room.flash("there is no service under the cursor", bad=True)
            return
        if why := missing("kubectl"):
            self.room.flash(why, bad=True)
            return

        async def read() -> None:
            detail = await yard.deployments.service(service.namespace, service.address, context=service.context)
            if detail.pods:
                ask(yard, service, detail)
            else:
                self.room.flash(f"{service.name} has no pod", bad=True)

        self.open_later(read(), what)

    def _ask_shell(self, yard: ScreenYard, service: ServiceView, detail: ServiceDetailView) -> None:
        running = [one.label for one in sources_of(detail.pods) if one.state.startswith("running")]
        labels = running or [one.label for one in sources_of(detail.pods)]

        async def perform(values: Values) -> object:
            pod, _, container = values["target"].partition("/")
            return await yard.deployments.shell(
                service.namespace,
                pod,
                container=container,
                command=tuple(shlex.split(values["command"])),
                context=service.context,
            )

        lines: list[Line] = [
            text("kubectl opens it here; the screen comes back when it ends."),
            text("The ledger keeps that it was opened, and not what is done in it.", "muted"),
        ]
        fields = (
            Field(id="target", label="Pod/container", value=labels[0], check=_one_of(labels), offers=tuple(labels[1:])),
            Field(id="command", label="Command", value="sh", check=_check_command, offers=("bash", "nvidia-smi")),
        )
        self._ask_to_run(f"Open a shell in {service.namespace}/{service.name}?", lines, "Open", perform, fields)

    def _ask_forward(self, yard: ScreenYard, service: ServiceView, detail: ServiceDetailView) -> None:
        pods = [pod.name for pod in sorted(detail.pods, key=lambda pod: not pod.ready)]

        async def perform(values: Values) -> object:
            return await yard.deployments.forward(
                service.namespace, values["pod"], values["ports"], context=service.context
            )

        lines: list[Line] = [
            text("kubectl forwards it until Ctrl-C; the screen comes back then."),
            text("Requests that come this way go around the gateway, its keys and its limits.", "warn"),
        ]
        fields = (
            Field(id="pod", label="Pod", value=pods[0], check=_one_of(pods), offers=tuple(pods[1:])),
            Field(id="ports", label="Local:remote port", value=_DEFAULT_PORTS, check=_check_ports),
        )
        self._ask_to_run(f"Forward a port to {service.namespace}/{service.name}?", lines, "Forward", perform, fields)

    def _ask_to_run(
        self,
        title: str,
        lines: Sequence[Line],
        confirm: str,
        perform: Callable[[Values], Awaitable[object]],
        fields: Sequence[Field],
    ) -> None:
        def done(result: object) -> None:
            if isinstance(result, tuple):
                self.room.feed.spawn(self._hand_over(result), "kubectl")

        self.ask(title, lines, confirm, perform, fields=fields, done=done)

    async def _hand_over(self, arguments: tuple[str, ...]) -> None:
        command = shlex.join(arguments)
        status = await run_outside(self.room, arguments)
        if status is None:
            self.room.log_command(command, "failed")
            self.room.flash(f"this terminal cannot be handed over: run {command}", bad=True)
            return
        self.room.log_command(command, "done" if status in (0, 130) else "failed")
        self.room.flash(f"kubectl ended with status {status}", bad=status not in (0, 130))


def _one_of(labels: Sequence[str]) -> Callable[[str], str]:
    return lambda value: "" if value.strip() in labels else "choose one of those there are: the arrows show them"


def _check_command(value: str) -> str:
    try:
        return "" if shlex.split(value) else "name a command"
    except ValueError:
        return "a quote is not closed"


def _check_ports(value: str) -> str:
    return "" if _PORTS.match(value.strip()) else "write LOCAL:REMOTE, such as 8080:8000"
