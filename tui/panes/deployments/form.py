"""The form that makes a deployment file of an approved image."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from backend.core.views import PlanView
from tui import format as fmt
from tui.document import Line, Span, text
from tui.widgets.fields import Field, Values

if TYPE_CHECKING:
    from tui.app import ModelyardApp

# KServe's webhook and its controller: name pattern and lengths (reference page on KServe, "Rejected by the webhook").
_NAME: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?\Z")
_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")
_NAME_MOST: Final = 48


def check_name(value: str) -> str:
    """Why a text cannot name a service; empty when it can."""
    name = value.strip()
    if not name:
        return "name the service"
    if not _NAME.match(name):
        return "lower-case letters, digits and hyphens, starting with a letter"
    return f"at most {_NAME_MOST} characters" if len(name) > _NAME_MOST else ""


def check_namespace(value: str) -> str:
    """Why a text cannot name a namespace; empty when it can."""
    return "" if _NAMESPACE.match(value.strip()) else "name a namespace: lower-case letters, digits and hyphens"


def suggested_name(repository: str) -> str:
    """A service name made of a repository's last part."""
    name = re.sub(r"[^a-z0-9]+", "-", repository.rpartition("/")[2].lower()).strip("-")
    return re.sub(r"^[^a-z]+", "", name)[:_NAME_MOST].strip("-")


async def open_form(room: ModelyardApp, reference: str, name: str, repository: str) -> None:
    """Ask for name and namespace, then show the plan.

    Args:
        reference: `host/repository@digest` of the approved image.
        name: as a person names it.
        repository: the service's name is suggested from it, as the placeholder.
    """
    yard = room.feed.yard
    if yard is None:
        return
    namespaces = await yard.deployments.namespaces()
    used = [service.namespace for service in room.model.services.value.values()]
    usual = max(sorted(set(used)), key=used.count, default=namespaces[0] if namespaces else "")

    async def perform(values: Values) -> object:
        draft = await yard.deployments.draft(reference, values["name"], values["namespace"])
        return await yard.deployments.plan(draft, values["namespace"])

    def planned(result: object) -> None:
        from tui.panes.deployments.plan import PlanPage

        if isinstance(result, PlanView):
            room.push_screen(PlanPage(result))

    lines: list[Line] = [
        (Span("image   ", "label"), *text(name, "name")),
        (Span("digest  ", "label"), *text(fmt.digest(reference.partition("@")[2], 64), "muted")),
        text("Nothing is applied yet: the next page shows what would change.", "muted"),
    ]
    fields = (
        Field(id="name", label="Service name", placeholder=suggested_name(repository), check=check_name),
        Field(id="namespace", label=_namespaces_label(namespaces), value=usual, check=check_namespace),
    )
    if page := room.page():
        page.ask("Deploy", lines, "Plan", perform, fields=fields, done=planned)


def _namespaces_label(namespaces: list[str]) -> str:
    shown = ", ".join(namespaces[:6]) + ("…" if len(namespaces) > 6 else "")
    return f"Namespace ({shown})" if shown else "Namespace"
