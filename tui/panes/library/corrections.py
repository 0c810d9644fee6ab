"""Correcting what an image was found to be, naming what it was made from, and forgetting what is long gone."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from backend.core.views import PruneView
from tui import format as fmt
from tui.document import Line, Span, text
from tui.panes.library.bulk import BulkActions, chosen_lines
from tui.panes.library.marks import Marked
from tui.ports import ScreenYard
from tui.widgets.fields import Field, Values, required

#: What a person may correct.
PROPERTIES: Final = ("type", "kind", "framework", "engine", "family", "parameters", "precision")
RELATIONS: Final = ("fine-tuned", "distilled", "quantised", "merged", "derived")
# What takes a correction back is written, so that it is not taken back by a field that was left out.
_BACK: Final = "-"
_NAMED: Final = 4
_SPAN: Final = re.compile(r"(\d{1,5})\s*([hdw])\Z")
_HOURS: Final = {"h": 1, "d": 24, "w": 24 * 7}


class CorrectionActions(BulkActions):
    """What a curator does to the images that are marked, or to the one under the cursor."""

    def act_library_correct(self) -> None:
        chosen = self.chosen_or_told()
        fields = (
            Field(
                id="name",
                label="What is wrong",
                value="type",
                check=lambda value: "" if value.strip() in PROPERTIES else f"one of: {', '.join(PROPERTIES)}",
                offers=PROPERTIES,
            ),
            Field(
                id="value",
                label="What it is",
                placeholder=f"↓ offers; {_BACK} takes a correction back",
                check=lambda value: "" if value.strip() else f"say what it is, or {_BACK} to take a correction back",
                offers=self._values_of(PROPERTIES[0]),
            ),
            required("reason", "Reason", "say how you know: it is kept beside what was found out"),
        )
        lines = (
            *chosen_lines(chosen, self.hidden_marks()),
            text("What the program found out is kept; this stands above it until it is taken back.", "muted"),
        )

        async def one(yard: ScreenYard, marked: Marked, values: Values) -> None:
            value = "" if values["value"] == _BACK else values["value"]
            await yard.library.correct(marked.reference, name=values["name"], value=value, reason=values["reason"])

        self.ask_for_each("Correct", chosen, lines, fields, one)

    def act_library_parent(self) -> None:
        chosen = self.chosen_or_told()
        fields = (
            required("parent", "Made from", "name an image", placeholder="host/repository@sha256:…, or any name"),
            Field(
                id="relation",
                label="How",
                value=RELATIONS[0],
                check=lambda value: "" if value.strip() in RELATIONS else f"one of: {', '.join(RELATIONS)}",
                offers=RELATIONS,
            ),
            Field(id="note", label="Note (may be empty)"),
            Field(
                id="remove",
                label="Take it back",
                placeholder="yes: this parent was named in error",
                check=lambda value: "" if value.strip() in {"", "no", "yes"} else "yes, or nothing",
            ),
        )

        async def one(yard: ScreenYard, marked: Marked, values: Values) -> None:
            await yard.library.name_parent(
                marked.reference,
                parent=values["parent"],
                relation=values["relation"],
                note=values["note"],
                remove=values["remove"] == "yes",
            )

        self.ask_for_each("Name a parent of", chosen, chosen_lines(chosen, self.hidden_marks()), fields, one)

    def act_library_prune(self, *arguments: str) -> None:
        age = arguments[0] if arguments else "180d"
        older = span(age)
        if older is None:
            self.room.flash(f"{age} is no span of time: write 90d, 26w or 48h", bad=True)
            return
        self.open_later(self._ask_prune(age, older), "looking what can be forgotten")

    def _values_of(self, name: str) -> tuple[str, ...]:
        """What the library knows of a property's values."""
        yard = self.room.feed.yard
        found = yard.library.completions(f"{name}:", len(name) + 1) if yard is not None else ()
        return tuple(completion.text.partition(":")[2].strip() for completion in found)

    async def _ask_prune(self, age: str, older: timedelta) -> None:
        yard = self.room.feed.yard
        if yard is None:
            return
        found = await yard.library.prune(older, dry_run=True)

        async def perform(_values: Values) -> object:
            pruned = await yard.library.prune(older)
            self.room.log_command(f"modelyard images prune --older-than {age}", "done")
            self.changed_library()
            return pruned

        def done(result: object) -> None:
            if isinstance(result, PruneView):
                self.room.flash(f"forgotten: {fmt.count(len(result.removed), 'digest')}, {fmt.size(result.bytes)}")

        self.ask(f"Forget what no tag named for {age}?", prune_lines(found), "Forget", perform, danger=True, done=done)


def span(value: str) -> timedelta | None:
    """A span of time as `48h`, `90d` or `26w`; None where it is none."""
    match = _SPAN.match(value.strip())
    return timedelta(hours=int(match.group(1)) * _HOURS[match.group(2)]) if match else None


def prune_lines(found: PruneView) -> tuple[Line, ...]:
    """What would be forgotten, and what is kept although it is as old; first what was not asked about it."""
    if found.asked_cluster:
        return _forgotten(found)
    return (text("No cluster was asked what is in use: none is configured.", "warn"), *_forgotten(found))


def _forgotten(found: PruneView) -> tuple[Line, ...]:
    if not found.removed:
        return (
            text("There is nothing to forget: no digest was without a tag for so long.", "strong"),
            *_kept(found),
        )
    named = tuple(
        (Span("- ", "bad"), *text(f"{pruned.registry}/{pruned.repository}:{pruned.tag}", "name"))
        for pruned in found.removed[:_NAMED]
    )
    more = len(found.removed) - _NAMED
    return (
        text(f"{fmt.count(len(found.removed), 'digest')}, {fmt.size(found.bytes)} of the database:", "strong"),
        *named,
        *((text(f"  and {more} more", "muted"),) if more > 0 else ()),
        *_kept(found),
    )


def _kept(found: PruneView) -> tuple[Line, ...]:
    if not found.kept:
        return ()
    why = sorted({pruned.reason for pruned in found.kept})
    return (
        text(f"{fmt.count(len(found.kept), 'digest')} as old are kept:", "muted"),
        *((Span("  "), *text(reason, "muted")) for reason in why[:_NAMED]),
    )
