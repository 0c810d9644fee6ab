"""The overview: five panes on one screen, the line that says why, and the one that says what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual import events
from textual.containers import Container, Vertical
from textual.widget import Widget

from backend.core.gpu_lists import GpuGroup
from backend.core.views import CandidateView, ChangeView, GpuView, ServiceMetricsView, ServiceView
from tui.commands import Filter
from tui.document import EMPTY, Line, Span, ends, fit, join, text
from tui.format import age
from tui.header import recent
from tui.model import Part, PartName, Problem
from tui.panes.common.messages import first_run, problem_lines
from tui.panes.deployments import view_model as deployments
from tui.panes.deployments.actions import ServiceActions
from tui.panes.deployments.columns import service_columns
from tui.panes.deployments.settling import SettleActions
from tui.panes.gpus import view_model as gpus
from tui.panes.gpus.cells import group_note
from tui.panes.library import news as library
from tui.panes.library.synchronising import SyncAction
from tui.panes.overview import view_model
from tui.panes.overview.layout import ORDER, WIDE_FROM, share
from tui.panes.queue import view_model as queue
from tui.panes.queue.actions import CandidateActions
from tui.service_tally import metrics_by_key
from tui.widgets.line_table import LineTable
from tui.widgets.one_line import OneLine, heading

if TYPE_CHECKING:
    from textual.types import CSSPathType

_TITLES: Final = {
    "deployments": ("3", "DEPLOYMENTS"),
    "queue": ("2", "QUEUE"),
    "gpus": ("4", "GPUS"),
    "library": ("1", "LIBRARY"),
    "changed": ("", "CHANGED"),
}
_LAST_LINE_FROM = 34
_LEGEND_FROM: Final = 150


class OverviewPage(ServiceActions, CandidateActions, SyncAction, SettleActions):
    """Is anything broken, does anything wait for me, what is idle, what changed."""

    CSS_PATH: ClassVar[CSSPathType | None] = "overview.tcss"
    AUTO_FOCUS = "#deployments-table"
    pane = "overview"
    parts = frozenset(PartName)

    def __init__(self) -> None:
        super().__init__()
        self._zoomed = ""
        self._heights: dict[str, int] = {}
        self._rows: dict[str, Sequence[Any]] = {}
        self._behind: set[PartName] = set(PartName)
        self._broken: Sequence[ServiceView] = ()
        self._measured: dict[str, ServiceMetricsView] = {}
        self._slow: frozenset[str] = frozenset()
        self._services_tally: Line = EMPTY

    def body(self) -> Iterable[Widget]:
        now = self.room.clock.now
        tables: dict[str, list[LineTable[Any]]] = {
            "deployments": [
                LineTable(
                    service_columns(now, narrow=True, measured=lambda key: self._measured.get(key)),
                    lambda item: item.key,
                    headings=False,
                    id="deployments-table",
                )
            ],
            "queue": [
                LineTable(
                    queue.candidate_columns(now, narrow=True),
                    lambda item: item.reference,
                    headings=False,
                    id="queue-table",
                )
            ],
            "gpus": [
                LineTable(gpus.node_columns(now), lambda row: row.key, headings=False, id="gpus-table"),
                LineTable(gpus.holder_columns(now), lambda row: row.key, headings=False, id="holders-table"),
            ],
            "library": [LineTable(library.news_columns(now), lambda row: row.key, headings=False, id="library-table")],
            "changed": [
                LineTable(
                    view_model.change_columns(),
                    lambda change: f"{change.at}{change.what}{change.object}",
                    headings=False,
                    id="changed-table",
                )
            ],
        }
        with Container(id="panes"):
            for row in (("deployments", "queue"), ("gpus", "library"), ("changed",)):
                with Container(classes="row"):
                    for name in row:
                        with Vertical(id=f"pane-{name}", classes="pane"):
                            yield OneLine(id=f"{name}-heading")
                            yield from tables[name]
        yield OneLine(id="why")
        yield OneLine(id="next")
        yield OneLine(id="last")

    # ------------------------------------------------------------ showing

    def parts_changed(self, changed: frozenset[PartName]) -> None:
        self._behind.update(changed)
        super().parts_changed(changed)

    def age(self) -> None:
        super().age()
        if self._is_built:
            self._behind.add(PartName.CHANGES)
            self.show()

    def _make_rows(self) -> None:
        """Make the rows again of what changed; with thousands of services that is worth it."""
        model, changed = self.model, self._behind
        self._behind = set()
        if changed & {PartName.SERVICES, PartName.GPUS}:
            primary = model.status.context if model.status is not None else ""
            self._measured = metrics_by_key(model.gpus.value, primary)
            slow = model.tally.slow(model.services.value, model.gpus.value, primary)
            if PartName.SERVICES in changed or slow != self._slow:
                self._slow = slow
                self._rows["deployments"] = deployments.worst_first(model.services.value.values(), slow)
        if PartName.SERVICES in changed:
            services = list(model.services.value.values())
            broken = view_model.broken_services(services)
            if broken != self._broken:
                self._broken = broken
                changed = changed | {PartName.CHANGES}
            cut_off = text(f"{len(model.cut_off)} cut off (U)" if model.cut_off else "", "warn")
            verdicts = model.tally.look(model.services.value).verdicts
            self._services_tally = join(cut_off, deployments.tally(verdicts), gap="  ")
        if PartName.QUEUE in changed:
            self._rows["queue"] = queue.mine_first(queue.waiting(model.queue.value))
        if PartName.GPUS in changed:
            self._rows["gpus"] = gpus.by_node(model.gpus.value)
            self._rows["holders"] = gpus.by_holder(model.gpus.value)
        if changed & {PartName.LIBRARY, PartName.STATUS, PartName.SYNC}:
            sources = model.status.sources if model.status is not None else ()
            runs = model.sync.values()
            changed_last = model.library.value.images
            self._rows["library"] = library.news(changed_last, sources, runs, self.room.clock.now())
        if PartName.CHANGES in changed:
            changes = recent(model.changes.value, self.room.clock.now())
            self._rows["changed"] = view_model.newest_first(view_model.suspected(changes, self._broken))

    def show(self) -> None:
        self._make_rows()
        rows = self._rows
        told = {name: self._empty_lines(name, self._part("gpus" if name == "holders" else name)) for name in rows}
        is_wide = self._lay_out({name: len(items) or len(told[name]) for name, items in rows.items()})
        self._table("gpus").display, self._table("holders").display = is_wide, not is_wide
        for name, items in rows.items():
            table = self._table(name)
            table.tell_empty(told[name])
            kept = items
            if self.filter is not None and name == "deployments":
                haystacks = [deployments.haystack(item) for item in items]
                kept = [items[index] for index in self.filter.indices(haystacks)]
            table.show(kept)
        self._show_headings()
        self._show_why()

    def _lay_out(self, rows: dict[str, int]) -> bool:
        width, height = self.app.size
        below = 2 if width < WIDE_FROM else 1
        below += height >= _LAST_LINE_FROM
        if height < 20:
            below = 1
        room = height - 3 - below
        shares = share(width, room, {**rows, "gpus": rows["gpus"] if width >= WIDE_FROM else rows["holders"]})
        for name in ORDER:
            lines = shares.lines.get(name, 0)
            if self._zoomed:
                lines = room if name == self._zoomed else 0
            pane = self.query_one(f"#pane-{name}")
            if pane.display != bool(lines):
                pane.display = bool(lines)
            if lines and self._heights.get(name) != lines:
                self._heights[name] = lines
                pane.styles.height = lines
        self.query_one("#panes").set_class(shares.wide and not self._zoomed, "-two")
        self.query_one("#next").display = width < WIDE_FROM and height >= 20
        self.query_one("#last").display = height >= _LAST_LINE_FROM
        return shares.wide

    def _show_headings(self) -> None:
        model, now = self.model, self.room.clock.now()
        status = model.status
        waiting = queue.waiting(model.queue.value)
        snapshot = model.gpus.value
        cards = snapshot.gpus if snapshot is not None else ()
        total = status.library_total if status is not None else 0
        approved = status.library_approved if status is not None else 0
        legend = text("% active  i idle  . free  ! fault" if self.app.size.width >= _LEGEND_FROM else "", "faint")
        told: dict[str, tuple[Line, Line]] = {
            "deployments": (
                join(_number(model.services, len(model.services.value)), self._services_tally, gap="  "),
                text("worst first", "muted"),
            ),
            "queue": (
                join(_number(model.queue, len(waiting)), queue.tally(waiting), gap="  "),
                text("mine first", "muted"),
            ),
            "gpus": (
                join(
                    _number(model.gpus, len(cards)),
                    gpus.tally(snapshot),
                    gpus.waiting_text(snapshot),
                    gap="  ",
                ),
                join(
                    text(gpus.idle_rate_text(snapshot.gpus if snapshot is not None else ()), "idle"), legend, gap="  "
                ),
            ),
            "library": (
                join(text(str(total), "strong"), text(f"{approved} approved", "ok" if approved else "muted"), gap="  "),
                text("24h", "muted"),
            ),
            "changed": (_number(model.changes, len(recent(model.changes.value, now))), text("last hour", "muted")),
        }
        for name, (left, right) in told.items():
            part = self._part(name)
            if part.problem is not None and part.read_at is not None:
                right = text(f"as of {age(part.read_at, now)} ago: {part.problem.why}", "warn")
            number, title = _TITLES[name]
            focused = self._focused_pane() == name
            self.query_one(f"#{name}-heading", OneLine).show(partial(heading, number, title, left, right, focused))

    def _empty_lines(self, name: str, part: Part[Any]) -> Sequence[Line]:
        model, status = self.model, self.model.status
        if model.problem is not None and self.room.feed.yard is None:
            return problem_lines(model.problem) if name == "deployments" else ()
        if part.problem is not None:
            return problem_lines(part.problem)
        if status is None or (not part.known and name != "library"):
            return (text("opening the yard…" if status is None else "reading…", "muted"),)
        if name == "deployments" and self._is_first_run():
            registries = sum(source.kind == "registry" for source in status.sources)
            return first_run(registries > 0)
        quiet = {
            "library": "nothing new, nothing moved in 24 hours",
            "deployments": "no InferenceService runs here; deploy an approved image with D",
            "queue": "nothing waits for a decision",
            "changed": "nothing was changed in the last hour",
        }
        if name in quiet:
            return (text(quiet[name], "muted"),)
        notes = model.gpus.value.notes if model.gpus.value is not None else ()
        return tuple(text(note, "muted") for note in notes) or (text("no GPU is known", "muted"),)

    def _is_first_run(self) -> bool:
        model = self.model
        empty_library = model.library.known and not model.library.value.total
        return empty_library and not model.services.value and not model.queue.value

    def _show_why(self) -> None:
        why, following = self._why_and_next()
        wide = self.app.size.width >= WIDE_FROM

        def first(width: int) -> Line:
            if not wide:
                return fit((Span(" WHY  ", "heading"), *why), width)
            right = (Span("NEXT  ", "heading"), *following, Span(" ")) if following else EMPTY
            return ends((Span(" WHY  ", "heading"), *why), right, width)

        self.query_one("#why", OneLine).show(first)
        self.query_one("#next", OneLine).show(lambda width: fit((Span(" NEXT ", "heading"), *following), width))
        last = self.model.commands[-1].command if self.model.commands else "nothing was changed from here yet"
        self.query_one("#last", OneLine).show(lambda _width: (Span(" last: ", "label"), *text(last, "muted")))

    def _why_and_next(self) -> tuple[Line, Line]:
        pane, item = self._focused_pane(), self._current()
        if isinstance(item, ServiceView):
            return deployments.why_and_next(item)
        if isinstance(item, CandidateView):
            return queue.why_and_next(item)
        if isinstance(item, ChangeView):
            return text(f"{item.actor} {item.what} {item.object}"), text(item.detail)
        if isinstance(item, GpuGroup | gpus.HolderRow):
            node = item.gpus[0].node
            note = join(text(node, "name"), group_note(item.gpus, self.room.clock.now()), gap="  ")
            return note, text("Enter opens the GPUs, i shows the idle ones")
        if isinstance(item, library.NewsRow):
            return text(f"{item.what} {item.name} {item.detail}"), text("Enter opens the library")
        problem: Problem | None = self.model.problem if self.room.feed.yard is None else self._part(pane).problem
        if problem is not None:
            return text(problem.why), text(problem.action)
        if self._is_first_run():
            return text("this yard is new: nothing was synchronised yet"), text("what stands above; ? shows the keys")
        return text("nothing is under the cursor", "muted"), EMPTY

    # ------------------------------------------------------------ where the cursor is

    def _table(self, name: str) -> LineTable[Any]:
        return self.query_one(f"#{name}-table", LineTable)

    def _part(self, name: str) -> Part[Any]:
        model = self.model
        parts: dict[str, Part[Any]] = {
            "deployments": model.services,
            "queue": model.queue,
            "gpus": model.gpus,
            "library": model.library,
            "changed": model.changes,
        }
        return parts[name]

    def _focused_pane(self) -> str:
        focused = self.focused
        name = (focused.id or "").removesuffix("-table") if isinstance(focused, LineTable) else "deployments"
        return "gpus" if name == "holders" else name

    def _current(self) -> object:
        focused = self.focused
        return focused.current if isinstance(focused, LineTable) else None

    def current_service(self) -> ServiceView | None:
        item = self._current()
        return item if isinstance(item, ServiceView) else None

    def gpus_here(self) -> Sequence[GpuView]:
        item = self._current()
        return item.gpus if isinstance(item, GpuGroup | gpus.HolderRow) else ()

    def current_candidate(self) -> CandidateView | None:
        item = self._current()
        return item if isinstance(item, CandidateView) else None

    def reference(self) -> str:
        item = self._current()
        if isinstance(item, ServiceView):
            return item.images[0] if item.images else item.key
        return item.reference if isinstance(item, CandidateView) else getattr(item, "name", "")

    def on_line_table_moved(self, event: LineTable.Moved) -> None:
        self._show_headings()
        self._show_why()

    def on_resize(self, event: events.Resize) -> None:
        focused = self.focused
        if isinstance(focused, LineTable) and focused.id in {"gpus-table", "holders-table"}:
            self._table("gpus" if event.size.width >= WIDE_FROM else "holders").focus()

    def find(self, pattern: Filter | None) -> str:
        # While it is typed, what is typed to keeps the focus.
        if not self.query("#prompt"):
            self._table("deployments").focus()
        self.show()
        return ""

    # ------------------------------------------------------------ actions

    def act_look_open(self) -> None:
        item = self._current()
        if isinstance(item, ServiceView):
            self.room.show_service(item.context, item.namespace, item.name)
        elif isinstance(item, CandidateView):
            from tui.panes.queue.card import CardPage

            self.room.push_screen(CardPage(item))
        elif isinstance(item, ChangeView) and item.services:
            self.room.show_service(*item.services[0].rsplit("/", 2))
        elif self._focused_pane() == "changed":
            self.act_look_changes()
        elif isinstance(item, GpuGroup | gpus.HolderRow):
            self._open_gpus(item.gpus[0].key)
        else:
            self.room.go(self._focused_pane())

    def _open_gpus(self, key: str) -> None:
        self.room.go("gpus")
        page = self.room.page()
        if page is not None and page.pane == "gpus":
            self.call_after_refresh(getattr(page, "choose"), key)  # noqa: B009 - the page's class is imported lazily

    def act_pane_zoom(self) -> None:
        self._zoomed = self._focused_pane()
        self.show()

    def act_pane_unzoom(self) -> None:
        self._zoomed = ""
        self.show()

    def act_gpus_idle(self) -> None:
        self.room.go("gpus")
        page = self.room.page()
        if page is not None and page.pane == "gpus":
            self.call_after_refresh(getattr(page, "act_gpus_idle"))  # noqa: B009 - the page's class is imported lazily


def _number(part: Part[Any], count: int) -> Line:
    return text(str(count), "strong") if part.known else text("–", "muted")
