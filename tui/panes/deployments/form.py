"""The form that makes a deployment file of an approved image: reasons while typing, estimates, then the plan."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.timer import Timer
from textual.widgets import Input

from backend.core.errors import ModelyardError
from backend.core.views import FormView, PlanView
from tui import format as fmt
from tui.document import Line, Span, cells, ends, join, text
from tui.model import Problem
from tui.panes.common.messages import problem_lines
from tui.panes.deployments.form_model import (
    INDENT,
    FormState,
    caution_lines,
    fit_lines,
    keys_line,
    label_line,
    node_lines,
    suggestion_lines,
    tabs_line,
    told_line,
)
from tui.ports import ScreenYard
from tui.widgets.lines import Lines
from tui.widgets.one_line import OneLine

if TYPE_CHECKING:
    from tui.app import ModelyardApp

#: Seconds without a key after which the cluster is asked where it would run.
_PAUSE = 0.4
#: Lines of a screen that has room for the nodes, too.
_TALL = 34


class FormPage(ModalScreen[PlanView]):
    """Asks for a deployment; Enter plans it."""

    BINDINGS: ClassVar[list[BindingType]] = []
    AUTO_FOCUS = ""
    CSS_PATH = "deployments.tcss"

    def __init__(self, yard: ScreenYard, form: FormView, name: str, note: str = "") -> None:
        """
        Args:
            name: of the image or service, as a person names it.
            note: what to know before anything is written; empty: nothing.
        """
        super().__init__()
        self._yard = yard
        self._image = name
        self.state = FormState(form, yard.forms.check)
        self.settled = False
        self._focus_id = form.fields[0].id
        self._waiting: Timer | None = None
        self._asking: asyncio.Task[None] | None = None
        self._planning: asyncio.Task[None] | None = None
        self._placed = _place(form.values)
        self._leaving = False
        self._said: tuple[Line, ...] = ((Span("! ", "warn"), *text(note, "warn")),) if note else ()

    # ------------------------------------------------------------ what is shown

    def compose(self) -> ComposeResult:
        with Vertical(id="form"):
            title = OneLine(id="form-title")
            title.show(self._title)
            yield title
            tabs = OneLine(id="form-tabs")
            tabs.show(lambda _width: tabs_line(self.state))
            yield tabs
            yield Vertical(id="form-fields")
            yield Lines(id="form-told")
            yield Lines(indent=INDENT, id="form-advice")
            yield Lines(id="form-problem")
            keys = OneLine(id="form-keys")
            keys.show(lambda width: keys_line(self.state, width))
            yield keys

    async def on_mount(self) -> None:
        await self._show_section()
        self._ask_soon(0.0)
        self.call_after_refresh(self._settle)

    def _settle(self) -> None:
        self.settled = True

    def _title(self, width: int) -> Line:
        digest = fmt.digest(self.state.form.reference.partition("@")[2], 12 if width < 150 else 64)
        where = text(f"on {self.state.form.context}", "accent") if self.state.form.context else ()
        left = join(text("DEPLOY", "title-focus"), text(self._image, "name"), text(digest, "muted"), where, gap="  ")
        note = text("nothing is applied yet", "muted")
        return ends(left, note if cells(left) + cells(note) + 2 <= width else (), width)

    async def _show_section(self) -> None:
        """Put the fields of the section there, the one that had the focus in it again."""
        place = self.query_one("#form-fields", Vertical)
        async with place.batch():
            await place.remove_children()
            rows = []
            for view in self.state.fields:
                label = OneLine(classes="field-label", id=f"label-{_css(view.id)}")
                label.show(partial(self._label, view.id))
                entry = Input(self.state.values.get(view.id, ""), compact=True, id=f"entry-{_css(view.id)}")
                entry.cursor_blink = False
                rows.append(Horizontal(label, entry, classes="field"))
            await place.mount(*rows)
        ids = [view.id for view in self.state.fields]
        if self._focus_id not in ids:
            self._focus_id = ids[0]
        self.set_focus(self._entry(self._focus_id))
        self._tell()

    def _label(self, id: str, _width: int) -> Line:
        return label_line(self.state, id) if any(view.id == id for view in self.state.form.fields) else ()

    def _say(self, *lines: Line) -> None:
        """Tell something until a key is pressed."""
        self._said = lines
        self._tell()

    def _tell(self) -> None:
        """Bring everything but the fields up to date."""
        state = self.state
        tall = self.app.size.height >= _TALL
        self.query_one("#form-told", Lines).show((told_line(state, self._focus_id),))
        self.query_one("#form-advice", Lines).show(
            (*fit_lines(state), *suggestion_lines(state), *caution_lines(state), *(node_lines(state) if tall else ()))
        )
        self.query_one("#form-problem", Lines).show(self._said)
        for line in self.query(OneLine):
            line.show_again()

    def _entry(self, id: str) -> Input:
        return self.query_one(f"#entry-{_css(id)}", Input)

    def _id_of(self, entry: Input) -> str | None:
        return next((view.id for view in self.state.fields if entry.id == f"entry-{_css(view.id)}"), None)

    # ------------------------------------------------------------ keys

    async def on_key(self, event: events.Key) -> None:
        key = event.key
        if key != "escape":
            self._leaving, self._said = False, ()
        if key == "escape":
            self._leave()
        elif key in {"pagedown", "pageup"}:
            await self._turn(1 if key == "pagedown" else -1)
        elif key in {"up", "down"} and self._offer(1 if key == "down" else -1):
            pass
        elif key in {"tab", "down", "shift+tab", "up"}:
            await self._move(1 if key in {"tab", "down"} else -1)
        elif key == "f2":
            self._edit()
        elif key == "f4":
            self._take()
        elif key == "f5" and self.state.suggestion is not None:
            self.state.chosen += 1
            self._tell()
        else:
            return
        event.stop()
        event.prevent_default()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        if isinstance(event.widget, Input) and (id := self._id_of(event.widget)) is not None and id != self._focus_id:
            self._focus_id = id
            self._tell()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        id = self._id_of(event.input)
        if id is None or self.state.values.get(id) == event.value:
            return
        self._leaving, self._said = False, ()
        self.state.put(id, event.value)
        self._tell()
        self._ask_soon(_PAUSE)

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self._planning is not None:
            return
        wrong = self.state.first_problem()
        if wrong is None:
            self._say(text("planning…", "info"))
            self._planning = asyncio.create_task(self._plan())
            return
        self.state.section, self._focus_id = wrong
        await self._show_section()

    async def _turn(self, by: int) -> None:
        """Show the next section, or the one before."""
        self.state.section = (self.state.section + by) % len(self.state.sections)
        self._focus_id = self.state.fields[0].id
        await self._show_section()

    async def _move(self, by: int) -> None:
        """Go to the next field, from a section's last to the next section's first."""
        ids = [view.id for view in self.state.fields]
        at = ids.index(self._focus_id) + by
        if 0 <= at < len(ids):
            self.set_focus(self._entry(ids[at]))
            return
        self.state.section = (self.state.section + by) % len(self.state.sections)
        self._focus_id = self.state.fields[0 if by > 0 else -1].id
        await self._show_section()

    def _offer(self, by: int) -> bool:
        """Put the next offer into the field; whether it has offers at all."""
        if not self.state.of(self._focus_id).offers:
            return False
        value = self.state.next_offer(self._focus_id, by)
        if value is not None:
            entry = self._entry(self._focus_id)
            entry.value = value
            entry.cursor_position = len(value)
        return True

    def _leave(self) -> None:
        if self.state.changed and not self._leaving and self._planning is None:
            self._leaving = True
            self._say(text("Esc again leaves, and what was written is lost; Enter plans it", "warn"))
            return
        for task in (self._asking, self._planning):
            if task is not None:
                task.cancel()
        self.dismiss(None)

    # ------------------------------------------------------------ asking the yard

    def _ask_soon(self, pause: float) -> None:
        """Ask where it would run once nobody types any more."""
        if self._waiting is not None:
            self._waiting.stop()
        self._waiting = self.set_timer(pause, self._ask_now) if pause else None
        if not pause:
            self._ask_now()

    def _ask_now(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
        self._asking = asyncio.create_task(self._ask())

    async def _ask(self) -> None:
        state = self.state
        place = _place(state.values)
        try:
            if place != self._placed and not state.problem("namespace"):
                state.offer_anew(await self._offered(place))
                self._placed = place
            if state.checked.problems:
                state.advice, state.advice_problem = None, ""
            else:
                state.advice = await self._yard.forms.advice(state.checked.deployment, context=state.form.context)
                state.advice_problem, state.chosen = "", 0
        except ModelyardError as error:
            state.advice, state.advice_problem = None, f"it cannot be told: {error.why}"
        if self.is_attached:
            self._tell()

    async def _offered(self, place: tuple[str, ...]) -> FormView:
        """What the fields are offered in another cluster or namespace, or with another runtime."""
        state, (context, namespace, _) = self.state, place
        if state.checked.problems or context != self._placed[0]:
            return await self._yard.forms.open(state.form.reference, namespace=namespace, context=context)
        return await self._yard.forms.of_file(state.checked.deployment, context=state.form.context)

    async def _plan(self) -> None:
        state = self.state
        try:
            plan = await self._yard.deployments.plan(
                state.checked.deployment, state.values["namespace"].strip(), context=state.form.context
            )
        except ModelyardError as error:
            self._planning = None
            self._say(*problem_lines(Problem.of(error)))
        else:
            self.dismiss(plan)

    def _take(self) -> None:
        one = self.state.suggestion
        if one is None:
            self._say(text("nothing is suggested for what stands here", "muted"))
            return
        self._spawn(self._taken(one.id))

    async def _taken(self, suggestion: str) -> None:
        state = self.state
        try:
            deployment = await self._yard.forms.take(state.checked.deployment, suggestion, context=state.form.context)
            await self._fill(await self._yard.forms.of_file(deployment, context=state.form.context))
        except ModelyardError as error:
            self._say(*problem_lines(Problem.of(error)))

    def _edit(self) -> None:
        """Show the deployment file as text, to be changed there and brought back."""
        from tui.panes.deployments.editor import EditorPage

        async def back(deployment: str) -> FormView:
            return await self._yard.forms.of_file(deployment, context=self.state.form.context)

        def done(form: FormView | None) -> None:
            if form is not None:
                self._spawn(self._fill(form))

        self.app.push_screen(EditorPage(self.state.checked.deployment, "back to the form", back), done)

    async def _fill(self, form: FormView) -> None:
        self.state.fill(form)
        self._placed = _place(form.values)
        await self._show_section()
        self._ask_soon(0.0)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        cast("ModelyardApp", self.app).feed.spawn(work, "the form")


def _place(values: Mapping[str, str]) -> tuple[str, str, str]:
    """What decides on what the fields are offered: cluster, namespace, runtime."""
    return values.get("context", ""), values.get("namespace", "").strip(), values.get("runtime", "").strip()


def _css(id: str) -> str:
    return id.replace(".", "-")
