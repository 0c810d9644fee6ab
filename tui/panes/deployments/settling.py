"""Applies that were cut off: what they are, and the choice between completing, taking back and leaving them."""

from __future__ import annotations

from backend.core.views import CutOffView
from tui import format as fmt
from tui.document import Line, Span, join, text
from tui.page import Page
from tui.widgets.fields import Values

_CHOICES = (
    ("complete", "complete it: plan what is left of it, and apply that"),
    ("undo", "take it back: it {undo}"),
    ("leave", "leave it as it stands, and ask no more"),
)


class RuntimesAction(Page):
    """The way to the serving runtimes."""

    def act_deploy_runtimes(self) -> None:
        from tui.panes.runtimes.page import RuntimesPage

        self.room.push_screen(RuntimesPage())


class SettleActions(Page):
    """The action on applies that were cut off."""

    def act_deploy_settle(self) -> None:
        from tui.widgets.pick import Offer, Pick

        found = self.model.cut_off
        if not found:
            self.room.flash("no apply was cut off")
            return
        offers = [
            Offer(f"{choice} {one.id}", (*self._named(one, len(found) > 1), *text(told.format(undo=one.undo))))
            for one in found
            for choice, told in _CHOICES
        ]

        def chosen(picked: tuple[str, ...] | None) -> None:
            if picked:
                choice, _, apply = picked[0].partition(" ")
                self._settle_by(choice, next(one for one in found if one.id == apply))

        lines = [line for one in found for line in self._told_of(one)]
        self.room.push_screen(Pick("Applies that were cut off", lines, offers, does="goes on"), chosen)

    def _told_of(self, one: CutOffView) -> tuple[Line, ...]:
        head = join(
            text(f"{one.namespace}/{one.name}", "name"),
            text(f"by {one.actor}, {fmt.ago(one.started_at, self.room.clock.now())}", "muted"),
            text(one.told, "warn"),
            gap="  ",
        )
        objects = tuple(
            (
                Span("  "),
                *text(f"{each.kind} {each.name}: ", "muted"),
                *text(each.state, "ok" if each.state == "applied" else ""),
            )
            for each in one.objects
        )
        return (head, *objects)

    @staticmethod
    def _named(one: CutOffView, several: bool) -> Line:
        return text(f"{one.name}  ", "name") if several else ()

    def _settle_by(self, choice: str, one: CutOffView) -> None:
        if choice == "leave":
            self._leave(one)
        else:
            self.open_later(self._open_plan(one, undo=choice == "undo"), "planning")

    async def _open_plan(self, one: CutOffView, *, undo: bool) -> None:
        from tui.panes.deployments.plan import PlanPage

        yard = self.room.feed.yard
        if yard is not None:
            self.room.push_screen(PlanPage(await yard.deployments.settle_plan(one.id, undo=undo)))

    def _leave(self, one: CutOffView) -> None:
        yard = self.room.feed.yard

        async def perform(_values: Values) -> object:
            return await yard.deployments.leave(one.id) if yard is not None else None

        def done(result: object) -> None:
            if result is not None:
                self.room.flash("left as it stands")

        lines = (
            *self._told_of(one),
            text("Nobody is asked about it any more; the ledger keeps how it stood.", "muted"),
        )
        self.ask(f"Leave {one.namespace}/{one.name} as it stands?", lines, "Leave", perform, done=done)
