"""What can be done to every marked image at once, or to the one under the cursor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from backend.core.errors import ModelyardError
from tui.document import Line, Span, text
from tui.model import PartName
from tui.page import Page
from tui.panes.common import export
from tui.panes.library.marks import Marked
from tui.panes.library.view_model import MARK
from tui.ports import ScreenYard
from tui.widgets.fields import Field, Values, required

# More than this a terminal's clipboard does not take: OSC 52 is cut at some 100 kB.
_COPIED_AT_MOST: Final = 500
_NAMED: Final = 4


class BulkActions(Page):
    """Actions on the images that are marked, or on the one under the cursor where none is."""

    def chosen(self) -> list[Marked]:
        """The images that are meant."""
        raise NotImplementedError

    def hidden_marks(self) -> int | None:
        """How many of them the filter hides; None: not known."""
        return 0

    async def listed(self) -> list[Marked]:
        """What is written to a file where nothing is marked."""
        return self.chosen()

    # ------------------------------------------------------------ looking

    def act_look_copy(self) -> None:
        chosen = self.chosen_or_told()
        if len(chosen) > _COPIED_AT_MOST:
            self.room.flash(f"{len(chosen)} are too many for a clipboard: x writes them to a file", bad=True)
        elif chosen:
            self.room.copy(*(marked.reference for marked in chosen))

    def act_library_export(self) -> None:
        chosen = self.chosen()
        told = chosen_lines(chosen, self.hidden_marks()) if chosen else ()

        async def perform(values: Values) -> object:
            listed = await self.listed()
            rows = [
                {"reference": marked.reference, "name": marked.name, "state": marked.state.value} for marked in listed
            ]
            return await export.write(values["path"], rows), len(rows)

        def done(result: object) -> None:
            if isinstance(result, tuple):
                self.room.flash(f"{result[1]} written to {result[0]}")

        field = Field(
            id="path", label="File (.json, .csv, .txt)", value="modelyard-images.txt", check=export.check_path
        )
        self.ask("Write a list of images?", told, "Write", perform, fields=(field,), done=done)

    # ------------------------------------------------------------ changing

    def act_library_submit(self) -> None:
        chosen = self.chosen_or_told()
        fields = (required("reason", "Reason", "say why it is to be looked at again"),)

        async def one(yard: ScreenYard, marked: Marked, values: Values) -> None:
            await yard.queue.submit(marked.reference, reason=values["reason"])

        self.ask_for_each("Submit again", chosen, chosen_lines(chosen, self.hidden_marks()), fields, one)

    def act_library_reject(self) -> None:
        chosen = self.chosen_or_told()
        yard = self.room.feed.yard
        if not chosen or yard is None:
            return

        async def perform(values: Values) -> object:
            outcomes = await yard.queue.reject_many([marked.reference for marked in chosen], reason=values["reason"])
            failed = [(reference, outcome) for reference, outcome in outcomes if outcome != "rejected"]
            self.room.log_command(f"modelyard reject ({len(chosen)} images) --reason …", "done")
            self.changed_library()
            if failed:
                raise _failures("Reject", len(chosen), failed)
            return True

        fields = (required("reason", "Reason", "say why: whoever brought it in will read it"),)
        lines = chosen_lines(chosen, self.hidden_marks())
        self.ask(f"Reject {_what(chosen)}?", lines, "Reject", perform, fields=fields, danger=True)

    # ------------------------------------------------------------ inside

    def ask_for_each(
        self,
        verb: str,
        chosen: Sequence[Marked],
        lines: Sequence[Line],
        fields: Sequence[Field],
        one: Callable[[ScreenYard, Marked, Values], Awaitable[None]],
    ) -> None:
        """Ask in a dialog, then do it to each of them; what failed can be sent again, without what did not."""
        yard = self.room.feed.yard
        if not chosen or yard is None:
            return
        done_already: set[str] = set()

        async def perform(values: Values) -> object:
            failed: list[tuple[str, str]] = []
            for marked in chosen:
                if marked.name in done_already:
                    continue
                try:
                    await one(yard, marked, values)
                except ModelyardError as error:
                    if len(chosen) == 1:
                        raise
                    failed.append((marked.name, f"{error.why}; {error.action}"))
                else:
                    # Sent again after a part failed, only that part is done again.
                    done_already.add(marked.name)
            self.room.log_command(f"{verb.lower()} {_what(chosen)}", "failed" if failed else "done")
            self.changed_library()
            if failed:
                raise _failures(verb, len(chosen), failed)
            return True

        def told(result: object) -> None:
            if result:
                self.room.flash(f"{verb.lower()}: recorded for {_what(chosen)}")

        self.ask(f"{verb} {_what(chosen)}?", lines, verb.split()[0], perform, fields=fields, done=told)

    def changed_library(self) -> None:
        """Read again what such an action changes."""
        self.room.feed.read(PartName.LIBRARY, PartName.QUEUE, PartName.CHANGES)

    def chosen_or_told(self) -> list[Marked]:
        """The images that are meant; that there are none is said."""
        chosen = self.chosen()
        if not chosen:
            self.room.flash("there is no image under the cursor, and none is marked", bad=True)
        return chosen


def chosen_lines(chosen: Sequence[Marked], hidden: int | None) -> tuple[Line, ...]:
    """Which images are meant, and how many of them cannot be seen now."""
    named = tuple((Span(f"{MARK} ", "mine"), *text(marked.name, "name")) for marked in chosen[:_NAMED])
    if len(chosen) == 1:
        return (*named, (Span("  "), *text(chosen[0].reference.rpartition("@")[2], "faint")))
    more = (text(f"  and {len(chosen) - _NAMED} more", "muted"),) if len(chosen) > _NAMED else ()
    unseen = (text(f"{hidden} of them are hidden by the filter", "warn"),) if hidden else ()
    if hidden is None:
        unseen = (text("some of them may be hidden by the filter", "warn"),)
    return (*named, *more, *unseen)


def _what(chosen: Sequence[Marked]) -> str:
    return chosen[0].name if len(chosen) == 1 else f"{len(chosen)} images"


def _failures(verb: str, number: int, failed: Sequence[tuple[str, str]]) -> ModelyardError:
    name, why = failed[0]
    more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
    return ModelyardError(
        f"{verb}: {len(failed)} of {number} failed",
        f"{name}: {why}{more}",
        "what did not fail is done; try the others again",
    )
