"""Opens the deployment form: for an approved image, and for what runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backend.core.views import FormView, PlanView, ServiceView
from tui.page import Page
from tui.ports import ScreenYard

if TYPE_CHECKING:
    from tui.app import ModelyardApp


async def open_form(room: ModelyardApp, reference: str, name: str) -> None:
    """Open the form for an approved image; the plan follows it.

    Args:
        reference: `host/repository@digest` of the image.
        name: as a person names it.
    """
    yard = room.feed.yard
    if yard is None:
        return
    used = [service.namespace for service in room.model.services.value.values()]
    usual = max(sorted(set(used)), key=used.count, default="")
    _show(room, yard, await yard.forms.open(reference, namespace=usual), name)


class ChangeAction(Page):
    """The action that opens the form on the service that a page points at."""

    def current_service(self) -> ServiceView | None:
        """The service that is meant."""
        raise NotImplementedError

    def act_deploy_change(self) -> None:
        service, yard = self.current_service(), self.room.feed.yard
        if service is None or yard is None:
            self.room.flash("there is no service under the cursor", bad=True)
            return
        self.open_later(self._change(yard, service), "reading what runs")

    async def _change(self, yard: ScreenYard, service: ServiceView) -> None:
        exported = await yard.deployments.export(service.namespace, service.name, context=service.context)
        if not exported.deployment:
            self.room.flash(f"no deployment file can make it: {exported.lost[0]}", bad=True)
            return
        form = await yard.forms.of_file(exported.deployment, context=service.context)
        more = f" (and {len(exported.lost) - 1} more)" if len(exported.lost) > 1 else ""
        lost = f"{exported.lost[0]}{more}" if exported.lost else ""
        _show(self.room, yard, form, f"{service.namespace}/{service.name}", lost)


def _show(room: ModelyardApp, yard: ScreenYard, form: FormView, name: str, note: str = "") -> None:
    # Imported late: a first paint needs no fields to type in.
    from tui.panes.deployments.form import FormPage

    def planned(plan: PlanView | None) -> None:
        from tui.panes.deployments.plan import PlanPage

        if plan is not None:
            room.push_screen(PlanPage(plan))

    room.push_screen(FormPage(yard, form, name, note), planned)
