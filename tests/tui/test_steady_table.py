"""A table whose cells differ only with their items draws those rows alone that hold another item."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tui.document import Line, text
from tui.widgets.columns import Column
from tui.widgets.line_table import LineTable


class Thing(NamedTuple):
    name: str
    word: str


def test_only_rows_with_another_item_are_asked_for_their_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def cell(thing: Thing) -> Line:
        asked.append(thing.name)
        return text(thing.word)

    column = Column(key="word", title="WORD", cell=cell, minimum=4, maximum=20)
    table = LineTable((column,), lambda thing: thing.name, steady=True)
    monkeypatch.setattr(table, "refresh", lambda *_, **__: table)
    monkeypatch.setattr(table, "post_message", lambda _message: True)
    things = [Thing(f"t{number}", "one") for number in range(30)]
    table.show(things)
    asked.clear()
    table.show([*things])
    assert asked == []
    table.show([*things[:5], Thing("t5", "two"), *things[6:]])
    assert set(asked) == {"t5"}
    asked.clear()
    table.measure_again()
    table.show([*things])
    assert len(set(asked)) == 30
    # Rows that came are measured whatever the others are.
    asked.clear()
    table.show([*things, Thing("t30", "a long word")])
    assert "t30" in asked
