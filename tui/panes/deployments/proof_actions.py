"""Actions that prove a service and move its traffic, and what a change would end before it is confirmed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from backend.core.errors import ModelyardError
from backend.core.views import CanaryView, ServiceView, ValidationView
from tui.document import Line, Span, text
from tui.model import PartName
from tui.page import Page
from tui.panes.deployments.detail_model import summary
from tui.panes.deployments.proof_model import blast_lines, proof_line
from tui.ports import ScreenYard
from tui.widgets.fields import Field, Values, typed_name

#: Seconds to wait for what a change would end; a change must be possible where that cannot be told.
_PATIENCE: Final = 10.0


class ProofActions(Page):
    """Validation and canaries of the service that a page points at, and the pages of changes and of what runs."""

    def current_service(self) -> ServiceView | None:
        """The service that is meant."""
        raise NotImplementedError

    def pointed_service(self) -> ServiceView | None:
        """The service that is meant; a person is told where there is none."""
        service = self.current_service()
        if service is None:
            self.room.flash("there is no service under the cursor", bad=True)
        return service

    # ------------------------------------------------------------ looking

    def act_look_changes(self) -> None:
        from tui.panes.deployments.proof_pages import ChangesPage

        self.room.push_screen(ChangesPage())

    def act_look_running(self) -> None:
        from tui.panes.deployments.proof_pages import RunningPage

        self.room.push_screen(RunningPage())

    # ------------------------------------------------------------ what it would end

    def after_blast(
        self, service: ServiceView, verb: str, ask: Callable[[Sequence[Line]], None], *, replicas: int | None = None
    ) -> None:
        """Ask the cluster what a change would end, then a person whether it shall be."""
        yard = self.room.feed.yard
        if yard is not None:
            self.open_later(self._blasted(yard, service, verb, ask, replicas), f"asking what {verb} would end")

    async def _blasted(
        self,
        yard: ScreenYard,
        service: ServiceView,
        verb: str,
        ask: Callable[[Sequence[Line]], None],
        replicas: int | None,
    ) -> None:
        lines: Sequence[Line]
        try:
            async with asyncio.timeout(_PATIENCE):
                blast = await yard.deployments.blast(
                    service.namespace, service.address, verb, replicas=replicas, context=service.context
                )
            lines = blast_lines(blast)
        except ModelyardError as error:
            lines = _unknown(error.why)
        except TimeoutError:
            lines = _unknown(f"the cluster did not answer within {_PATIENCE:g} s")
        ask(lines)

    # ------------------------------------------------------------ traffic

    def act_deploy_promote(self) -> None:
        service, yard = self.pointed_service(), self.room.feed.yard
        if service is not None and yard is not None:
            self.open_later(self._promote(yard, service), "asking where the traffic goes")

    async def _promote(self, yard: ScreenYard, service: ServiceView) -> None:
        canary = await self._canary(yard, service)
        if canary is None:
            return
        following = next((step for step in canary.steps if step > (canary.percent or 0)), 100)
        share = Field(
            id="percent", label="Percent of the traffic", value=str(following), check=_check_percent, offers=("100",)
        )

        async def perform(values: Values) -> object:
            percent = int(values["percent"])
            work = yard.deployments.promote(service.namespace, service.address, percent, context=service.context)
            return await self._sent(f"modelyard deploy promote {service.name} --percent {percent}", work)

        self.ask(
            f"Promote {service.namespace}/{service.name}?",
            (summary(service), text(canary.statement), text("100 rolls it out and ends the canary.", "muted")),
            "Promote",
            perform,
            fields=[share, *self._names(service)],
            done=self._asked("promoted"),
        )

    def act_deploy_abort(self) -> None:
        service, yard = self.pointed_service(), self.room.feed.yard
        if service is not None and yard is not None:
            self.open_later(self._abort(yard, service), "asking where the traffic goes")

    async def _abort(self, yard: ScreenYard, service: ServiceView) -> None:
        canary = await self._canary(yard, service)
        if canary is None:
            return

        async def perform(_values: Values) -> object:
            work = yard.deployments.abort(service.namespace, service.address, context=service.context)
            return await self._sent(f"modelyard deploy abort {service.name}", work)

        self.ask(
            f"Abort the canary of {service.namespace}/{service.name}?",
            (summary(service), text(canary.statement), text("Its newest revision gets no traffic then.")),
            "Abort",
            perform,
            fields=self._names(service),
            danger=True,
            done=self._asked("aborted"),
        )

    async def _canary(self, yard: ScreenYard, service: ServiceView) -> CanaryView | None:
        """The canary that goes on; a person is told where there is none."""
        try:
            canary = await yard.deployments.canary(service.namespace, service.address, context=service.context)
        except ModelyardError as error:
            self.room.flash(f"{error.why}; {error.action}", bad=True)
            return None
        if not canary.going_on:
            self.room.flash(canary.statement, bad=not canary.splits)
        return canary if canary.going_on else None

    # ------------------------------------------------------------ proof

    def act_deploy_validate(self) -> None:
        service, yard = self.pointed_service(), self.room.feed.yard
        if service is None or yard is None:
            return

        async def perform(_values: Values) -> object:
            work = yard.deployments.validate(service.namespace, service.address, context=service.context)
            return await self._sent(f"modelyard deploy validate {service.name}", work)

        def done(result: object) -> None:
            if isinstance(result, ValidationView):
                self.room.feed.read(PartName.SERVICES, PartName.CHANGES)
                self.room.flash("".join(span.text for span in proof_line(result)), bad=result.outcome != "passed")

        lines = (
            summary(service),
            text("A pod is asked for a short answer through the API server, around gateway, keys and access logs."),
            text("The request and its outcome are in the ledger.", "muted"),
        )
        self.ask(f"Validate {service.namespace}/{service.name}?", lines, "Validate", perform, done=done)

    # ------------------------------------------------------------ inside

    async def _sent(self, command: str, work: Awaitable[object]) -> object:
        try:
            result = await work
        except Exception:
            self.room.log_command(command, "failed")
            raise
        self.room.log_command(command, "done")
        return result

    def _asked(self, told: str) -> Callable[[object], None]:
        def done(result: object) -> None:
            if result is not None:
                self.room.feed.read(PartName.SERVICES, PartName.CHANGES)
                self.room.flash(f"{told}; the list follows what the cluster does")

        return done

    def _names(self, service: ServiceView) -> list[Field]:
        return [typed_name(service.name)] if self.room.settings.confirm == "type-name" else []


def _check_percent(value: str) -> str:
    text_ = value.strip()
    good = text_.isascii() and text_.isdigit() and 1 <= int(text_) <= 100
    return "" if good else "a whole number from 1 to 100"


def _unknown(why: str) -> tuple[Line, ...]:
    return ((Span("! ", "warn"), *text(f"what it would end is not known: {why}", "warn")),)
