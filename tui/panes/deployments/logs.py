"""The log of a container of a service: followed, of the run before, searched, wrapped, saved."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Final, NamedTuple

from textual.widget import Widget

from backend.core.errors import ModelyardError
from backend.core.views import PodView, ServiceView
from tui import format as fmt
from tui.commands import Filter
from tui.document import Line, Span, join, text
from tui.model import Problem
from tui.page import Page
from tui.panes.common import export
from tui.panes.common.messages import problem_lines
from tui.panes.common.text import log_line
from tui.panes.deployments.kubectl import kubectl, pod_to_read
from tui.widgets.fields import Values, required
from tui.widgets.line_view import TextView
from tui.widgets.lines import Lines
from tui.widgets.one_line import OneLine, heading

#: What is kept of a log, however long it is followed.
MOST_LINES: Final = 20_000
_MOST_CHARACTERS: Final = 16 * 1024 * 1024
_TAIL: Final = 1_000
_FRAME_SECONDS: Final = 0.1


class Source(NamedTuple):
    """A container of a pod."""

    pod: str
    container: str
    state: str

    @property
    def label(self) -> str:
        """As it stands in the row of containers."""
        return f"{self.pod}/{self.container}"


class LogPage(Page):
    """The log of one container at a time; `Tab` goes to the next."""

    CSS_PATH = "../common/common.tcss"
    AUTO_FOCUS = "TextView"
    pane = "log"

    def __init__(self, service: ServiceView, *, previous: bool = False) -> None:
        """
        Args:
            previous: of the process before the current one.
        """
        super().__init__()
        self._service = service
        self._previous = previous
        self._follows = not previous
        self._sources: list[Source] = []
        self._at = 0
        self._reading: asyncio.Task[None] | None = None
        self._pending: deque[str] = deque(maxlen=MOST_LINES)
        self._flush: asyncio.TimerHandle | None = None
        self._dropped = 0
        self._state = "reading…"
        self._problem: Problem | None = None

    def body(self) -> Iterable[Widget]:
        yield OneLine(id="heading")
        yield OneLine(id="tabs")
        yield Lines(id="problem")
        yield TextView(log_line)

    # ------------------------------------------------------------ life

    def on_mount(self) -> None:
        super().on_mount()
        self.room.feed.spawn(self._choose(), f"log of {self._service.name}")

    def on_unmount(self) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        self._pending.clear()

    async def _choose(self) -> None:
        """Find the containers, and begin with the one whose log tells most."""
        yard, service = self.room.feed.yard, self._service
        if yard is None:
            return
        try:
            detail = await yard.deployments.service(service.namespace, service.address, context=service.context)
        except ModelyardError as error:
            self._fail(error)
            return
        self._sources = sources_of(detail.pods)
        first = pod_to_read(detail.pods, previous=self._previous)
        names = [source.pod for source in self._sources]
        self._at = names.index(first.name) if first is not None and first.name in names else 0
        if not self._sources:
            self._state = "there is no pod to read a log of"
        self._restart()

    def _restart(self) -> None:
        """Read the log of the chosen container from its last lines on."""
        self._stop()
        if not self.is_whole:
            return
        self.query_one(TextView).show("")
        self._dropped, self._problem = 0, None
        if self._sources:
            self._state = "reading…"
            self._reading = asyncio.create_task(self._read(self._sources[self._at]))
        self.show()

    async def _read(self, source: Source) -> None:
        yard, service = self.room.feed.yard, self._service
        if yard is None:
            return
        flags = " --previous" if self._previous else " -f" if self._follows else ""
        command = f"{kubectl(service)} logs {source.pod} -c {source.container} --tail={_TAIL}{flags}"
        self.room.log_command(command, "done")
        try:
            if self._follows:
                self._state = "following"
                lines = yard.deployments.follow_logs(
                    service.namespace, source.pod, container=source.container, tail=_TAIL, context=service.context
                )
                async with aclosing(lines) as opened:
                    async for line in opened:
                        self._pending.append(line)
                        self._flush_soon()
                self._state = f"ended {fmt.clock_time(self.room.clock.now())}; r reads it again"
            else:
                told = await yard.deployments.logs(
                    service.namespace,
                    source.pod,
                    previous=self._previous,
                    tail=_TAIL,
                    container=source.container,
                    context=service.context,
                )
                self._pending.extend(told.splitlines())
                self._state = "of the run before" if self._previous else "not followed; f follows"
            if not self._pending and not self.query_one(TextView).kept[0]:
                self._state = "nothing was written"
        except ModelyardError as error:
            self._fail(error)
        self._flush_now()

    def _fail(self, error: ModelyardError) -> None:
        self._problem, self._state = Problem.of(error), "not read"
        if self.is_whole:
            self.show()

    # ------------------------------------------------------------ showing

    def _flush_soon(self) -> None:
        if self._flush is None:
            self._flush = asyncio.get_running_loop().call_later(_FRAME_SECONDS, self._flush_now)

    def _flush_now(self) -> None:
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        if not self.is_whole:
            return
        if self.room.paused:
            # Held still; what comes meanwhile is kept, as much as is kept anyway.
            self._flush = asyncio.get_running_loop().call_later(1.0, self._flush_now)
            return
        view, lines = self.query_one(TextView), list(self._pending)
        self._pending.clear()
        if lines and len(view.kept) == 1 and not view.kept[0]:
            view.show("\n".join(lines), at_end=True)
        elif lines:
            self._dropped += view.add(lines, most=MOST_LINES, most_characters=_MOST_CHARACTERS)
        self.show()

    def show(self) -> None:
        service, view = self._service, self.query_one(TextView)
        title = f"{'PREVIOUS LOG' if self._previous else 'LOG'} {service.namespace}/{service.name}"
        count = f"{view.line_count:,} lines".replace(",", " ")
        dropped = text(f"{self._dropped:,} older ones dropped".replace(",", " "), "warn") if self._dropped else ()
        left = join(text(self._state, "accent" if self._state == "following" else "muted"), dropped, gap="  ")
        note = text(count if view.kept != [""] else "", "muted")
        self.query_one("#heading", OneLine).show(partial(heading, "", title, left, note, True))
        self.query_one("#tabs", OneLine).show(self._source_line)
        problem = self._problem
        self.query_one("#problem", Lines).show(problem_lines(problem) if problem is not None else ())

    def _source_line(self, width: int) -> Line:
        if not self._sources:
            return ()
        source = self._sources[self._at]
        head = text(f" {self._at + 1}/{len(self._sources)}", "muted") if len(self._sources) > 1 else ()
        more = text("Tab next container", "faint") if len(self._sources) > 1 else ()
        shown = (Span("["), *text(source.label, "title-focus"), Span("]"))
        return join(head, (Span(" "), *shown), text(source.state, "muted"), more, gap=" ")

    def reference(self) -> str:
        if not self._sources:
            return ""
        source = self._sources[self._at]
        return f"{kubectl(self._service)} logs {source.pod} -c {source.container}"

    # ------------------------------------------------------------ actions

    def act_pane_next(self) -> None:
        self._turn(1)

    def act_pane_previous(self) -> None:
        self._turn(-1)

    def _turn(self, by: int) -> None:
        if len(self._sources) > 1:
            self._at = (self._at + by) % len(self._sources)
            self._restart()
        else:
            self.room.flash("there is no other container")

    def act_look_tab(self, name: str = "") -> None:
        """Show the container that a text is part of the name of."""
        found = [at for at, source in enumerate(self._sources) if name and name in source.label]
        if found:
            self._at = found[0]
            self._restart()
        else:
            self.room.flash(f"there is no container {name!r}" if name else "name a pod or a container", bad=True)

    def act_log_follow(self) -> None:
        self._follows, self._previous = not self._follows, False
        self._restart()

    def act_log_previous(self) -> None:
        self._previous = not self._previous
        self._follows = not self._previous
        self._restart()

    def act_look_refresh(self) -> None:
        # Pods may have come and gone.
        self._stop()
        self.room.feed.spawn(self._choose(), f"log of {self._service.name}")

    def act_log_save(self) -> None:
        lines = list(self.query_one(TextView).kept)
        if not self._sources or lines == [""]:
            self.room.flash("there is nothing to save", bad=True)
            return
        source = self._sources[self._at]

        async def perform(values: Values) -> object:
            return await export.write_new(values["path"], "\n".join(lines) + "\n")

        told: list[Line] = [
            text(f"{len(lines):,} lines of {source.label}, as they are shown.".replace(",", " ")),
            *([text(f"{self._dropped:,} older ones are not kept any more.", "warn")] if self._dropped else []),
        ]
        name = f"{source.pod}-{source.container}{'-previous' if self._previous else ''}.log"
        field = required("path", "New file", "name a file", value=name)
        self.ask(
            "Save the log?", told, "Save", perform, fields=(field,), done=lambda path: self._saved(path, len(lines))
        )

    def _saved(self, path: object, lines: int) -> None:
        if path is not None and not isinstance(path, dict):
            self.room.flash(f"{lines} lines written to {path}")

    # ------------------------------------------------------------ search and moving

    def find(self, pattern: Filter | None) -> str:
        view = self.query_one(TextView)
        number = view.search(pattern.pattern if pattern is not None else None)
        if pattern is None:
            return ""
        return f"{number} lines match; n next, N previous" if number else "nothing matches"

    def act_look_next(self) -> None:
        self._step(1)

    def act_look_previous(self) -> None:
        self._step(-1)

    def _step(self, by: int) -> None:
        view = self.query_one(TextView)
        if view.pattern is None:
            self.room.flash("search with / first", bad=True)
        elif not view.next_match(by):
            self.room.flash("no further match")

    def act_move_left(self) -> None:
        self.query_one(TextView).move_sideways(-16)

    def act_move_right(self) -> None:
        self.query_one(TextView).move_sideways(16)

    def act_look_wrap(self) -> None:
        self.query_one(TextView).toggle_wrap()


def sources_of(pods: Sequence[PodView]) -> list[Source]:
    """Every container of every pod, in the order of the pods."""
    return [
        Source(pod.name, one.name, one.state + (f", {one.restarts} restarts" if one.restarts else ""))
        for pod in pods
        for one in pod.containers
    ]
