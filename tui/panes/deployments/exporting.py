"""Writing what runs to a file: as the deployment file of a service, or as its manifests for a repository."""

from __future__ import annotations

from pathlib import Path

from backend.core.views import INFERENCE_SERVICE, ExportView, ServiceView
from tui.document import Line, Span, text
from tui.page import Page
from tui.panes.common.export import write_new
from tui.ports import ScreenYard
from tui.widgets.fields import Values, required

_MOST_TOLD = 8


class ExportAction(Page):
    """The action that writes the service that a page points at."""

    def current_service(self) -> ServiceView | None:
        """The service that is meant."""
        raise NotImplementedError

    def act_deploy_export(self) -> None:
        service, yard = self.current_service(), self.room.feed.yard
        if service is None or yard is None:
            self.room.flash("there is no service under the cursor", bad=True)
            return
        if service.kind != INFERENCE_SERVICE:
            self.room.flash(f"{service.kind}s have no deployment file: y shows the manifest", bad=True)
            return
        self.open_later(self._choose_form(yard, service), "reading what runs")

    async def _choose_form(self, yard: ScreenYard, service: ServiceView) -> None:
        from tui.widgets.pick import Offer, Pick

        exported = await yard.deployments.export(service.namespace, service.name, context=service.context)
        offers = [Offer("manifests", text("its manifests, for the repository of Argo CD or Flux"))]
        if exported.deployment:
            offers.insert(0, Offer("deployment", text("its deployment file, which can be planned and applied again")))

        def chosen(picked: tuple[str, ...] | None) -> None:
            if picked:
                self._ask_file(exported, manifests=picked[0] == "manifests")

        title = f"Write {service.namespace}/{service.name}"
        self.room.push_screen(Pick(title, lost_lines(exported), offers, does="goes on"), chosen)

    def _ask_file(self, exported: ExportView, *, manifests: bool) -> None:
        async def perform(values: Values) -> object:
            return await write_new(values["file"], exported.manifests if manifests else exported.deployment)

        def done(result: object) -> None:
            if isinstance(result, Path):
                self.room.flash(f"wrote {result}")

        file = required("file", "File", "name a file", value=f"{exported.name}.yaml")
        lines = (text("A file that is there already is not overwritten.", "muted"),)
        self.ask(f"Write {exported.namespace}/{exported.name}", lines, "Write", perform, fields=[file], done=done)


def lost_lines(exported: ExportView) -> tuple[Line, ...]:
    """What a deployment file does not say of the service, or why there can be none."""
    if not exported.lost:
        return (text("The deployment file says all of it.", "ok"),)
    head = "The deployment file does not say:" if exported.deployment else "No deployment file can make it:"
    more = len(exported.lost) - _MOST_TOLD
    told = [(Span("! ", "warn"), *text(line, "warn")) for line in exported.lost[:_MOST_TOLD]]
    return (
        text(head),
        *told,
        *([text(f"and {more} more: modelyard deploy export tells all", "muted")] if more > 0 else []),
    )
