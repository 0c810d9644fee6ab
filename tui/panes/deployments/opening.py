"""Opens the deployment form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backend.core.views import PlanView

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
    # Imported late: a first paint needs no fields to type in.
    from tui.panes.deployments.form import FormPage

    form = await yard.forms.open(reference, namespace=usual)

    def planned(plan: PlanView | None) -> None:
        from tui.panes.deployments.plan import PlanPage

        if plan is not None:
            room.push_screen(PlanPage(plan))

    room.push_screen(FormPage(yard, form, name), planned)
