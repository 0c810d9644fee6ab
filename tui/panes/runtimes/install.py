"""Installing a runtime: a template is chosen, then image and namespace, then a plan is shown."""

from __future__ import annotations

from collections.abc import Sequence

from backend.core.views import PlanView, TemplateView
from tui.document import Line, Span, text
from tui.page import Page
from tui.panes.runtimes.view_model import template_line
from tui.ports import ScreenYard
from tui.widgets.fields import Field, Values, required

_MOST_OFFERS = 200


class InstallActions(Page):
    """The action that makes a runtime of a template and an approved image."""

    def namespace_here(self) -> str:
        """The namespace that is meant, or empty."""
        return ""

    def context_here(self) -> str:
        """The cluster that is meant; empty: the primary."""
        return ""

    def act_runtimes_install(self) -> None:
        if (yard := self.room.feed.yard) is not None:
            self.open_later(self._choose_template(yard), "reading the templates")

    async def _choose_template(self, yard: ScreenYard) -> None:
        from tui.widgets.pick import Offer, Pick

        templates, problems = await yard.runtimes.catalogue()
        offers = [Offer(one.name, template_line(one)) for one in templates]
        lines: list[Line] = [text("Which template shall the runtime be made of?", "muted")]
        lines += [(Span("✗ ", "bad"), *text(f"{each.what}: {each.why}; {each.action}", "bad")) for each in problems]

        def chosen(picked: tuple[str, ...] | None) -> None:
            if picked:
                template = next(one for one in templates if one.name == picked[0])
                self.open_later(self._ask_install(yard, template), "looking for approved images")

        self.room.push_screen(Pick("Install a runtime", lines, offers), chosen)

    async def _ask_install(self, yard: ScreenYard, template: TemplateView) -> None:
        found = await yard.library.search("", approved=True, limit=_MOST_OFFERS)
        images = fitting(
            template, [(f"{one.registry}/{one.repository}:{one.tag}", one.repository, one.type) for one in found.images]
        )
        namespaces = await yard.deployments.namespaces(context=self.context_here())

        async def perform(values: Values) -> object:
            return await yard.runtimes.plan(
                template.name,
                values["image"],
                values["namespace"],
                name=values["as"],
                context=self.context_here(),
            )

        def planned(result: object) -> None:
            from tui.panes.deployments.plan import PlanPage

            if isinstance(result, PlanView):
                self.room.push_screen(PlanPage(result))

        lines: list[Line] = [
            (
                Span("template  ", "label"),
                *text(template.title, "name"),
                *text(f"  version {template.version}", "muted"),
            ),
            *((Span("secret    ", "label"), *text(secret)) for secret in template.secrets),
            *((Span("! ", "warn"), *text(note, "muted")) for note in template.notes),
            *(
                [text("Other secrets or claims: modelyard runtimes install --secret, --claim", "muted")]
                if template.secrets
                else []
            ),
            text("Nothing is installed yet: the next page shows what would be made.", "muted"),
        ]
        usual = self.namespace_here() or (namespaces[0] if namespaces else "")
        fields: Sequence[Field] = (
            required(
                "image", "Image", "name an approved image", value=images[0] if images else "", offers=tuple(images)
            ),
            required("namespace", "Namespace", "name a namespace", value=usual, offers=tuple(namespaces)),
            Field(id="as", label="Name", placeholder="made of template, version and content"),
        )
        self.ask(f"Install {template.name}", lines, "Plan", perform, fields=fields, done=planned)


def fitting(template: TemplateView, images: Sequence[tuple[str, str, str]]) -> list[str]:
    """References of images, those that the template is meant for first; each is reference, repository and type."""
    words = [pattern.strip("*/").rpartition("/")[2] for pattern in template.images]

    def rank(image: tuple[str, str, str]) -> tuple[bool, bool, str]:
        reference, repository, kind = image
        return (not any(word and word in repository for word in words), kind not in template.types, reference)

    return [image[0] for image in sorted(images, key=rank)]
