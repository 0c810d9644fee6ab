"""The plan page: what an apply would change, before anything is applied; and the way into it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from backend.core.views import AppliedView, PlanView, ServiceView, SnapshotView
from tui import format as fmt
from tui.document import EMPTY, Line, Section, Span, join, text
from tui.model import PartName
from tui.panes.common.detail import DetailPage
from tui.panes.common.export import write_new
from tui.panes.common.text import TextPage, yaml_line
from tui.panes.deployments.plan_model import plan_sections, plan_tally, plan_verb
from tui.panes.deployments.proof_model import PROVED_ROLE
from tui.widgets.fields import Values, required, typed_name

if TYPE_CHECKING:
    from tui.app import ModelyardApp


class PlanPage(DetailPage):
    """A plan as a coloured diff.

    Args:
        snapshots: of the service, the newest first, where this is a return to one of them.
        at: which of them.
        ask: ask for the confirmation at once; the diff stays in sight above it.
    """

    CSS_PATH = "../common/common.tcss"
    pane = "plan"

    def __init__(
        self, plan: PlanView, *, snapshots: Sequence[SnapshotView] = (), at: int = 0, ask: bool = False
    ) -> None:
        super().__init__()
        self.plan = plan
        self._snapshots = tuple(snapshots)
        self._at = at
        self._ask_at_once = ask
        self._unfolded = False

    def on_mount(self) -> None:
        if self._ask_at_once and not self.plan.refusals and self.plan.changes:
            self.call_after_refresh(self.act_plan_apply)

    def title_parts(self) -> tuple[str, str, Line, Line]:
        verb = "ROLLBACK" if self._snapshots else "PLAN"
        if self.plan.settles or self.plan.subject == "runtime":
            verb = plan_verb(self.plan).upper()
        right = text("nothing was changed yet", "muted")
        if self.plan.owner:
            right = text(f"{self.plan.owner} keeps it: w writes its file", "warn")
        if self._snapshots:
            right = text(f"snapshot {self._at + 1} of {len(self._snapshots)}  [ ] others", "muted")
        return "", f"{verb} {self.plan.namespace}/{self.plan.name}", plan_tally(self.plan), right

    def sections(self) -> Sequence[Section]:
        plan = self.plan
        name, _, digest = plan.image.rpartition("@")
        image = text(f"{name}@{fmt.digest(digest)}" if name else plan.image, "name")
        head = [(Span("image      ", "label"), *image, *text(f"  on {plan.context}", "accent"))]
        if self._snapshots:
            head.append((Span("return to  ", "label"), *snapshot_line(self._snapshots[self._at])))
        return (Section("", tuple(head)), *plan_sections(plan, unfolded=self._unfolded))

    def reference(self) -> str:
        return self.plan.image

    # ------------------------------------------------------------ actions

    def act_plan_apply(self) -> None:
        plan = self.plan
        if plan.refusals:
            self.room.flash(f"it may not be applied: {plan.refusals[0]}", bad=True)
            return
        if not plan.changes and not plan.settles:
            self.room.flash("nothing would change: there is nothing to apply")
            return
        yard = self.room.feed.yard
        if yard is None:
            return

        async def perform(_values: Values) -> object:
            command = "; ".join(plan.kubectl) or f"modelyard deploy apply {plan.namespace}/{plan.name}"
            try:
                applied = await yard.deployments.apply(plan)
            except Exception:
                self.room.log_command(command, "failed")
                raise
            self.room.log_command(command, "done")
            return applied

        fields = [typed_name(plan.name)] if self.room.settings.confirm == "type-name" else []
        lines = [
            join(plan_tally(plan), text(f"on {plan.context}", "accent"), gap="  "),
            text(plan.outage, "warn"),
            *(
                (Span("! ", "warn"), *text(f"{claim.field} is taken from {claim.manager}", "warn"))
                for claim in plan.fields
                if claim.taken
            ),
            *((Span("! ", "warn"), *text(warning, "warn")) for warning in plan.warnings[:2]),
        ]
        verb = plan_verb(plan, rollback=bool(self._snapshots))
        self.ask(
            f"{verb} {plan.namespace}/{plan.name}?",
            [line for line in lines if line],
            verb,
            perform,
            fields=fields,
            danger=bool(self._snapshots) or plan.undoes,
            low=True,
            done=self._applied,
        )

    def _applied(self, result: object) -> None:
        if not isinstance(result, AppliedView):
            return
        self.room.feed.read(PartName.SERVICES, PartName.CHANGES)
        if self.plan.subject == "runtime" or self.plan.undoes:
            self.dismiss()
            told = "taken back" if self.plan.undoes else f"installed: services name it {result.name}"
            self.room.flash(told if result.changed or self.plan.undoes else "nothing changed: it is there already")
            return
        self.room.show_service(result.context, result.namespace, result.name)
        told = f"applied; snapshot {result.snapshot[:12]} can be returned to" if result.changed else "nothing changed"
        self.room.flash(told)

    def act_plan_fold(self) -> None:
        self._unfolded = not self._unfolded
        self.show()
        self.room.flash("every line is shown" if self._unfolded else "lines that do not change are folded")

    def act_plan_take(self) -> None:
        from tui.widgets.pick import Offer, Pick

        plan = self.plan
        if not plan.fields or plan.owner:
            told = f"{plan.owner} would put them back" if plan.owner else "no field of others stands in the way"
            self.room.flash(told, bad=True)
            return
        if plan.settles or plan.subject != "service":
            self.room.flash("fields are taken by a deployment's plan, not by this one", bad=True)
            return
        offers = [
            Offer(claim.field, (*text(claim.field, "name"), *text(f"  managed by {claim.manager}", "muted")))
            for claim in plan.fields
        ]
        lines = (
            text("What is marked is taken from its manager when the plan is applied, and nothing else."),
            text("A manager that still runs may write it again.", "muted"),
        )

        def chosen(fields: tuple[str, ...] | None) -> None:
            if fields is not None and set(fields) != set(plan.take):
                self.room.feed.spawn(self._plan_again(fields), "planning again")

        marked = [claim.field for claim in plan.fields if claim.taken]
        pick = Pick("Take fields", lines, offers, several=True, marked=marked, does="plans again")
        self.room.push_screen(pick, chosen)

    async def _plan_again(self, take: Sequence[str]) -> None:
        yard, plan = self.room.feed.yard, self.plan
        if yard is None:
            return
        if self._snapshots:
            snapshot = self._snapshots[self._at].id
            self.plan = await yard.deployments.rollback_plan(
                plan.namespace, plan.name, snapshot, take=take, context=plan.context
            )
        else:
            self.plan = await yard.deployments.plan(plan.deployment, take=take, context=plan.context)
        self.show()

    def act_plan_write(self) -> None:
        plan, yard = self.plan, self.room.feed.yard
        if yard is None:
            return

        async def perform(values: Values) -> object:
            return await write_new(values["file"], await yard.deployments.manifests(plan))

        def done(result: object) -> None:
            if isinstance(result, Path):
                self.room.flash(f"wrote {result}: commit it to the repository")

        lines = (
            text("The objects as this plan would have them, for the repository that the cluster is kept by."),
            text("A file that is there already is not overwritten.", "muted"),
        )
        file = required("file", "File", "name a file", value=f"{plan.name}.yaml")
        self.ask("Write the manifests", lines, "Write", perform, fields=[file], done=done)

    def act_plan_edit(self) -> None:
        if self.plan.subject != "service" or self.plan.settles:
            told = (
                "a runtime is made of a template"
                if self.plan.subject != "service"
                else "it is applied as it was, or not"
            )
            self.room.flash(f"there is no deployment file to edit here: {told}", bad=True)
            return
        from tui.panes.deployments.editor import EditorPage

        def edited(plan: PlanView | None) -> None:
            if plan is not None:
                self.plan = plan
                self._snapshots = ()
                self.show()

        yard, plan = self.room.feed.yard, self.plan
        if yard is None:
            return

        async def again(deployment: str) -> PlanView:
            return await yard.deployments.plan(deployment, plan.namespace, context=plan.context)

        self.room.push_screen(EditorPage(plan.deployment, "plan it", again), edited)

    def act_look_manifest(self) -> None:
        async def read() -> str:
            return self.plan.manifests

        self.room.push_screen(TextPage(f"MANIFESTS {self.plan.namespace}/{self.plan.name}", read, yaml_line))

    def act_plan_older(self) -> None:
        self._choose(1)

    def act_plan_newer(self) -> None:
        self._choose(-1)

    def _choose(self, by: int) -> None:
        if not self._snapshots:
            self.room.flash("this plan returns to no snapshot", bad=True)
            return
        at = self._at + by
        if not 0 <= at < len(self._snapshots):
            self.room.flash("there is no further snapshot")
            return
        self.room.feed.spawn(self._plan_snapshot(at), "planning a rollback")

    async def _plan_snapshot(self, at: int) -> None:
        yard = self.room.feed.yard
        if yard is not None:
            plan = await yard.deployments.rollback_plan(
                self.plan.namespace, self.plan.name, self._snapshots[at].id, context=self.plan.context
            )
            self.plan, self._at = plan, at
            self.show()


def snapshot_line(snapshot: SnapshotView) -> Line:
    """A snapshot in a line: when, by whom, whether its image may still be returned to."""
    approval = text("image still approved", "ok") if snapshot.still_approved else text("no longer approved", "bad")
    return join(
        text(fmt.moment(snapshot.at)),
        text(f"by {snapshot.actor}", "muted"),
        approval,
        text(f"validation {snapshot.proved}", PROVED_ROLE.get(snapshot.proved, "muted")) if snapshot.proved else EMPTY,
        text(snapshot.note, "muted"),
        gap="  ",
    )


def preselected(snapshots: Sequence[SnapshotView]) -> int | None:
    """The last good snapshot: proved, and still approved; else the newest approved one, else the one before this."""
    good = next((index for index, snapshot in enumerate(snapshots) if snapshot.good), None)
    if good is not None:
        return good
    earlier = range(1, len(snapshots))
    approved = next((index for index in earlier if snapshots[index].still_approved), None)
    return approved if approved is not None else next(iter(earlier), None)


async def open_rollback(room: ModelyardApp, service: ServiceView) -> None:
    """Plan the return of a service to its last good snapshot, and ask."""
    yard = room.feed.yard
    if yard is None:
        return
    held = await yard.deployments.snapshots(service.namespace, service.name, context=service.context)
    snapshots = sorted(held, key=lambda item: item.at, reverse=True)
    at = preselected(snapshots)
    # Where it was applied once, others may have written it since: what was applied is the way back from that.
    chosen = 0 if at is None and snapshots else at
    if chosen is None:
        room.flash(f"{service.name} has no snapshot: nothing was applied to it here", bad=True)
        return
    plan = await yard.deployments.rollback_plan(
        service.namespace, service.name, snapshots[chosen].id, context=service.context
    )
    if at is None and not plan.changes:
        room.flash(f"{service.name} has no earlier snapshot, and is as it was applied", bad=True)
        return
    at = chosen
    room.push_screen(PlanPage(plan, snapshots=snapshots, at=at, ask=True))


async def open_plan(room: ModelyardApp, deployment: str, namespace: str | None = None) -> None:
    """Plan a deployment file and show the plan."""
    if room.feed.yard is not None:
        room.push_screen(PlanPage(await room.feed.yard.deployments.plan(deployment, namespace)))
